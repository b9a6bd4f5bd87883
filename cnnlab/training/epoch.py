"""The steps of one epoch, which either send each batch to the device or read examples that stay there.

If the examples stay on the device, one program takes many steps. On an accelerator a small network's step takes less
time than sending its batch and starting the program. On a CPU nothing is sent, and XLA runs convolutions inside a loop
without threads, so each step is a program of its own.
"""

import functools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from cnnlab.data import Examples, epoch_order, training_batches
from cnnlab.data.columns import EVALUATION_ONLY
from cnnlab.runtime import compile_cache, memory
from cnnlab.runtime.compile import jit
from cnnlab.runtime.devices import own_rows, shard
from cnnlab.training.plan import Plan
from cnnlab.training.step import Batch, Metrics, State
from cnnlab.training.waiting import Waiting

Step = Callable[[State, Batch, jax.Array], tuple[State, Metrics]]
"""A function of a state, a batch and the run's key that takes one step and returns the new state and metrics."""

Steps = Callable[[State, int, int], Iterator[tuple[State, Metrics]]]
"""A function of a state, the number of an epoch and the index of the first step to take in it.

It yields the state after one or more steps, with the metrics of these steps, `[steps, runs]` (an axis of size 1 may be
missing). Each state is donated to the next program.
"""

SHARE = 0.1  # largest share of a device's memory that the examples take by default
SECONDS = 1.0  # longest time of one program, so that the progress bar moves and signals are noticed


def compile_steps(
    step: Step, state: State, plans: Sequence[Plan], mesh: Mesh, out: Console, waiting: Waiting | None = None
) -> Steps:
    """Compiles the steps of one run, or of several runs that differ only in their seeds, and prints the time.

    Args:
      step: step of one run; it is vectorised for several runs.
      state: state before the first step; for several runs, their stacked states `[runs, ...]`.
      plans: plan of each run.
      mesh: devices that share each batch.
      out: console for messages.
      waiting: measures how long the steps wait for examples that are not in memory.

    Raises:
      ValueError: `training.resident` is true and the examples cannot stay on the device.
    """
    started, before = time.perf_counter(), compile_cache.hits()
    if len(plans) == 1:
        key = plans[0].key
    else:
        step, key = jax.vmap(step), jnp.stack([plan.key for plan in plans])
    with memory.freed():
        if stays(plans[0], mesh):
            out.print("the training examples stay on the device (--training.resident False sends each batch)")
            steps = _compile_resident(step, state, plans, key)
        else:
            steps = _compile_sending(step, state, plans, key, mesh, waiting)
    folder = compile_cache.keep_compilations()
    action = ", read from" if compile_cache.hits() > before else ", stored in"
    out.print(f"compiled in {time.perf_counter() - started:.1f} s{f'{action} {folder}' if folder else ''}")
    return steps


def stays(plan: Plan, mesh: Mesh) -> bool:
    """Returns whether the training examples stay on the device.

    `training.resident` decides. By default they stay on an accelerator if they are in memory and small enough.

    Raises:
      ValueError: `training.resident` is true and the examples cannot stay on the device.
    """
    resident, examples, device = plan.training.resident, plan.dataset["train"], mesh.devices.flat[0]
    if resident is False or (resident is None and device.platform == "cpu"):
        return False
    hindrance = _hindrance(examples, mesh)
    if resident is None and not hindrance:
        room = (device.memory_stats() or {}).get("bytes_limit", math.inf)
        return sum(column.nbytes for column in _training_columns(examples).values()) <= SHARE * room
    if hindrance and resident:
        raise ValueError(
            f"the training examples of {plan.dataset.name} cannot stay on the device: {hindrance}; "
            "leave --training.resident out"
        )
    return not hindrance


def _hindrance(examples: Examples, mesh: Mesh) -> str:
    """Returns the reason why the examples cannot stay on the device; an empty string if they can."""
    if mesh.size > 1:
        return f"{mesh.size} devices share each batch"
    if not (isinstance(examples, Examples) and examples.in_memory) or hasattr(examples, "of_epoch"):
        return "they are read or drawn anew in every epoch"
    return ""


def _training_columns(examples: Examples) -> dict[str, np.ndarray]:
    """Returns the columns that training reads."""
    return {name: column for name, column in examples.columns.items() if name not in EVALUATION_ONLY}


def _compile_sending(
    step: Step, state: State, plans: Sequence[Plan], key: jax.Array, mesh: Mesh, waiting: Waiting | None
) -> Steps:
    """Compiles one step as a program and sends each batch to it."""
    plan = plans[0]
    own = own_rows(plan.training.batch_size, mesh)

    def batches(epoch: int, start: int) -> Iterator[Batch]:
        order = {"epoch": epoch, "start": start, "rows": own} | plan.batches
        streams = [training_batches(plan.dataset["train"], seed=run.experiment.seed, **order) for run in plans]
        for group in zip(*streams, strict=True):
            if len(plans) == 1:
                yield group[0]
            else:
                yield {name: np.stack([batch[name] for batch in group]) for name in group[0]}

    program = jit(step, donate_argnums=0).lower(state, shard(next(batches(0, 0)), mesh), key).compile()

    def steps(state: State, epoch: int, start: int):
        stream = batches(epoch, start)
        for batch in stream if waiting is None else waiting.timed(stream):
            state, metrics = program(state, shard(batch, mesh), key)
            if waiting is not None:
                waiting.started(metrics)
            yield state, metrics

    return steps


