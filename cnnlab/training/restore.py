"""Loads from a run's directory: its network, its task, its data and its config."""

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.data import Dataset, InputSpec
from cnnlab.data.appearance import Appearance
from cnnlab.data.labelled import labelled_folder
from cnnlab.errors import unknown
from cnnlab.files.addresses import is_address
from cnnlab.files.cache import here
from cnnlab.files.copying import local
from cnnlab.files.strict_json import decode
from cnnlab.models import MODELS
from cnnlab.nn.apply import Variables
from cnnlab.tasks import TASKS, Task, create_task
from cnnlab.tasks.task import complete, require_columns, task_name
from cnnlab.trained import Trained, from_run
from cnnlab.training import checkpoint
from cnnlab.training.elsewhere import run_here
from cnnlab.training.experiment import Choice, Experiment, check_choice, from_stored
from cnnlab.training.plan import build_network, load_experiment_data
from cnnlab.training.run import CHECKPOINTS, EXPERIMENT, read_history
from cnnlab.training.step import State

T = TypeVar("T")


def evaluated_variables(state: State) -> Variables:
    """Returns the variables that evaluation uses: the moving average, or the current variables if there is none."""
    return {"params": state.params, **state.stats} if state.average is None else state.average


def variable_shapes(network: nn.Module, spec: InputSpec) -> Variables:
    """Returns the shapes of a network's variables."""
    images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
    return jax.eval_shape(functools.partial(cnn.init, network), images, jax.random.key(0))


def check_data(config: dict[str, Any], fingerprint: dict[str, str], run_dir) -> None:
    """Raises `ValueError` if the splits differ from those with which a run was trained.

    Args:
      config: settings in the checkpoint.
      fingerprint: digest of each split of the data.
      run_dir: run directory, for error messages.
    """
    stored = config["data"]["fingerprint"]
    changed = [split for split in stored if stored[split] != fingerprint.get(split)]
    if changed:
        raise ValueError(
            f"{run_dir} was trained with other splits of {config['data']['name']} than these ({', '.join(changed)} "
            "differ); restore the data or choose another --run-dir"
        )


@contextlib.contextmanager
def open_run_checkpoints(path: str | Path) -> Iterator:
    """Yields a read-only manager of a run's checkpoints.

    Raises:
      ValueError: the path is no run directory, or it has no checkpoint yet.
    """
    path = Path(path)
    if not (path / CHECKPOINTS).is_dir():
        note = " (a run began there, but saved no epoch)" if (path / EXPERIMENT).exists() else ""
        raise ValueError(f"{path} is no run{note}; give the --run-dir of a training")
    with checkpoint.open_manager(path, read_only=True) as manager:
        if not manager.all_steps():
            raise ValueError(f"{path} holds no checkpoint yet; train it first")
        yield manager


def first_good(path: str | Path, step: int | str, use: Callable[[Any, int, dict[str, Any]], T]) -> T:
    """Returns `use(manager, step, config)` for a step, or for the next best one, with a warning, if it is damaged.

    Args:
      path: run directory.
      step: `best` on validation, `latest`, or a number.
      use: function that reads the step.

    Raises:
      ValueError: there is no such step, or every one is damaged.
    """
    with open_run_checkpoints(path := run_here(path)) as manager:
        steps = checkpoint.candidates(manager, step)
        if not steps:
            raise ValueError(f"{path} keeps the steps {', '.join(map(str, sorted(manager.all_steps())))}; not {step!r}")
        for number in steps:
            try:
                return use(manager, number, checkpoint.read_config(manager, number))
            except checkpoint.Damaged as error:
                damage = error
                warnings.warn(f"{error}; trying another step", stacklevel=3)
        raise ValueError(f"{path}: no checkpoint is whole ({damage}); train it again") from damage


def load(
    path: str | Path, *, step: int | str = "best", network: nn.Module | None = None, task: Task | None = None
) -> Trained:
    """Loads the network of a run; the run directory is all that it needs.

    If a step is damaged, it warns and loads the next best step.

    Args:
      path: run directory, which may have moved, or its address, such as `s3://bucket/run`.
      step: `best` on validation, `latest`, or a number.
      network: Linen module, if the run was trained with one of your own.
      task: task, if the run was trained with one of your own.

    Raises:
      ValueError: the path is no run directory, all steps are damaged, or they belong to another network.
    """

    def build(manager, number: int, config: dict[str, Any]) -> Trained:
        spec = decode(InputSpec, config["spec"], "spec")
        module = stored_network(config) if network is None else network
        variables = checkpoint.restore(manager, number, "model", variable_shapes(module, spec), config)
        trained = Trained(variables, module, stored_task(config) if task is None else task, spec)
        return from_run(trained, lambda: read_history(path))

    path = run_here(path)
    return first_good(path, step, build)


def load_task(path: str | Path) -> Task:
    """Returns the task of a run, without the weights; raises `ValueError` as `load` does."""
    return stored_task(load_config(path))


def load_network(path: str | Path) -> tuple[nn.Module, InputSpec]:
    """Returns the network of a run and its input spec, without the weights.

    Raises:
      ValueError: the path is no run directory, or the run was trained with a network of the caller's own.
    """
    config = load_config(path)
    return stored_network(config), decode(InputSpec, config["spec"], "spec")


