"""One epoch's steps: each batch sent to the device, or many steps as one program over examples that stay there.

A small network's step on an accelerator takes less time than to send its batch and start it. On a CPU nothing is sent,
and convolutions inside a loop lose their threads: there a scanned epoch takes two to three times as long.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnnlab import compile_cache
from cnnlab.compile import jit
from cnnlab.data import Examples, epoch_order, training_batches
from cnnlab.training import progress
from cnnlab.training.devices import shard
from cnnlab.training.plan import Plan
from cnnlab.training.step import Batch, Metrics, State

Step = Callable[[State, Batch, jax.Array], tuple[State, Metrics]]
"""From a state, a batch and the run's key."""

Steps = Callable[[State, int, int], Iterator[tuple[State, Metrics, slice]]]
"""From a state, an epoch and the first of its steps to take: the states after some steps each, with their metrics,
which are the rows `[steps, runs]` of that slice. Every state is given up for the next one."""

SHARE = 0.25  # of a device's memory that examples may take
FIRST = 64  # steps of the first program
SECONDS = (0.5, 2.0)  # within which the device should answer, for a bar that moves and a signal that is heard


def compile_steps(step: Step, state: State, plans: Sequence[Plan], mesh: Mesh, out: progress.Console) -> Steps:
    """The steps of runs that differ in nothing but their seeds, compiled before the first so that its time is told.

    Args:
      step: of one run; several take it as one vectorised program.
      state: before the first step; of several runs, their states `[runs, ...]`.
      plans: one a run.
      mesh: the devices.
      out: where the compilation is told.

    Raises:
      ValueError: `training.resident` is asked for and the examples cannot stay on the device.
    """
    started, before = time.perf_counter(), compile_cache.hits()
    if len(plans) == 1:
        key = plans[0].key
    else:
        step, key = jax.vmap(step), jnp.stack([made.key for made in plans])
    build = _resident if stays(plans[0], mesh) else _sent
    steps = build(step, state, plans, mesh, key)
    kept = compile_cache.keep_compilations()
    found = ", found in" if compile_cache.hits() > before else ", kept in"
    out.print(f"compiled in {time.perf_counter() - started:.1f} s{f'{found} {kept}' if kept else ''}")
    return steps


def stays(made: Plan, mesh: Mesh) -> bool:
    """Whether the training examples stay on the device: as asked, or on an accelerator where they can."""
    wanted, examples, device = made.training.resident, made.dataset["train"], mesh.devices.flat[0]
    if wanted is False or (wanted is None and device.platform == "cpu"):
        return False
    told = _hindrance(examples, mesh, device)
    if wanted and told:
        raise ValueError(
            f"the training examples of {made.dataset.name} cannot stay on the device: {told}; "
            "leave --training.resident out"
        )
    return not told


def _hindrance(examples: Examples, mesh: Mesh, device: jax.Device) -> str:
    """Why the examples cannot stay on the device; nothing where they can."""
    if mesh.size > 1:
        return f"{mesh.size} devices share each batch"
    if not (isinstance(examples, Examples) and examples.in_memory) or hasattr(examples, "of_epoch"):
        return "they are read or drawn anew in every epoch"
    size = sum(column.nbytes for column in examples.columns.values())
    room = (device.memory_stats() or {}).get("bytes_limit", np.inf) * SHARE
    return f"they take {size / 2**20:,.0f} MB, a quarter of its memory is {room / 2**20:,.0f}" if size > room else ""


def _sent(step: Step, state: State, plans: Sequence[Plan], mesh: Mesh, key: jax.Array) -> Steps:
    """One program a step, each batch sent as it is read."""
    made = plans[0]
    alone = len(plans) == 1

    def batches(epoch: int, start: int) -> Iterator[Batch]:
        order = {"batch_size": made.training.batch_size, "epoch": epoch, "start": start}
        each = [training_batches(made.dataset["train"], seed=one.experiment.seed, **order) for one in plans]
        for found in zip(*each, strict=True):
            yield found[0] if alone else {name: np.stack([one[name] for one in found]) for name in found[0]}

    program = jit(step, donate_argnums=0).lower(state, shard(next(batches(0, 0)), mesh), key).compile()

    def steps(state: State, epoch: int, start: int):
        for batch in batches(epoch, start):
            state, metrics = program(state, shard(batch, mesh), key)
            yield state, metrics, slice(0, 1)

    return steps


