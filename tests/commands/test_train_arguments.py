import dataclasses

import pytest

import cnnlab
from cnnlab.commands.arguments import arguments_of
from cnnlab.commands.options import parse_experiment
from cnnlab.training.experiment import TABLES, with_defaults
from cnnlab.training.presets import PRESETS


def completed(experiment):
    return dataclasses.replace(
        experiment, **{part: with_defaults(getattr(experiment, part), table) for part, table in TABLES.items()}
    )


@pytest.mark.parametrize("name", PRESETS)
def test_the_arguments_of_a_preset_parse_to_it(name):
    assert completed(parse_experiment(arguments_of(PRESETS[name]))[0]) == completed(PRESETS[name])


def test_tuples_flags_and_nothing_are_arguments(tmp_path):
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("dense", features=(32, 16)),
        data=cnnlab.Choice("folder", path=str(tmp_path)),
        optimizer=cnnlab.Optimizer(nesterov=True, milestones=(0.25,), clip=1.5),
        training=cnnlab.Training(resident=False, patience=4),
        seed=3,
    )
    assert completed(parse_experiment(arguments_of(experiment))[0]) == completed(experiment)


def test_a_network_of_the_callers_own_has_no_arguments():
    own = dataclasses.replace(PRESETS["digits-linear"], model="linear")
    object.__setattr__(own, "model", cnnlab.Choice("mine"))
    assert arguments_of(own) is None