def stored_network(config: dict[str, Any]) -> nn.Module:
    """Builds the network of a stored config."""
    if (name := config["experiment"]["model"]["name"]) not in MODELS:
        raise ValueError(
            f"the run was trained with a network of your own, {name}; pass network={name}(...), to load or "
            "evaluate as to train, or register it with cnnlab.models.register"
        )
    return build_network(from_stored(config["experiment"]), config["outputs"])


def stored_task(config: dict[str, Any]) -> Task:
    """Builds the task of a stored config, with every `auto` resolved."""
    name, options = config["task"]["name"], config["task"]["options"]
    if name not in TASKS:
        raise unknown("task", name, TASKS, "A task of your own: pass task=..., to load as to train.")
    return create_task(name, **check_choice(Choice(name, **options), TASKS, "task").options)


def load_data(path: str | Path, moved_to: str | Path | None = None) -> Dataset:
    """Loads the dataset of a run and verifies its splits.

    Args:
      path: run directory.
      moved_to: new path of the data, if it has moved.

    Raises:
      ValueError: the run was trained on data of the caller's own, or its data has changed or is missing.
    """
    config = load_config(path)
    experiment = from_stored(config["experiment"])
    place = experiment.data.options.get("path")
    if moved_to is not None:
        if place is None:
            raise ValueError(f"{path} was trained on {experiment.data.name}, which has no path that could have changed")
        experiment = dataclasses.replace(experiment, data=_moved(experiment.data, place, str(moved_to)))
    elif place is not None and not is_address(place) and not Path(place).exists():
        raise ValueError(f"{path} was trained on {place}, which is not there; say where it is now with --data.path")
    dataset, said = _load_quietly(experiment)
    _check_loaded(config, dataset.fingerprint(), path, said)
    return dataset


def _load_quietly(experiment: Experiment) -> tuple[Dataset, list[warnings.WarningMessage]]:
    """Loads the data of an experiment; returns it with the warnings, which training has printed already."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        return load_experiment_data(experiment), said


def _check_loaded(config: dict, fingerprint: dict[str, str], path: str | Path, said: Sequence) -> None:
    """Verifies the splits of data that was loaded; if they have changed, the warnings are given with the error."""
    try:
        check_data(config, fingerprint, path)
    except ValueError:
        for one in said:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        raise


def load_data_at(path: str | Path, place: str | Path, split: str) -> Dataset:
    """Loads the data of a run from a new path, or a split of another labelled folder of the same classes.

    Data that shares a split with the run's, or has as many examples in each split, is the run's own, and an error says
    if it has changed. Any other folder is read as another one, and a warning says so; the dataset then holds this split
    alone. `cnnlab.data.labelled` has the rules.

    Args:
      path: run directory.
      place: path of the data.
      split: split of another folder.

    Raises:
      ValueError: the data is the run's own and has changed, or the folder does not fit the network.
    """
    config = load_config(path)
    experiment = from_stored(config["experiment"])
    data = experiment.data
    stored = data.options.get("path")
    if stored is not None and (not local(place).is_dir() or here(stored).resolve() == here(place).resolve()):
        return load_data(path, place)
    if stored is not None:
        try:
            own, said = _load_quietly(dataclasses.replace(experiment, data=_moved(data, stored, str(place))))
        except ValueError:
            own = None
        if own is not None and _resembles(own, fingerprint := own.fingerprint(), config["data"]):
            _check_loaded(config, fingerprint, path, said)
            return own
    spec, task = decode(InputSpec, config["spec"], "spec"), stored_task(config)
    dataset = labelled_folder(place, spec, split=split, task=task_name(task), options=data.options)
    require_columns(dataset, complete(task).columns, task_name(task))
    warnings.warn(
        f"{place} is not the data of {path}: {len(dataset[split]):,} examples of another folder are measured",
        stacklevel=3,
    )
    return dataset


def _resembles(dataset: Dataset, fingerprint: dict[str, str], stored: dict[str, Any]) -> bool:
    """Returns whether data is that of a run, perhaps changed: it shares a split, or has as many examples in each."""
    sizes = {split: len(examples) for split, examples in dataset.splits.items()}
    return sizes == stored["sizes"] or any(stored["fingerprint"].get(s) == one for s, one in fingerprint.items())


def _moved(data: Choice, place: str, moved_to: str) -> Choice:
    """Returns the data choice with a new path.

    If its mask or content mask is missing as well, its new path has the same position relative to the data as before.
    """
    missing = {n: data.options.get(n) for n in ("mask", "content")}
    missing = {n: old for n, old in missing.items() if old is not None and not is_address(old)}
    missing = {n: old for n, old in missing.items() if not Path(old).exists()}
    moved = {n: Path(moved_to).parent / os.path.relpath(old, Path(place).parent) for n, old in missing.items()}
    return data.replace(path=moved_to, **{n: str(new) for n, new in moved.items()})


def load_appearance(path: str | Path) -> Appearance | None:
    """Reads what the training images of a run look like; None for a run of an earlier version."""
    stored = load_config(path)["data"].get("appearance")
    return None if stored is None else decode(Appearance, stored, "data.appearance")


def load_config(path: str | Path) -> dict[str, Any]:
    """Reads the config of a run's best step: experiment, task, spec, monitor, data, versions."""
    return first_good(path, "best", lambda manager, number, config: config)
