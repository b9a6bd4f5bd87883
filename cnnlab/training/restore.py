"""What a checkpoint holds of a run, and the way back: to go on training, or to a network from its path alone."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.data import Dataset, InputSpec
from cnnlab.nn.apply import Variables
from cnnlab.tasks import TASKS, Task, create_task
from cnnlab.trained import Trained
from cnnlab.training import checkpoint
from cnnlab.training.experiment import Choice, Experiment, build_network, check_choice
from cnnlab.training.optimizer import averaged
from cnnlab.training.run import EXPERIMENT
from cnnlab.training.step import State
from cnnlab.training.strict_json import decode, encode


def evaluated_variables(state: State) -> Variables:
    """The variables that evaluation uses: averaged parameters where an average is kept."""
    return {"params": averaged(state.optimizer, state.params), **state.stats}


def step_items(state: State) -> dict[str, Any]:
    """A state as a checkpoint's two items: what evaluation reads, and what resuming needs besides."""
    return {"model": evaluated_variables(state), "optimizer": {"state": state.optimizer, "params": state.params}}


def run_config(
    experiment: Experiment, dataset: Dataset, network: nn.Module, task: Task, monitor: str, maximise: bool
) -> dict[str, Any]:
    """All that evaluation must know, with everything `auto` resolved."""
    return {
        "schema": checkpoint.SCHEMA,
        "experiment": experiment.to_json(),
        "network": repr(network),
        "task": {"name": experiment.task.name} | (encode(task) if dataclasses.is_dataclass(task) else {}),
        "spec": encode(dataset.spec),
        "outputs": task.head(dataset.spec),
        "monitor": {"metric": monitor, "maximise": maximise},
        "data": {
            "name": dataset.name,
            "sizes": {split: len(examples) for split, examples in dataset.splits.items()},
            "fingerprint": dataset.fingerprint(),
        },
        "versions": checkpoint.versions(),
    }


def resume(manager, state: State, config: dict[str, Any]) -> State:
    """The latest step's state, or the given one where there is none yet.

    Raises:
      ValueError: the run was trained on other data, or its latest step is damaged.
    """
    step = manager.latest_step()
    if step is None:
        return state
    stored = checkpoint.read_config(manager, step)
    check_data(stored, config["data"]["fingerprint"], manager.directory.parent)
    model, rest = (checkpoint.restore(manager, step, name, like, stored) for name, like in step_items(state).items())
    stats = {name: value for name, value in model.items() if name != "params"}
    return State(jnp.asarray(step, jnp.int32), rest["params"], stats, rest["state"])


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
def open_step(path: str | Path, step: int | str = "best") -> Iterator[tuple[Any, int, dict[str, Any]]]:
    """The manager of a run, a step's number and its config.

    Args:
      path: a run directory.
      step: `best`, `latest`, or a number.

    Raises:
      ValueError: the path holds no run or no such step.
    """
    path = Path(path)
    if not (path / checkpoint.DIRECTORY).is_dir():
        begun = " (a run was begun there, but no epoch was saved)" if (path / EXPERIMENT).exists() else ""
        raise ValueError(f"{path} is no run{begun}; give the --run-dir of a training")
    with checkpoint.open_manager(path, read_only=True) as manager:
        steps = sorted(manager.all_steps())
        if not steps:
            raise ValueError(f"{path} holds no checkpoint yet; train it first")
        config = checkpoint.read_config(manager, steps[-1])
        if step == "best":
            step = checkpoint.best_step(manager, **config["monitor"])
        number = steps[-1] if step == "latest" else step
        if number not in steps:
            raise ValueError(f"{path} keeps the steps {', '.join(map(str, steps))}; not {step!r}")
        yield manager, number, checkpoint.read_config(manager, number)


def load(
    path: str | Path, *, step: int | str = "best", network: nn.Module | None = None, task: Task | None = None
) -> Trained:
    """The network of a run, from its path alone.

    Args:
      path: a run directory; it may have been moved.
      step: `best` on validation, `latest`, or a number.
      network: the module, where the run was trained with one of your own.
      task: likewise.

    Raises:
      ValueError: the path holds no run, a damaged one, or one of another network.
    """
    with open_step(path, step) as (manager, number, config):
        experiment = Experiment.from_json(config["experiment"])
        spec = decode(InputSpec, config["spec"], "spec")
        if network is None:
            network = build_network(experiment, config["outputs"])
        if task is None:
            choice = check_choice(Choice(**config["task"]), TASKS, "task")
            task = create_task(choice.name, **choice.options)
        images = jax.ShapeDtypeStruct((1, *spec.shape), jnp.float32)
        like = jax.eval_shape(functools.partial(cnn.init, network), images, jax.random.key(0))
        return Trained(checkpoint.restore(manager, number, "model", like, config), network, task, spec)
