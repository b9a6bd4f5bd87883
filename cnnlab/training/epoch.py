"""One epoch's steps: each batch sent to the device, or many steps as one program over examples that stay there.

A small network's step on an accelerator takes less time than to send its batch and start it. On a CPU nothing is sent,
and convolutions inside a loop lose their threads: as one program an epoch of LeNet5 takes as long there (.150 s, else
.157), one of a U-Net of 8 channels ten times as long (14.6 s, else 1.5; two cores, jaxlib 0.10.2).
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
from cnnlab.runtime import compile_cache
from cnnlab.runtime.compile import jit
from cnnlab.runtime.devices import shard
from cnnlab.training.plan import Plan
from cnnlab.training.step import Batch, Metrics, State

Step = Callable[[State, Batch, jax.Array], tuple[State, Metrics]]
"""From a state, a batch and the run's key."""

Steps = Callable[[State, int, int], Iterator[tuple[State, Metrics]]]
"""From a state, an epoch and the first of its steps to take: the states after one or more steps each, with the metrics
of these steps, `[steps, runs]` (either axis may lack where it is 1). Every state is given up for the next one."""

SHARE = 0.1  # of a device's memory that examples may take without being asked
SECONDS = 1.0  # in which the device should answer, for a bar that moves and a signal that is heard


def compile_steps(step: Step, state: State, plans: Sequence[Plan], mesh: Mesh, out: Console) -> Steps:
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
        step, key = jax.vmap(step), jnp.stack([plan.key for plan in plans])
    if stays(plans[0], mesh):
        out.print("the training examples stay on the device (--training.resident False sends each batch)")
        steps = _resident(step, state, plans, key)
    else:
        steps = _sent(step, state, plans, key, mesh)
    kept = compile_cache.keep_compilations()
    found = ", found in" if compile_cache.hits() > before else ", kept in"
    out.print(f"compiled in {time.perf_counter() - started:.1f} s{f'{found} {kept}' if kept else ''}")
    return steps


def stays(plan: Plan, mesh: Mesh) -> bool:
    """Whether the training examples stay on the device: as asked, or on an accelerator where they can."""
    wanted, examples, device = plan.training.resident, plan.dataset["train"], mesh.devices.flat[0]
    if wanted is False or (wanted is None and device.platform == "cpu"):
        return False
    told = _hindrance(examples, mesh)
    if wanted is None and not told:
        room = (device.memory_stats() or {}).get("bytes_limit", math.inf)
        return sum(column.nbytes for column in _learnt_from(examples).values()) <= SHARE * room
    if told and wanted:
        raise ValueError(
            f"the training examples of {plan.dataset.name} cannot stay on the device: {told}; "
            "leave --training.resident out"
        )
    return not told


def _hindrance(examples: Examples, mesh: Mesh) -> str:
    """Why the examples cannot stay on the device; nothing where they can."""
    if mesh.size > 1:
        return f"{mesh.size} devices share each batch"
    if not (isinstance(examples, Examples) and examples.in_memory) or hasattr(examples, "of_epoch"):
        return "they are read or drawn anew in every epoch"
    return ""


def _learnt_from(examples: Examples) -> dict[str, np.ndarray]:
    """The columns that training reads."""
    return {name: column for name, column in examples.columns.items() if name not in EVALUATION_ONLY}


def _sent(step: Step, state: State, plans: Sequence[Plan], key: jax.Array, mesh: Mesh) -> Steps:
    """One program a step, each batch sent as it is read."""
    plan = plans[0]

    def batches(epoch: int, start: int) -> Iterator[Batch]:
        order = {"batch_size": plan.training.batch_size, "epoch": epoch, "start": start}
        each = [training_batches(plan.dataset["train"], seed=one.experiment.seed, **order) for one in plans]
        for found in zip(*each, strict=True):
            yield found[0] if len(plans) == 1 else {name: np.stack([one[name] for one in found]) for name in found[0]}

    program = jit(step, donate_argnums=0).lower(state, shard(next(batches(0, 0)), mesh), key).compile()

    def steps(state: State, epoch: int, start: int):
        for batch in batches(epoch, start):
            state, metrics = program(state, shard(batch, mesh), key)
            yield state, metrics

    return steps


