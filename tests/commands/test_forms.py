import re

import pytest

from cnnlab.cli import main
from cnnlab.commands.forms import help_texts
from cnnlab.training.experiment import TABLES, Experiment, Training, options_of, target_of
from cnnlab.training.optimizer import Optimizer


@pytest.mark.parametrize("part", TABLES)
def test_every_option_of_every_choice_has_a_help_text(part):
    for name, entry in TABLES[part].items():
        texts = help_texts(target_of(entry))
        assert [option for option in options_of(entry) if not texts.get(option)] == [], name


@pytest.mark.parametrize("settings", [Experiment, Optimizer, Training])
def test_every_setting_of_an_experiment_has_a_help_text(settings):
    assert all(help_texts(settings)[name] for name in settings.__dataclass_fields__)


def test_help_lists_the_common_options_and_help_all_the_rest(capsys):
    assert main(["train", "--model.name", "unet", "--help"]) == 0
    common = capsys.readouterr().out
    assert "channels of the first block" in " ".join(common.replace("│", " ").split())
    assert "--model.width INT" in common
    assert "--run-dir RUN" in common
    assert "--model.central-dropout" not in common
    assert "STR" not in common
    assert main(["train", "--model.name", "unet", "--help-all"]) == 0
    assert "--model.central-dropout FLOAT" in capsys.readouterr().out


def test_a_hidden_option_still_works(capsys):
    assert main(["train", "--optimizer.momentum", "2"]) == 2
    assert "momentum must lie in 0..1, found 2.0; set --optimizer.momentum" in capsys.readouterr().err


WITH_FILES = [
    "evaluate",
    "compare",
    "explain",
    "features",
    "dream",
    "probe",
    "summary",
    "export",
    "data",
    "draw",
    "serve",
]


@pytest.mark.parametrize("command", WITH_FILES)
def test_help_names_runs_files_and_directories(command, capsys):
    assert main([command, "--help"]) == 0
    words = set(re.findall(r"\w+", capsys.readouterr().out))
    assert words & {"RUN", "NAME"}
    assert "STR" not in words
