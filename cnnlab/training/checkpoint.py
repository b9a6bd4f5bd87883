"""Saves, verifies and restores checkpoints; the only module that uses Orbax.

A checkpoint of one step has four items: `model` (the variables that evaluation uses), `optimizer` (the rest of the
state, for resuming), `config` (JSON: the settings that evaluation needs, and a digest of every array) and `metrics`.
"""

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import logging
import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from cnnlab.files.atomic import write_text
from cnnlab.files.digest import array_kind, digest
from cnnlab.files.text import read_json
from cnnlab.runtime.devices import is_first_process
from cnnlab.training.run import CHECKPOINTS, EXPERIMENT
from cnnlab.version import VERSION

SCHEMA = 2
MAX_BYTES = 100_000_000  # of a JSON file of a step


class Damaged(ValueError):
    """A checkpoint differs from what was saved."""


def unreadable(what: str, error: Exception) -> Exception:
    """Returns the error to raise for a part of a checkpoint that cannot be read.

    It is `Damaged`, unless the error may have another cause, such as a lack of memory or of permission. Missing,
    truncated and garbled files raise many kinds of errors inside Orbax, some of them a bare `Exception`.
    """
    reason = str(error) or repr(error)
    other_cause = isinstance(error, MemoryError | jax.errors.JaxRuntimeError) or (
        isinstance(error, OSError) and not isinstance(error, FileNotFoundError | NotADirectoryError)
    )
    denials = ("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "Permission denied")
    if other_cause or any(denial in reason for denial in denials):
        return OSError(f"{what} cannot be read: {reason.splitlines()[0]}")
    return Damaged(f"{what} cannot be read: {reason.splitlines()[0]}")


def versions() -> dict[str, str]:
    """Returns the versions of the packages that affect numerical results."""
    others = ("jax", "jaxlib", "flax", "optax")
    return {"cnnlab": VERSION} | {name: importlib.metadata.version(name) for name in others}


@contextlib.contextmanager
def open_manager(run_dir: Path, *, monitor: str = "", maximise: bool = False, read_only: bool = False) -> Iterator:
    """Yields an Orbax manager that keeps the latest and the best step.

    Args:
      run_dir: the run directory.
      monitor: name of the metric that chooses the best step.
      maximise: whether larger values of this metric are better.
      read_only: whether the manager only reads and deletes no step.
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint.checkpoint_managers import preservation_policy as policy

    for name in ("absl", "asyncio"):  # Orbax logs its internals at every save, and a full disk once for every array
        logging.getLogger(name).setLevel(logging.CRITICAL)
    _set_aside_damaged(run_dir / CHECKPOINTS)
    worst = -math.inf if maximise else math.inf

    def metric(metrics: dict[str, float]) -> float:
        value = metrics.get(monitor, math.nan)
        return worst if math.isnan(value) else value

    best = policy.BestN(get_metric_fn=metric, reverse=not maximise, n=1, keep_checkpoints_without_metrics=False)
    options = ocp.CheckpointManagerOptions(
        preservation_policy=None if read_only else policy.AnyPreservationPolicy([policy.LatestN(1), best]),
        best_fn=None if read_only else metric,
        best_mode="max" if maximise else "min",
        read_only=read_only,
        enable_async_checkpointing=not read_only,
        multiprocessing_options=_alone(ocp.options) if read_only else ocp.options.MultiprocessingOptions(),
    )
    try:
        with contextlib.ExitStack() as stack:
            manager = stack.enter_context(ocp.CheckpointManager((run_dir / CHECKPOINTS).resolve(), options=options))
            try:
                yield manager
            except BaseException:
                if jax.process_count() > 1 and not read_only:
                    stack.pop_all()  # closing it would wait for processes that may be dead
                raise
    except Exception as error:
        if not read_only and (cause := _cause_outside(error, run_dir)):
            raise OSError(cause) from error
        raise


def _alone(options):
    """Returns the options of a manager that one process opens for itself, without waiting for others."""
    number = jax.process_index()
    return (
        options.MultiprocessingOptions(number, {number}, f"process{number}")
        if jax.process_count() > 1
        else (options.MultiprocessingOptions())
    )


def _cause_outside(error: Exception, run_dir: Path) -> str:
    """Returns what stopped the writing of a run, if it lies outside the program; else the empty string."""
    number, text = getattr(error, "errno", None), str(error)
    if number in (errno.ENOSPC, errno.EDQUOT) or any(sign in text for sign in ("RESOURCE_EXHAUSTED", "No space left")):
        if isinstance(error, jax.errors.JaxRuntimeError):  # the memory of a device is full
            return ""
        return f"the disk of {run_dir} is full; make room, and the same command goes on"
    if not (run_dir / EXPERIMENT).exists():
        return f"{run_dir} was moved or deleted while it was written; move it back, and the same command goes on"
    return ""


def save(
    manager, step: int, *, model: Any, optimizer: Any, config: dict[str, Any], metrics: dict[str, float] | None = None
) -> None:
    """Saves a step in the background; an incomplete step is never read as a checkpoint.

    A step without metrics, which is saved in the middle of an epoch or before validation, stays only while it is the
    latest. Saving the same step again adds the metrics to it.

    Args:
      manager: manager from `open_manager`.
      step: number of the step.
      model: variables that evaluation uses.
      optimizer: the rest of the state, for resuming.
      config: settings to store as JSON.
      metrics: validation metrics by name.
    """
    import orbax.checkpoint as ocp

    if step in manager.all_steps():
        manager.wait_until_finished()
        file = manager.directory / str(step) / "metrics" / "metrics"
        if is_first_process():
            file.parent.mkdir(exist_ok=True)
            write_text(file, json.dumps(_signed(metrics)))
        manager.reload()
        return
    config = config | {"digest": {"model": digest(model), "optimizer": digest(optimizer)}}
    config = config | {"own_digest": _json_digest(config)}
    items = ocp.args.Composite(
        model=ocp.args.StandardSave(model),
        optimizer=ocp.args.StandardSave(optimizer),
        config=ocp.args.JsonSave(config),
    )
    manager.save(step, args=items, metrics=_signed(metrics))


def read_config(manager, step: int) -> dict[str, Any]:
    """Reads the JSON config of a step.

    Raises:
      Damaged: the config cannot be read or its digest differs.
      ValueError: another version of cnnlab wrote it with another schema.
    """
    import orbax.checkpoint as ocp

    try:
        config = manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore())).config
    except Exception as error:
        raise unreadable(f"config of step {step} in {manager.directory}", error) from error
    if not isinstance(config, dict) or not {"schema", "versions"} <= config.keys():
        raise Damaged(f"config of step {step} in {manager.directory} is damaged: it is no object with a schema")
    if config.pop("own_digest", known := _json_digest(config)) != known:
        raise Damaged(f"config of step {step} in {manager.directory} is damaged: its digest differs")
    if config.get("schema") != SCHEMA:
        raise ValueError(
            f"step {step} of {manager.directory} has schema {config.get('schema')}, this cnnlab reads {SCHEMA}; "
            f"it was written by {config.get('versions')}"
        )
    return config


def restore(manager, step: int, item: str, like: Any, config: dict[str, Any]) -> Any:
    """Reads one item as arrays on a local device and verifies their digests.

    Args:
      manager: manager from `open_manager`.
      step: number of an existing step.
      item: `model` or `optimizer`.
      like: pytree of arrays or `jax.ShapeDtypeStruct` with the structure of the item.
      config: config of the step.

    Raises:
      Damaged: the arrays are not those that were saved.
      ValueError: the network needs other arrays.
    """
    import orbax.checkpoint as ocp

    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), like)
    check_structure(like, config["digest"][item], f"{item} of step {step} in {manager.directory}")
    where = f"{item} of step {step} in {manager.directory}"
    try:
        arrays = manager.restore(step, args=ocp.args.Composite(**{item: ocp.args.StandardRestore(like)}))[item]
    except Exception as error:
        raise unreadable(where, error) from error
    known = digest(arrays)
    for path, expected in config["digest"][item].items():
        if known[path] != expected:
            raise Damaged(f"{where} is damaged: the digest of {path} differs")
    return arrays


def check_structure(like: Any, stored: dict[str, str], what: str) -> None:
    """Raises `ValueError`, listing paths, if a checkpoint holds other arrays than the network needs.

    Args:
      like: pytree of arrays or `jax.ShapeDtypeStruct` that the network needs.
      stored: digest of each array of the checkpoint, by path.
      what: name of the item in the error message.
    """
    needed = {jax.tree_util.keystr(path): array_kind(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(like)}
    missing, extra = sorted(needed.keys() - stored.keys()), sorted(stored.keys() - needed.keys())
    differences = [f"missing {', '.join(missing)}"] * bool(missing) + [f"not used {', '.join(extra)}"] * bool(extra)
    for path in sorted(needed.keys() & stored.keys()):
        saved = stored[path].split()[0]
        if saved != needed[path]:
            differences.append(f"{path} is {saved} there and {needed[path]} here")
    if differences:
        raise ValueError(f"{what} does not fit this network: {'; '.join(differences)}")


def _json_digest(config: dict[str, Any]) -> str:
    """Computes the SHA-256 of a config without its own digest."""
    rest = {name: value for name, value in config.items() if name != "own_digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def restore_as_saved(manager, step: int, item: str, config: dict[str, Any]) -> Any:
    """Reads one item as nested dicts, without knowing its network, and verifies its digests."""
    import orbax.checkpoint as ocp

    try:
        with ocp.StandardCheckpointer() as checkpointer:
            metadata = checkpointer.metadata(manager.directory / str(step) / item).item_metadata.tree
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), metadata)
    except Exception as error:
        raise unreadable(f"{item} of step {step} in {manager.directory}", error) from error
    return restore(manager, step, item, like, config)


def set_aside(manager, step: int) -> None:
    """Moves a step to `RUN/damaged/`, where the manager does not see it; nothing is deleted."""
    _move_away(Path(manager.directory) / str(step))
    manager.reload()


def _move_away(step: Path) -> None:
    """Moves a step, or a file of one, to `RUN/damaged/`."""
    run = step.parents[1] if step.name.isdigit() else step.parents[2]
    target = run / "damaged" / f"{step.name}-{time.time_ns()}"
    target.parent.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another process of the same training has moved it
        step.rename(target)


def _set_aside_damaged(directory: Path) -> None:
    """Moves damaged files to `RUN/damaged/` with a warning, because a manager cannot be opened with one of them.

    Damaged metrics take their step with them. Orbax's own notes beside a step go alone: nothing is read from them.
    """
    for file in directory.glob("*/metrics/metrics"):
        try:
            _check_metrics(read_json(file, limit=MAX_BYTES, strict=False), file)
        except ValueError as error:
            warnings.warn(f"damaged: {error}; the step is moved to the run's folder damaged", stacklevel=4)
            _move_away(file.parents[1])
    for file in directory.glob("*/_CHECKPOINT_METADATA"):
        try:
            if not isinstance(read_json(file, limit=MAX_BYTES, strict=False), dict):
                raise ValueError(f"{file} holds no object")
        except ValueError as error:
            warnings.warn(f"damaged: {error}; the file is moved to the run's folder damaged", stacklevel=4)
            _move_away(file)


def _signed(metrics: dict[str, float] | None) -> dict[str, Any] | None:
    """Returns the metrics with their digest."""
    return None if metrics is None else metrics | {"own_digest": _json_digest(metrics)}


def _check_metrics(metrics: Any, file: Path) -> None:
    """Raises `ValueError` unless these are a step's metrics as they were saved; earlier versions saved no digest."""
    if metrics is None:  # the step lies within an epoch
        return
    if not isinstance(metrics, dict):
        raise ValueError(f"{file} holds no object")
    if metrics.get("own_digest", known := _json_digest(metrics)) != known:
        raise ValueError(f"{file} is not what was saved: its digest differs")


def candidates(manager, step: int | str) -> list[int]:
    """Returns the steps in the order in which to try them.

    Args:
      manager: manager of a run.
      step: `best` orders by the run's metric, with the earlier of equal steps first and steps without the metric last;
        `latest` orders from the last step to the first; a number selects this step alone.
    """
    steps = sorted(manager.all_steps())
    if step != "best":
        return steps[::-1] if step == "latest" else [number for number in steps if number == step]
    values = {}
    for number in steps:
        with contextlib.suppress(Exception):  # a step whose metric cannot be read comes last
            monitor = read_config(manager, number)["monitor"]
            value = manager.metrics(number)[monitor["metric"]]
            values[number] = math.inf if math.isnan(value) else (-value if monitor["maximise"] else value)
    return sorted(steps, key=lambda number: (values.get(number, math.inf), number if number in values else -number))