def _compile_resident(step: Step, state: State, plans: Sequence[Plan], key: jax.Array) -> Steps:
    """Compiles many steps as one program that reads its examples from the device.

    There are two programs, one for a single step and one for many. A single program whose loop length is an argument
    would make a GPU wait for the host before each iteration.
    """
    examples = plans[0].dataset["train"]
    columns = jax.device_put({name: np.asarray(column) for name, column in _training_columns(examples).items()})

    def orders(epoch: int) -> np.ndarray:
        rows = [epoch_order(examples, seed=plan.experiment.seed, epoch=epoch, **plan.batches) for plan in plans]
        return rows[0] if len(plans) == 1 else np.stack(rows, 1)

    def compiled(number: int) -> Callable:
        program = jit(functools.partial(take_steps, step), donate_argnums=0)
        return program.lower(state, columns, orders(0)[:number], key).compile()

    single = compiled(1)
    seconds = _seconds(lambda state: single(state, columns, orders(0)[:1], key)[0], state)
    number = steps_at_once(plans[0].steps, seconds)
    many = compiled(number) if number > 1 else single

    def steps(state: State, epoch: int, start: int):
        order = orders(epoch)
        while start < len(order):
            now = number if start + number <= len(order) else 1
            state, metrics = (many if now > 1 else single)(state, columns, order[start : start + now], key)
            yield state, metrics
            start += now

    return steps


def _seconds(take: Callable[[State], State], state: State) -> float:
    """Measures the time of a step on a copy of the state."""
    times = []
    for _ in range(3):
        copy = jax.block_until_ready(jax.tree.map(jnp.copy, state))
        started = time.perf_counter()
        jax.block_until_ready(take(copy))
        times.append(time.perf_counter() - started)
    return min(times)


def steps_at_once(steps: int, seconds: float) -> int:
    """Returns how many steps to run as one program: a whole epoch, or equal parts that take at most `SECONDS`.

    Args:
      steps: number of steps in an epoch.
      seconds: time of one step.

    >>> steps_at_once(469, 0.0003), steps_at_once(1001, 0.01), steps_at_once(10, 2.0)
    (469, 91, 1)
    """
    return max(1, steps // max(1, math.ceil(steps * seconds / SECONDS)))


def take_steps(step: Step, state: State, columns: Batch, order: jax.Array, key: jax.Array) -> tuple[State, Metrics]:
    """Takes several steps and returns the last state and the metrics `[steps, ...]`.

    Args:
      step: step of one run, or a vectorised step of several runs.
      state: state before the first step.
      columns: columns of all examples.
      order: indices of the examples in each batch, `[steps, B]`, or `[steps, runs, B]` for several runs.
      key: key of the run, or keys `[runs]`.
    """

    def next_step(state: State, indices: jax.Array) -> tuple[State, Metrics]:
        batch = {"weight": jnp.ones(indices.shape)} | {name: column[indices] for name, column in columns.items()}
        return step(state, batch, key)

    return jax.lax.scan(next_step, state, order)


def run_epoch(
    steps: Steps,
    state: State,
    plans: Sequence[Plan],
    losses: Sequence[list[float]],
    pause: Callable[[], bool],
    tick: Callable[[int], None],
    folders: Sequence[Path],
) -> tuple[State, list[list[float]]]:
    """Runs the remaining steps of an epoch and returns the state and the losses of all its steps for every run.

    The metrics of a program are read after the next program starts, so that the device never waits for the host.

    Args:
      steps: compiled steps from `compile_steps`.
      state: state before the first remaining step.
      plans: plan of each run.
      losses: losses of the steps that the epoch already took, for every run.
      pause: function that is called after each program; if it returns true, the epoch ends there.
      tick: function that is called with the number of steps since the start of training.
      folders: directory of each run, for error messages.

    Raises:
      FloatingPointError: a loss or a gradient is no longer finite.
    """
    place, losses = len(losses[0]), [list(values) for values in losses]
    first = int(np.ravel(state.step)[0])
    epoch = first // plans[0].steps

    def read(metrics: Metrics) -> None:
        host = jax.device_get(metrics)  # an operation on the device would wait for the steps after it
        columns = (host[name].reshape(-1, len(plans)) for name in ("loss", "grad_norm"))
        for row in zip(*columns, strict=True):
            for values, folder, loss, norm in zip(losses, folders, *row, strict=True):
                values.append(_finite_loss(float(loss), float(norm), epoch, len(values), folder))

    pending = None
    for after, metrics in steps(state, epoch, place):
        if pending is not None:
            read(pending)
        state, pending = after, metrics
        place += metrics["loss"].size // len(plans)
        tick(epoch * plans[0].steps + place)
        if pause():
            break
    read(pending)
    return state, losses


def _finite_loss(loss: float, norm: float, epoch: int, place: int, run_dir: Path) -> float:
    """Returns the loss, or raises `FloatingPointError` if the loss or the gradient norm is not finite."""
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise FloatingPointError(
            f"loss is {loss} with a gradient norm of {norm} at step {place + 1} of epoch {epoch + 1}; {run_dir} keeps "
            "the last good checkpoint, if any. Lower --optimizer.learning-rate or set --optimizer.clip 1, with another "
            "--run-dir"
        )
    return loss
