"""Checkpoints: the only file that knows Orbax.

A step holds `model` (the variables that evaluation uses), `optimizer` (what resuming needs besides), `config` (JSON:
all that evaluation must know, and a digest of every array) and `metrics`.
"""

import contextlib
import hashlib
import importlib.metadata
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

SCHEMA = 1
DIRECTORY = "checkpoints"


def versions() -> dict[str, str]:
    """Of the packages that the numbers depend on."""
    return {name: importlib.metadata.version(name) for name in ("cnnlab", "jax", "jaxlib", "flax", "optax")}


@contextlib.contextmanager
def open_manager(run_dir: Path, *, monitor: str = "", maximise: bool = False, read_only: bool = False) -> Iterator:
    """An Orbax manager that keeps the latest and the best step."""
    import orbax.checkpoint as ocp
    from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns about its own internals at every save
    worst = -math.inf if maximise else math.inf

    def metric(metrics: dict[str, float]) -> float:
        value = metrics.get(monitor, math.nan)
        return worst if math.isnan(value) else value

    keep = [policy.LatestN(1), policy.BestN(get_metric_fn=metric, reverse=not maximise, n=1)]
    options = ocp.CheckpointManagerOptions(
        preservation_policy=None if read_only else policy.AnyPreservationPolicy(keep),
        best_fn=None if read_only else metric,
        best_mode="max" if maximise else "min",
        read_only=read_only,
    )
    with ocp.CheckpointManager((run_dir / DIRECTORY).resolve(), options=options) as manager:
        yield manager


def save(manager, step: int, *, model: Any, optimizer: Any, config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Saves a step in the background; a step that is not complete is never taken for one."""
    import orbax.checkpoint as ocp

    config = config | {"digest": {"model": digest(model), "optimizer": digest(optimizer)}}
    items = ocp.args.Composite(
        model=ocp.args.StandardSave(model),
        optimizer=ocp.args.StandardSave(optimizer),
        config=ocp.args.JsonSave(config),
    )
    manager.save(step, args=items, metrics=metrics)


def read_config(manager, step: int) -> dict[str, Any]:
    """The JSON stored with a step."""
    import orbax.checkpoint as ocp

    config = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore())).config
    if config.get("schema") != SCHEMA:
        raise ValueError(
            f"step {step} of {manager.directory} has schema {config.get('schema')}, this cnnlab reads {SCHEMA}; "
            f"it was written by {config.get('versions')}"
        )
    return config


def restore(manager, step: int, item: str, like: Any, config: dict[str, Any]) -> Any:
    """One item as arrays on this machine's devices, verified against its digest.

    Args:
      manager: from `open_manager`.
      step: an existing step.
      item: `model` or `optimizer`.
      like: a pytree of arrays or `jax.ShapeDtypeStruct` of the same structure.
      config: of the step.

    Raises:
      ValueError: the arrays are not those that were saved.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    check_structure(like, config["digest"][item], f"{item} of step {step} in {manager.directory}")
    found = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(like)}))[item]
    for path, expected in config["digest"][item].items():
        if digest(found)[path] != expected:
            raise ValueError(f"{item}{path} of step {step} in {manager.directory} is damaged: its digest differs")
    return found


def check_structure(like: Any, stored: dict[str, str], what: str) -> None:
    """Raises `ValueError`, listing paths, where a checkpoint holds other arrays than the network needs."""
    needed = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    missing, extra = sorted(needed - set(stored)), sorted(set(stored) - needed)
    if missing or extra:
        raise ValueError(
            f"{what} does not fit this network: missing {', '.join(missing) or 'nothing'}; "
            f"not used {', '.join(extra) or 'nothing'}"
        )


def digest(tree: Any) -> dict[str, str]:
    """A SHA-256 of every array's dtype, shape and bytes, by its path in the tree."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(jax.device_get(tree)):
        array = np.ascontiguousarray(leaf)
        head = f"{array.dtype} {array.shape} ".encode()
        out[jax.tree_util.keystr(path)] = hashlib.sha256(head + array.tobytes()).hexdigest()
    return out


def best_step(manager, metric: str, maximise: bool) -> int:
    """The step with the best metric, the earliest of equal ones."""
    values = {step: (manager.metrics(step) or {}).get(metric, math.nan) for step in manager.all_steps()}
    known = {step: value for step, value in sorted(values.items()) if not math.isnan(value)}
    if not known:
        return max(values)
    return max(known, key=known.get) if maximise else min(known, key=known.get)
