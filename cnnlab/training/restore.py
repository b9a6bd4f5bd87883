"""What a checkpoint holds of a run, and the way back: to go on training, or to a network from its path alone."""

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import unknown
from cnnlab.files.strict_json import decode, encode
from cnnlab.models import MODELS
from cnnlab.nn.apply import Variables
from cnnlab.tasks import TASKS, Task, create_task
from cnnlab.trained import Trained
from cnnlab.training import checkpoint
from cnnlab.training.experiment import Choice, Experiment, check_choice
from cnnlab.training.plan import Plan, build_network, load_experiment_data
from cnnlab.training.run import CHECKPOINTS, EXPERIMENT
from cnnlab.training.step import State

T = TypeVar("T")


def evaluated_variables(state: State) -> Variables:
    """The variables that evaluation uses: the average, where one is kept."""
    return {"params": state.params, **state.stats} if state.average is None else state.average


def step_items(state: State) -> dict[str, Any]:
    """A state as a checkpoint's two items: what evaluation reads, and what resuming needs besides."""
    rest = {"state": state.optimizer}
    if state.average is not None:
        rest |= {"params": state.params, "stats": state.stats}
    return {"model": evaluated_variables(state), "optimizer": rest}


def run_config(plan: Plan) -> dict[str, Any]:
    """All that evaluation must know, with everything `auto` resolved."""
    task, dataset = plan.task, plan.dataset
    return {
        "schema": checkpoint.SCHEMA,
        "experiment": plan.experiment.to_json(),
        "network": signature(plan.network),
        "task": {
            "name": plan.experiment.task.name,
            "options": encode(task) if type(task) in TASKS.values() else repr(task),
        },
        "spec": encode(dataset.spec),
        "outputs": task.head(dataset.spec),
        "monitor": {"metric": plan.monitor, "maximise": plan.maximise},
        "data": {
            "name": dataset.name,
            "sizes": {split: len(examples) for split, examples in dataset.splits.items()},
            "fingerprint": dataset.fingerprint(),
        },
        "versions": checkpoint.versions(),
    }


def signature(network: nn.Module) -> str:
    """A network's class and fields in one line: `LeNet5(num_classes=10, dropout=0.3, ...)`."""
    names = [field.name for field in dataclasses.fields(network) if field.name not in ("parent", "name")]
    return f"{type(network).__name__}({', '.join(f'{name}={getattr(network, name)!r}' for name in names)})"