def _resident(step: Step, state: State, plans: Sequence[Plan], key: jax.Array) -> Steps:
    """Many steps as one program, over examples that the device keeps.

    There are two programs, of one step and of many, because a loop whose length is not known when it is compiled makes
    a GPU ask the host before each round.
    """
    examples = plans[0].dataset["train"]
    columns = jax.device_put({name: np.asarray(column) for name, column in _learnt_from(examples).items()})

    def orders(epoch: int) -> np.ndarray:
        order = {"batch_size": plans[0].training.batch_size, "epoch": epoch}
        each = [epoch_order(len(examples), seed=one.experiment.seed, **order) for one in plans]
        return each[0] if len(plans) == 1 else np.stack(each, 1)

    def compiled(number: int) -> Callable:
        program = jit(functools.partial(take_steps, step), donate_argnums=0)
        return program.lower(state, columns, orders(0)[:number], key).compile()

    one = compiled(1)
    number = steps_at_once(plans[0].steps, _seconds(lambda state: one(state, columns, orders(0)[:1], key)[0], state))
    many = compiled(number) if number > 1 else one

    def steps(state: State, epoch: int, start: int):
        order = orders(epoch)
        while start < len(order):
            now = number if start + number <= len(order) else 1
            state, metrics = (many if now > 1 else one)(state, columns, order[start : start + now], key)
            yield state, metrics
            start += now

    return steps


def _seconds(take: Callable[[State], State], state: State) -> float:
    """What a step takes, tried on a copy of the state."""
    times = []
    for _ in range(3):
        copy = jax.block_until_ready(jax.tree.map(jnp.copy, state))
        started = time.perf_counter()
        jax.block_until_ready(take(copy))
        times.append(time.perf_counter() - started)
    return min(times)


def steps_at_once(steps: int, seconds: float) -> int:
    """How many of an epoch's steps are one program: all if they take at most `SECONDS`, else equal parts that do.

    >>> steps_at_once(469, 0.0003), steps_at_once(1001, 0.01), steps_at_once(10, 2.0)
    (469, 91, 1)
    """
    return max(1, steps // max(1, math.ceil(steps * seconds / SECONDS)))


def take_steps(step: Step, state: State, columns: Batch, order: jax.Array, key: jax.Array) -> tuple[State, Metrics]:
    """The state after some steps, and the metrics `[steps, ...]` of each.

    Args:
      step: of one run, or of several at once.
      state: before the first of them.
      columns: all examples.
      order: those of each step's batch `[steps, B]`, or of several runs `[steps, runs, B]`.
      key: of the run, or `[runs]` of them.
    """

    def one(state: State, rows: jax.Array) -> tuple[State, Metrics]:
        batch = {name: column[rows] for name, column in columns.items()} | {"weight": jnp.ones(rows.shape)}
        return step(state, batch, key)

    return jax.lax.scan(one, state, order)


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

    def read(metrics: Metrics) -> None:
        found = jax.device_get(metrics)  # on the host: an operation on the device would wait for the steps after it
        each = (found[name].reshape(-1, len(plans)) for name in ("loss", "grad_norm"))
        for row in zip(*each, strict=True):
            for lost, folder, *found in zip(losses, folders, *row, strict=True):
                lost.append(_checked(*map(float, found), epoch, len(lost), folder))

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


def _checked(loss: float, norm: float, epoch: int, place: int, run_dir: Path) -> float:
    """The loss, or an error where it or the gradient is not finite."""
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise FloatingPointError(
            f"loss is {loss} with a gradient norm of {norm} at step {place + 1} of epoch {epoch + 1}; {run_dir} keeps "
            "the last good checkpoint, if any. Lower --optimizer.learning-rate or set --optimizer.clip 1, with another "
            "--run-dir"
        )
    return loss
