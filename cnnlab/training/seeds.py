"""Trains an experiment with several seeds, one after the other or all at once in one program.

Each seed has its own run directory, the same that `train` would write, so each run can be resumed, extended and loaded.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.console import LoggingConsole, console
from cnnlab.files.cache import origin_of
from cnnlab.runtime import compile_cache, distributed
from cnnlab.runtime.devices import data_mesh
from cnnlab.trained import Trained
from cnnlab.training import checkpoint, progress
from cnnlab.training.elsewhere import Publish, published
from cnnlab.training.epoch import compile_steps, run_epoch
from cnnlab.training.events import event_writer
from cnnlab.training.experiment import Experiment
from cnnlab.training.loop import finish_epoch, fresh_state, step_function, train_plan
from cnnlab.training.plan import Plan, make_plan
from cnnlab.training.restore import load
from cnnlab.training.resume import resume, run_config, step_items
from cnnlab.training.run import EVENTS, LOG, SUMMARY, open_run, read_history
from cnnlab.training.stopping import Stopped, stop_signals, until_pause


def train_seeds(
    experiment: Experiment,
    run_dir: str | Path,
    *,
    seeds: int | None = None,
    together: bool | None = None,
    quiet: bool = False,
    verbose: bool = False,
    **own,
) -> list[Trained]:
    """Trains an experiment once for each seed, in `run_dir/seed0`, `run_dir/seed1`, ..., as `train` would.

    Trained together, all seeds take each step in one vectorised program. This suits accelerators, which a small network
    leaves idle. On a CPU it is much slower than one seed after the other.

    Args:
      experiment: experiment with the first seed.
      run_dir: directory of the run directories, or its address.
      seeds: number of seeds; by default `experiment.training.seeds`.
      together: whether to train all seeds at once, which needs runs at the same step, no `patience` and no callbacks;
        by default they are trained together on an accelerator if both hold.
      quiet: whether to print nothing.
      verbose: whether to print the table of parameters, once.
      **own: `data`, `network`, `task`, `loss`, `augment`, `optimizer`, `metrics` and `callbacks` of your own, as in
        `train`.

    Returns:
      The network of the best step for each seed.

    Raises:
      ValueError: as in `train`; or `together` is true and the runs are at different steps or have `patience`, or
        several processes train.
    """
    number = experiment.training.seeds if seeds is None else seeds
    if number < 1:
        raise ValueError(f"seeds must be 1 or more, found {number}")
    if together and jax.process_count() > 1:
        raise ValueError("several processes train one seed after the other; leave together out")
    single = dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, seeds=1))
    with distributed.failing_together():
        first = make_plan(single, **own)  # loads the data once for all seeds
    plans = [
        dataclasses.replace(first, experiment=dataclasses.replace(first.experiment, seed=experiment.seed + n))
        for n in range(number)
    ]
    folders = [Path(origin_of(run_dir) or run_dir) / f"seed{plan.experiment.seed}" for plan in plans]
    if together and _own_ends(first):
        raise ValueError("patience and callbacks stop each seed at its own epoch; train them in turn (together=False)")
    if together or (together is None and not _own_ends(first) and _has_accelerator()):
        try:
            with contextlib.ExitStack() as stack:
                held = [stack.enter_context(published(folder)) for folder in folders]
                local, publishes = [folder for folder, _ in held], [publish for _, publish in held if publish]
                for plan, folder in zip(plans, local, strict=True):
                    stack.enter_context(open_run(folder, plan.experiment))
                out = LoggingConsole([folder / LOG for folder in local], quiet=quiet)
                _train_together(plans, local, out, publishes, verbose=verbose)
            return [load(f, network=plan.network, task=plan.task) for plan, f in zip(plans, local, strict=True)]
        except _OutOfStep:  # training was killed between the saves of two seeds
            if together:
                raise
    networks = []
    for i, (plan, folder) in enumerate(zip(plans, folders, strict=True), 1):
        heading = f"seed {i} of {number}"  # the first line of all but the first, which says what every one will do
        if not quiet and i == 1 and number > 1:
            console().print(heading)
        networks.append(train_plan(plan, folder, quiet=quiet, verbose=verbose, heading=heading if i > 1 else ""))
    return networks


def _own_ends(plan: Plan) -> bool:
    """Returns whether each seed may end at its own epoch."""
    return plan.training.patience is not None or bool(plan.hooks.callbacks)


def _has_accelerator() -> bool:
    """Returns whether this is the only process and it has an accelerator."""
    return jax.default_backend() != "cpu" and jax.process_count() == 1


class _OutOfStep(ValueError):
    """The runs are at different steps."""


def _train_together(
    plans: Sequence[Plan], folders: Sequence[Path], out: LoggingConsole, publishes: Sequence[Publish], *, verbose: bool
) -> None:
    compile_cache.keep_compilations()
    first = plans[0]
    with contextlib.ExitStack() as stack:
        open_manager = functools.partial(checkpoint.open_manager, monitor=first.monitor, maximise=first.maximise)
        managers = [stack.enter_context(open_manager(folder)) for folder in folders]
        stop = stack.enter_context(stop_signals())
        configs = [run_config(plan) for plan in plans]
        resumed = [
            resume(manager, fresh_state(plan), config, out.print)
            for manager, plan, config in zip(managers, plans, configs, strict=True)
        ]
        at = {int(state.step) for state, _ in resumed}
        if len(at) > 1:
            raise _OutOfStep(f"the runs are at the steps {sorted(at)}; train them in turn once (together=False)")
        if any(len(values) == first.steps for _, values in resumed):
            raise _OutOfStep("a run was stopped before a validation; train them in turn once (together=False)")
        histories = [read_history(folder, until_step=at.copy().pop()) for folder in folders]
        if len(histories[0]) >= first.training.epochs:
            return
        state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state for state, _ in resumed))
        losses = [values for _, values in resumed]
        params = resumed[0][0].params
        progress.describe(out, params, first, networks=len(plans), verbose=verbose)
        for folder in folders:
            progress.write_summary(folder / SUMMARY, params, type(first.network).__name__)
        del resumed, params  # its arrays would stay on the device
        writers = [stack.enter_context(event_writer(folder / EVENTS, min(at))) for folder in folders]
        steps = compile_steps(step_function(first), state, plans, data_mesh(jax.devices()[:1]), out)
        with progress.bar(out, first.training, steps=first.steps, step=at.pop()) as (tick, advance):
            while len(histories[0]) < first.training.epochs:
                started, place = time.perf_counter(), int(state.step[0]) % first.steps
                pause = until_pause(stop, first.training.save_minutes)
                state, losses = run_epoch(steps, state, plans, losses, pause, tick, folders)
                singles = [jax.tree.map(lambda leaf, n=n: leaf[n], state) for n in range(len(plans))]
                parts = list(zip(managers, singles, plans, configs, folders, losses, histories, writers, strict=True))
                if len(losses[0]) < first.steps:
                    for manager, single, _, config, _, values, *_ in parts:
                        items = step_items(single)
                        checkpoint.save(manager, int(single.step), **items, config=config | {"losses": values})
                    if stop():
                        break
                    continue
                seconds = (time.perf_counter() - started) * first.steps / (first.steps - place)
                for manager, single, plan, config, folder, values, history, write in parts:
                    finish_epoch(manager, single, plan, config, folder, values, history, seconds=seconds)
                    write(history[-1])
                advance(_mean_row([history[-1] for history in histories]), first.monitor)
                del singles, parts  # their arrays would stay on the device
                losses = [[] for _ in plans]
                for manager, publish in zip(managers, publishes, strict=False):  # no `publishes` of local runs
                    manager.wait_until_finished()
                    publish()
                if stop():
                    break
        for manager in managers:
            manager.wait_until_finished()
        if len(histories[0]) < first.training.epochs:
            raise Stopped(stop(), int(state.step[0]), folders[0].parent)


def _mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Averages the rows of all seeds for one epoch; step and epoch, which are equal, stay whole numbers."""
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return mean | {name: rows[0][name] for name in ("epoch", "step")}
