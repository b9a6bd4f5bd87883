import shutil
import subprocess
import sys

import pytest

from cnnlab.cli import main
from cnnlab.commands import COMMANDS


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Writes the script that the command prints to a file."""
    path = tmp_path_factory.mktemp("completion") / "cnnlab.bash"
    printed = subprocess.run(
        [sys.executable, "-m", "cnnlab", "completion", "bash"], capture_output=True, text=True, check=True
    )
    path.write_text(printed.stdout)
    return path


def completed(script, *words):
    """Returns what bash offers for the last word of a command line."""
    bash = shutil.which("bash") or pytest.skip("needs bash")
    line = 'source "$1"; shift; COMP_WORDS=(cnnlab "$@"); COMP_CWORD=$#; _cnnlab; printf "%s\n" "${COMPREPLY[@]}"'
    return set(
        subprocess.run([bash, "-c", line, "bash", script, *words], capture_output=True, text=True).stdout.split()
    )


def test_bash_completes_every_command(script):
    assert completed(script, "") == set(COMMANDS)
    assert completed(script, "rep") == {"report"}


def test_bash_completes_options_and_their_values(script):
    assert completed(script, "report", "runs/mine", "--sp") == {"--split"}
    assert completed(script, "report", "runs/mine", "--format", "") == {"html", "md"}
    assert "lenet5" in completed(script, "train", "--model.name", "")
    assert "--training.epochs" in completed(script, "train", "--training.")


def test_a_word_that_is_no_option_is_left_to_files(script):
    assert completed(script, "predict", "runs/mine", "new") == set()


def test_the_program_alone_prints_three_commands_that_exist(capsys):
    assert main([]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  cnnlab")]
    assert len(lines) == 3
    assert all(words[1] in COMMANDS for words in lines)
