"""Resumes a run: the items of a checkpoint, and whether the run that is stored is the one that is asked for."""

import dataclasses
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from cnnlab.data.appearance import appearance
from cnnlab.files.strict_json import encode
from cnnlab.models import MODELS
from cnnlab.tasks import TASKS
from cnnlab.training import checkpoint
from cnnlab.training.plan import Plan
from cnnlab.training.restore import check_data, evaluated_variables, stored_network, stored_task, variable_shapes
from cnnlab.training.step import State


def step_items(state: State) -> dict[str, Any]:
    """Splits a state into the two items of a checkpoint: variables for evaluation, and the rest for resuming."""
    rest = {"state": state.optimizer}
    if state.average is not None:
        rest |= {"params": state.params, "stats": state.stats}
    return {"model": evaluated_variables(state), "optimizer": rest}


def run_config(plan: Plan) -> dict[str, Any]:
    """Returns the settings of a run that evaluation needs, with every `auto` resolved, as JSON types."""
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
        "hooks": plan.hooks.names(lambda: variable_shapes(plan.network, dataset.spec)["params"]),
        "monitor": {"metric": plan.monitor, "maximise": plan.maximise},
        "data": {
            "name": dataset.name,
            "sizes": {split: len(examples) for split, examples in dataset.splits.items()},
            "fingerprint": dataset.fingerprint(),
            "appearance": encode(appearance(dataset)),
        },
        "versions": checkpoint.versions(),
    }


def signature(network: nn.Module) -> str:
    """Returns the class and the fields of a network in one line: `LeNet5(num_classes=10, dropout=0.3, ...)`."""
    names = [field.name for field in dataclasses.fields(network) if field.name not in ("parent", "name")]
    text = f"{type(network).__name__}({', '.join(f'{name}={getattr(network, name)!r}' for name in names)})"
    return re.sub(r" at 0x[0-9a-f]+>", ">", text)  # addresses of functions differ in each process


def resume(manager, state: State, config: dict[str, Any], report: Callable[[str], None]) -> tuple[State, list[float]]:
    """Restores the state of the latest undamaged step and the losses of its unfinished epoch.

    If there is no step, it returns the fresh state without losses. It moves a damaged step to `RUN/damaged/`.

    Args:
      manager: manager of the run's checkpoints.
      state: fresh state.
      config: settings of this call from `run_config`; its `init_from` is replaced by the stored one.
      report: function that prints a message.

    Raises:
      ValueError: the run was trained with another network, task or data, or every step is damaged.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    for step in steps:
        try:
            stored = checkpoint.read_config(manager, step)
            check_same(stored, config, manager.directory.parent)
            _warn_of_other_hooks(stored.get("hooks", {}), config["hooks"], manager.directory.parent)
            items = [checkpoint.restore(manager, step, name, like, stored) for name, like in step_items(state).items()]
        except checkpoint.Damaged as error:
            report(f"{error}; going back to the step before it")
            checkpoint.set_aside(manager, step)
            continue
        model, rest = items
        stats = {name: value for name, value in model.items() if name != "params"}
        config["init_from"] = stored.get("init_from")  # later checkpoints store it too
        _report_versions(stored["versions"], config["versions"], report)
        restored = State(jnp.asarray(step, jnp.int32), model["params"], stats, rest["state"])
        if state.average is not None:
            restored = restored.replace(params=rest["params"], stats=rest["stats"], average=model)
        return restored, stored.get("losses", []) if manager.metrics(step) is None else []
    if steps:
        raise ValueError(
            f"no checkpoint of {manager.directory.parent} is whole, see its folder damaged; choose another --run-dir"
        )
    return state, []


def _warn_of_other_hooks(stored: dict[str, Any], hooks: dict[str, Any], run_dir: Path) -> None:
    """Warns if the caller's own functions have other names than those with which the run began.

    Raises:
      ValueError: an optimizer of the caller's own has other states than the stored ones.
    """
    for kind, now in hooks.items():
        before = stored.get(kind) or ([] if isinstance(now, list) else None)
        if before == now:
            continue
        texts = [", ".join(names) if isinstance(names, list) else names for names in (before, now)]
        old, new = (text or "none of your own" for text in texts)
        sentence = f"{run_dir} was trained with the {kind} {old}, here it is {new}"
        if kind == "optimizer":
            raise ValueError(f"{sentence}; pass the same optimizer=..., or choose another --run-dir")
        warnings.warn(sentence, stacklevel=6)


def _report_versions(stored: dict[str, str], now: dict[str, str], report: Callable[[str], None]) -> None:
    """Prints a message if the run began with other versions of the packages."""
    changed = [f"{name} {stored[name]}, now {now[name]}" for name in now if stored.get(name, now[name]) != now[name]]
    if changed:
        report(f"the run began with {'; '.join(changed)}: later steps may differ in their last bits")


def check_same(stored: dict[str, Any], config: dict[str, Any], run_dir) -> None:
    """Raises `ValueError` if network, task, initial weights or data differ from those with which the run began.

    Args:
      stored: settings in the checkpoint.
      config: settings of this call.
      run_dir: run directory, for error messages.
    """
    parts = {"network": stored["network"], "task": stored["task"]}
    if stored["experiment"]["model"]["name"] in MODELS:  # built again, so that newer options have their defaults
        parts["network"] = signature(stored_network(stored))
    if stored["task"]["name"] in TASKS:
        parts["task"] = {"name": stored["task"]["name"], "options": encode(stored_task(stored))}
    for part, value in parts.items():
        if value != config[part]:
            raise ValueError(f"{run_dir} began with the {part} {value}, not {config[part]}; choose another --run-dir")
    if "init_from" in stored and config.get("init_from") not in (None, stored["init_from"]):
        source = stored["init_from"] or "fresh weights"
        raise ValueError(f"{run_dir} began from {source}, not {config['init_from']}; choose another --run-dir")
    check_data(stored, config["data"]["fingerprint"], run_dir)