def _resident(step: Step, state: State, plans: Sequence[Plan], mesh: Mesh, key: jax.Array) -> Steps:
    """Many steps as one program, over examples that the device keeps."""
    del mesh
    made, alone = plans[0], len(plans) == 1
    columns = jax.device_put(made.dataset["train"].columns)

    def orders(epoch: int) -> np.ndarray:
        size = made.training.batch_size
        each = [epoch_order(len(made.dataset["train"]), size, seed=one.experiment.seed, epoch=epoch) for one in plans]
        return each[0] if alone else np.stack(each, 1)

    program = jit(functools.partial(take_steps, step), donate_argnums=0)
    program = program.lower(state, columns, orders(0), np.int32(0), np.int32(0), key).compile()
    number = FIRST

    def steps(state: State, epoch: int, start: int):
        nonlocal number
        order = orders(epoch)
        while start < len(order):
            began, stop = time.perf_counter(), min(start + number, len(order))
            state, metrics = program(state, columns, order, np.int32(start), np.int32(stop), key)
            yield state, metrics, slice(start, stop)  # the one before is read meanwhile
            start, seconds = stop, time.perf_counter() - began
            number = 2 * number if seconds < SECONDS[0] else max(1, number // 2) if seconds > SECONDS[1] else number

    return steps


def take_steps(
    step: Step, state: State, columns: Batch, order: jax.Array, start: jax.Array, stop: jax.Array, key: jax.Array
) -> tuple[State, Metrics]:
    """The state after the steps `start` to `stop` of an epoch, and the metrics of all its steps, 0 where not taken.

    Args:
      step: of one run, or of several at once.
      state: before the first of them.
      columns: all examples.
      order: those of each step's batch `[steps, B]`, or of several runs `[steps, runs, B]`.
      start: the first step.
      stop: the step after the last; both may change without another compilation.
      key: of the run, or `[runs]` of them.
    """

    def batch(i: jax.Array) -> Batch:
        return {name: column[order[i]] for name, column in columns.items()} | {"weight": jnp.ones(order.shape[1:])}

    def body(i: jax.Array, carry: tuple[State, Metrics]) -> tuple[State, Metrics]:
        state, metrics = step(carry[0], batch(i), key)
        return state, {name: rows.at[i].set(metrics[name]) for name, rows in carry[1].items()}

    shapes = jax.eval_shape(step, state, jax.eval_shape(batch, start), key)[1]
    empty = {name: jnp.zeros((len(order), *one.shape), one.dtype) for name, one in shapes.items()}
    return jax.lax.fori_loop(start, stop, body, (state, empty))


def run_epoch(
    steps: Steps,
    state: State,
    plans: Sequence[Plan],
    losses: Sequence[list[float]],
    pause: Callable[[], bool],
    tick: Callable[[int], None],
    folders: Sequence[Path],
) -> tuple[State, list[list[float]]]:
    """The rest of an epoch after the steps whose losses are given: the state, and every run's losses of all its steps.

    Asked to pause, it ends after the steps at hand. Metrics are read late, so that no device waits for the host.

    Raises:
      FloatingPointError: a loss or a gradient is no longer finite.
    """
    place, losses = len(losses[0]), [list(lost) for lost in losses]
    first = int(np.ravel(state.step)[0])
    epoch = first // plans[0].steps

    def read(metrics: Metrics, part: slice) -> None:
        loss, norm = (np.reshape(metrics[name], (-1, len(plans)))[part] for name in ("loss", "grad_norm"))
        for row in zip(loss, norm, strict=True):
            for lost, folder, *found in zip(losses, folders, *row, strict=True):
                lost.append(_checked(*map(float, found), epoch, len(lost), folder))

    pending = None
    for after, metrics, part in steps(state, epoch, place):
        if pending is not None:
            read(*pending)
        state, pending = after, (metrics, part)
        place += part.stop - part.start
        tick(epoch * plans[0].steps + place)
        if pause():
            break
    read(*pending)
    return state, losses


def _checked(loss: float, norm: float, epoch: int, place: int, run_dir: Path) -> float:
    """The loss, or an error where it or the gradient is not finite."""
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise FloatingPointError(
            f"loss is {loss} with a gradient norm of {norm} at step {place + 1} of epoch {epoch + 1}; {run_dir} keeps "
            "the last good checkpoint, if any. Lower --optimizer.learning-rate or set --optimizer.clip 1, with another "
            "--run-dir"
        )
    return loss