def resume(manager, state: State, config: dict[str, Any], tell: Callable[[str], None]) -> tuple[State, list[float]]:
    """The latest good step's state, with the losses of its unfinished epoch; the given state where there is no step.

    A damaged step is moved out of the way, to `RUN/damaged/`, and told of.

    Raises:
      ValueError: the run was trained on other data, or another network.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
        try:
            stored = checkpoint.read_config(manager, step)
            check_same(stored, config, manager.directory.parent)
            items = [checkpoint.restore(manager, step, name, like, stored) for name, like in step_items(state).items()]
        except checkpoint.Damaged as error:
            tell(f"{error}; going back to the step before it")
            checkpoint.set_aside(manager, step)
            continue
        model, rest = items
        stats = {name: value for name, value in model.items() if name != "params"}
        config["init_from"] = stored.get("init_from")  # what is saved from now on still tells it
        _tell_versions(stored["versions"], config["versions"], tell)
        restored = State(jnp.asarray(step, jnp.int32), model["params"], stats, rest["state"])
        if state.average is not None:
            restored = restored.replace(params=rest["params"], stats=rest["stats"], average=model)
        return restored, stored.get("losses", []) if manager.metrics(step) is None else []
    if steps:
        raise ValueError(
            f"no checkpoint of {manager.directory.parent} is whole, see its folder damaged; choose another --run-dir"
        )
    return state, []


def _tell_versions(stored: dict[str, str], now: dict[str, str], tell: Callable[[str], None]) -> None:
    changed = [f"{name} {stored[name]}, now {now[name]}" for name in now if stored.get(name, now[name]) != now[name]]
    if changed:
        tell(f"begun with {'; '.join(changed)}: the rest may differ in its last bits")


def check_same(stored: dict[str, Any], given: dict[str, Any], run_dir) -> None:
    """Raises `ValueError` where a run would go on with another network, task or data than it was begun with."""
    begun = {"network": stored["network"], "task": stored["task"]}
    if stored["experiment"]["model"]["name"] in MODELS:  # built anew: options that came since then have their defaults
        begun["network"] = signature(_stored_network(stored))
    if stored["task"]["name"] in TASKS:
        begun["task"] = {"name": stored["task"]["name"], "options": encode(_stored_task(stored))}
    for part, value in begun.items():
        if value != given[part]:
            raise ValueError(
                f"{run_dir} was begun with the {part} {value}, not {given[part]}; choose another --run-dir"
            )
    if "init_from" in stored and given.get("init_from") not in (None, stored["init_from"]):
        begun = stored["init_from"] or "fresh weights"
        raise ValueError(f"{run_dir} was begun from {begun}, not {given['init_from']}; choose another --run-dir")
    check_data(stored, given["data"]["fingerprint"], run_dir)


def check_data(config: dict[str, Any], fingerprint: dict[str, str], run_dir) -> None:
    """Raises `ValueError` where a run is used with other splits than it was trained with."""
    stored = config["data"]["fingerprint"]
    changed = [split for split in stored if stored[split] != fingerprint.get(split)]
    if changed:
        raise ValueError(
            f"{run_dir} was trained with other splits of {config['data']['name']} than these ({', '.join(changed)} "
            "differ); restore the data or choose another --run-dir"
        )


@contextlib.contextmanager
def open_run_checkpoints(path: str | Path) -> Iterator:
    """The manager of a run, read only.

    Raises:
      ValueError: the path holds no run, or nothing was saved yet.
    """
    path = Path(path)
    if not (path / CHECKPOINTS).is_dir():
        begun = " (a run was begun there, but no epoch was saved)" if (path / EXPERIMENT).exists() else ""
        raise ValueError(f"{path} is no run{begun}; give the --run-dir of a training")
    with checkpoint.open_manager(path, read_only=True) as manager:
        if not manager.all_steps():
            raise ValueError(f"{path} holds no checkpoint yet; train it first")
        yield manager


def first_good(path: str | Path, step: int | str, use: Callable[[Any, int, dict[str, Any]], T]) -> T:
    """`use(manager, step, config)` of the step asked for; where it is damaged, of the next best, with a warning.

    Raises:
      ValueError: there is no such step, or every one is damaged.
    """
    with open_run_checkpoints(path) as manager:
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
    """The network of a run, from its path alone.

    A damaged step is passed over, with a warning, for the next best.

    Args:
      path: a run directory; it may have been moved.
      step: `best` on validation, `latest`, or a number.
      network: the module, where the run was trained with one of your own.
      task: likewise.

    Raises:
      ValueError: the path holds no run, only damaged steps, or those of another network.
    """

    def build(manager, number: int, config: dict[str, Any]) -> Trained:
        spec = decode(InputSpec, config["spec"], "spec")
        module = _stored_network(config) if network is None else network
        images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
        like = jax.eval_shape(functools.partial(cnn.init, module), images, jax.random.key(0))
        variables = checkpoint.restore(manager, number, "model", like, config)
        return Trained(variables, module, _stored_task(config) if task is None else task, spec)

    return first_good(path, step, build)


def load_network(path: str | Path) -> tuple[nn.Module, InputSpec]:
    """The network of a run and its input, without the weights.

    Raises:
      ValueError: the path holds no run, or one of a network of the caller's own.
    """
    config = load_config(path)
    return _stored_network(config), decode(InputSpec, config["spec"], "spec")


def _stored_network(config: dict[str, Any]) -> nn.Module:
    return build_network(Experiment.from_json(config["experiment"]), config["outputs"])


def _stored_task(config: dict[str, Any]) -> Task:
    """The task with everything resolved, as it was trained."""
    name, options = config["task"]["name"], config["task"]["options"]
    if name not in TASKS:
        raise unknown("task", name, TASKS, "A task of your own: pass task=..., to load as to train.")
    return create_task(name, **check_choice(Choice(name, **options), TASKS, "task").options)


def load_data(path: str | Path, moved_to: str | Path | None = None) -> Dataset:
    """The dataset that a run was trained with, its splits verified.

    Args:
      path: the run directory.
      moved_to: where its data now lies, if no longer where it was.

    Raises:
      ValueError: the run was trained on data of the caller's own, or its data has changed or is not there.
    """
    config = load_config(path)
    experiment = Experiment.from_json(config["experiment"])
    place = experiment.data.options.get("path")
    if moved_to is not None:
        if place is None:
            raise ValueError(f"{path} was trained on {experiment.data.name}, which has no path that could have changed")
        experiment = dataclasses.replace(experiment, data=_moved(experiment.data, place, str(moved_to)))
    elif place is not None and not Path(place).exists():
        raise ValueError(f"{path} was trained on {place}, which is not there; say where it is now with --data.path")
    dataset = load_experiment_data(experiment)
    check_data(config, dataset.fingerprint(), path)
    return dataset


def _moved(data: Choice, place: str, moved_to: str) -> Choice:
    """The data with another path; its mask and its content mask, if they are gone too, beside it as they lay before."""
    gone = {n: data.options.get(n) for n in ("mask", "content")}
    gone = {n: old for n, old in gone.items() if old is not None and not Path(old).exists()}
    beside = {n: Path(moved_to).parent / os.path.relpath(old, Path(place).parent) for n, old in gone.items()}
    return data.replace(path=moved_to, **{n: str(new) for n, new in beside.items()})


def load_config(path: str | Path) -> dict[str, Any]:
    """What a run stored beside its best step: experiment, task, spec, monitor, data, versions."""
    return first_good(path, "best", lambda manager, number, config: config)
