"""Training: from an experiment to the best step's network, through a run directory."""

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnnlab.compile import jit
from cnnlab.data import Augmentation, Dataset, InputSpec, augment, normalise, steps_per_epoch, training_batches
from cnnlab.metrics import smaller_is_better
from cnnlab.tasks import Task
from cnnlab.trained import Trained, evaluation_rows
from cnnlab.training import checkpoint, progress
from cnnlab.training.experiment import (
    Choice,
    Experiment,
    build_network,
    build_task,
    check_fit,
    load_experiment_data,
)
from cnnlab.training.optimizer import create_optimizer
from cnnlab.training.restore import evaluated_variables, load, resume, run_config, step_items
from cnnlab.training.run import open_run, read_history, write_history
from cnnlab.training.step import Batch, State, create_state, train_step


def train(
    experiment: Experiment,
    run_dir: str | Path,
    *,
    data: Dataset | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
    quiet: bool = False,
) -> Trained:
    """Trains, or goes on where the run stopped, and returns the best step's network.

    The same experiment again resumes an interrupted run and leaves a finished one as it is; more epochs extend it.
    Every epoch is validated and saved; the latest and the best step are kept.

    Args:
      experiment: what to train.
      run_dir: where it is kept; made if missing.
      data: a dataset of your own, in place of the experiment's.
      network: a Linen module of your own with the right number of outputs, in place of the experiment's.
      task: a task of your own, in place of the experiment's.
      quiet: show nothing.

    Returns:
      The network at its best step on the validation split.

    Raises:
      ValueError: the experiment does not fit its data, or the directory holds another one.
      FloatingPointError: the loss is no longer finite; the last good checkpoint is kept.
    """
    run_dir = Path(run_dir)
    experiment = _named(experiment, data, network, task)
    dataset = data if data is not None else load_experiment_data(experiment)
    task = build_task(experiment, dataset, task)
    network = network if network is not None else build_network(experiment, task.head(dataset.spec))
    check_fit(network, task, dataset)
    dataset["validation"], steps_per_epoch(dataset["train"], experiment.training.batch_size)
    with open_run(run_dir, experiment):
        _train(experiment, run_dir, dataset, network, task, progress.console(quiet))
    return load(run_dir, network=network, task=task)


def _named(experiment: Experiment, data: Any, network: Any, task: Any) -> Experiment:
    """The experiment with the names of what the caller gave in place of its choices."""
    given = {"data": data and Choice(data.name), "network": None, "task": None}
    if network is not None:
        given["network"] = Choice(type(network).__name__)
    if task is not None:
        given["task"] = Choice(type(task).__name__)
    changes = {"model": given["network"], "data": given["data"], "task": given["task"]}
    return dataclasses.replace(experiment, **{name: choice for name, choice in changes.items() if choice})


def _train(
    experiment: Experiment, run_dir: Path, dataset: Dataset, network: nn.Module, task: Task, out: progress.Console
) -> None:
    settings = experiment.training
    steps = steps_per_epoch(dataset["train"], settings.batch_size)
    monitor = task.monitor if settings.monitor == "auto" else settings.monitor
    maximise = task.maximise if settings.monitor == "auto" else not smaller_is_better(monitor)
    optimizer = create_optimizer(
        experiment.optimizer,
        max(1, settings.epochs * steps // settings.accumulate),
        ema=settings.ema,
        accumulate=settings.accumulate,
    )
    key = jax.random.key(experiment.seed)
    images = np.zeros((1, *dataset.spec.shape), np.uint8)
    state = create_state(network, optimizer, images, jax.random.fold_in(key, 2**31 - 1))
    config = run_config(experiment, dataset, network, task, monitor, maximise)
    with checkpoint.open_manager(run_dir, monitor=monitor, maximise=maximise) as manager:
        state = resume(manager, state, config)
        history = read_history(run_dir, until_step=int(state.step))
        if _finished(history, settings, monitor, maximise):
            return
        progress.describe(out, state.params, type(network).__name__, dataset)
        program = _compile(state, dataset, network, task, optimizer, key, settings, out)
        done = int(state.step) // steps
        with progress.bar(
            out, epochs=settings.epochs, epoch=done, steps=steps, batch_size=settings.batch_size
        ) as advance:
            for epoch in range(done, settings.epochs):
                started = time.perf_counter()
                state, loss = _run_epoch(program, state, dataset, settings.batch_size, experiment.seed, epoch, run_dir)
                seconds = time.perf_counter() - started
                measured = _validate(
                    Trained(evaluated_variables(state), network, task, dataset.spec), dataset, settings
                )
                if monitor not in measured:
                    raise ValueError(f"monitor {monitor!r} is no metric of this task; it has {', '.join(measured)}")
                row = {"epoch": epoch + 1, "step": int(state.step), "loss": loss, "seconds": round(seconds, 4)}
                row |= {f"validation_{name}": value for name, value in measured.items()}
                history.append(row)
                write_history(run_dir, history)
                checkpoint.save(manager, int(state.step), **step_items(state), config=config, metrics=measured)
                advance(
                    epoch=epoch + 1, step=int(state.step), seconds=seconds, loss=loss, **{monitor: measured[monitor]}
                )
                if _finished(history, settings, monitor, maximise):
                    break
        manager.wait_until_finished()


def _compile(
    state: State,
    dataset: Dataset,
    network: nn.Module,
    task: Task,
    optimizer,
    key: jax.Array,
    settings,
    out: progress.Console,
) -> Callable[[State, Batch], tuple[State, dict]]:
    """The train step as one program, compiled before the first step so that its time is told apart."""

    prepare = functools.partial(prepare_batch, spec=dataset.spec, augmentation=settings.augmentation)

    def step(state: State, batch: Batch) -> tuple[State, dict]:
        return train_step(state, batch, network=network, task=task, optimizer=optimizer, key=key, prepare=prepare)

    batch = next(training_batches(dataset["train"], batch_size=settings.batch_size, seed=0, epoch=0))
    started = time.perf_counter()
    program = jit(step, donate_argnums=0).lower(state, batch).compile()
    out.print(f"compiled in {time.perf_counter() - started:.1f} s")
    return program


def prepare_batch(batch: Batch, key: jax.Array, *, spec: InputSpec, augmentation: Augmentation) -> Batch:
    """A uint8 batch as the network takes it: augmented in [0, 1], then normalised."""
    batch = augment(batch, key, augmentation)
    if augmentation.moves:
        # Keeps the first convolution from warping the same pixel once for each of its windows.
        batch["image"] = jax.lax.optimization_barrier(batch["image"])
    return batch | {"image": normalise(batch["image"], spec)}


def _run_epoch(
    program: Callable, state: State, dataset: Dataset, batch_size: int, seed: int, epoch: int, run_dir: Path
) -> tuple[State, float]:
    """One pass over the training split: the state after it and its mean loss."""
    losses, pending = [], None
    for batch in training_batches(dataset["train"], batch_size=batch_size, seed=seed, epoch=epoch):
        state, metrics = program(state, batch)
        # Read one step late, so that the device never waits for the host.
        if pending is not None:
            losses.append(_checked(pending, epoch, len(losses), run_dir))
        pending = metrics
    losses.append(_checked(pending, epoch, len(losses), run_dir))
    return state, float(np.mean(losses))


def _checked(metrics: dict[str, jax.Array], epoch: int, place: int, run_dir: Path) -> float:
    """The loss, or an error where it or the gradient is not finite."""
    loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise FloatingPointError(
            f"loss is {loss} with a gradient norm of {norm} at step {place + 1} of epoch {epoch + 1}; {run_dir} keeps "
            "the last good checkpoint. Lower --optimizer.learning-rate or set --optimizer.clip 1"
        )
    return loss


def _validate(trained: Trained, dataset: Dataset, settings) -> dict[str, float]:
    rows = evaluation_rows(trained, dataset["validation"], batch_size=settings.evaluation_batch_size)
    return progress.finite(trained.task.summary(rows))


def _finished(history: list[dict[str, float]], settings, monitor: str, maximise: bool) -> bool:
    """Whether all epochs are done, or `patience` of them went by without a better one."""
    if len(history) >= settings.epochs:
        return True
    if settings.patience is None or not history:
        return False
    values = [row[f"validation_{monitor}"] for row in history]
    best = values.index(max(values) if maximise else min(values))
    return len(values) - 1 - best >= settings.patience
