"""The training loop: trains an experiment in a run directory, with validation and checkpoints after each epoch."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import Mesh

from cnnlab.console import LoggingConsole
from cnnlab.data import Augmentation, Dataset, InputSpec
from cnnlab.data import augment as augmented
from cnnlab.data.spec import standardise
from cnnlab.files.cache import address
from cnnlab.quoting import counted
from cnnlab.runtime import compile_cache, distributed
from cnnlab.runtime.compile import jit
from cnnlab.runtime.devices import check_divides, data_mesh, is_first_process, local, replicate
from cnnlab.tasks import Task
from cnnlab.trained import Trained, evaluation_rows, logits
from cnnlab.training import checkpoint, hooks, presets, progress
from cnnlab.training.agreement import check_agreement, check_shared
from cnnlab.training.elsewhere import Publish, published
from cnnlab.training.epoch import Step, compile_steps, run_epoch
from cnnlab.training.events import event_writer
from cnnlab.training.experiment import Experiment
from cnnlab.training.hooks import Augment, Callback, Loss, Metric
from cnnlab.training.plan import Plan, make_plan
from cnnlab.training.restore import evaluated_variables, load
from cnnlab.training.resume import resume, run_config, step_items
from cnnlab.training.run import EVENTS, LOG, SUMMARY, open_run, read_history, write_history
from cnnlab.training.step import Batch, State, create_state, train_step
from cnnlab.training.stopping import Stopped, stop_signals, until_pause
from cnnlab.training.transfer import initial_variables
from cnnlab.training.waiting import Waiting, waited


def train(
    experiment: Experiment | str,
    run_dir: str | Path,
    *,
    data: Dataset | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
    loss: Loss | None = None,
    augment: Augment | None = None,
    optimizer: optax.GradientTransformation | str | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    init_from: str | Path | None = None,
    quiet: bool = False,
    verbose: bool = False,
) -> Trained:
    """Trains a network in a run directory, or resumes the run, and returns the network of the best step.

    Calling it again with the same experiment resumes an interrupted run and leaves a finished run unchanged; a larger
    number of epochs extends the run. Each epoch ends with a validation and a checkpoint; a long epoch also saves
    checkpoints before its end (`training.save_minutes`). The directory keeps the latest and the best step. All devices
    share each batch.

    The run stores the names of your own functions, not the functions: pass them again to resume. A resume with other
    names warns, and one with an optimizer of other states is refused.

    Args:
      experiment: settings of the run, or the name of a preset.
      run_dir: run directory, which is created if missing; or an address such as `s3://bucket/run`, where the run is
        published after each save.
      data: dataset of your own, in place of the experiment's.
      network: Linen module of your own with the right number of outputs, in place of the experiment's.
      task: task of your own, in place of the experiment's.
      loss: function `(logits, batch) -> [B]`, the loss of each example, in place of the task's. `logits` is
        `[B, K]` for classification; `batch` holds the normalised images and the columns of the data, such as `label`
        `[B]`. It is jitted. The weights of the task still count: an example without a label has none.
      augment: function `(batch, key) -> batch` that changes each training batch after the experiment's augmentation.
        Images are float32 `[B, H, W, C]` in [0, 1], before normalisation; shapes and dtypes stay. It is jitted.
      optimizer: optax transformation with its own learning rate, in place of the experiment's optimizer, of which only
        `trainable` still counts; or the name of one of cnnlab's optimizers.
      metrics: functions `rows -> number` by name, whose values are in the history as `validation_NAME`. `rows` holds
        NumPy arrays of the whole validation split: `probs` `[n, K]` and `label` `[n]` for classification, `value` and
        `target` for regression, and what `task.rows` returns for others. `training.monitor` may name one.
      callbacks: functions `(history, trained) -> bool | None` that are called after each epoch is saved, with the table
        of all epochs so far, as in `Trained.history`, and the current network, both copies. If one returns True,
        training ends as if all epochs were done; the same call goes on, until it returns True again.
      init_from: run whose best step gives the initial parameters, or a state dict that `cnnlab.models.import_torch`
        reads; a head of another shape keeps its random initial values. It has no effect on a run that has begun.
      quiet: whether to print nothing; `RUN/log.txt` gets every line.
      verbose: whether to print the table of parameters too, which `RUN/summary.txt` always holds.

    Returns:
      The network of the best step on the validation split.

    Raises:
      ValueError: the experiment does not fit its data, or the directory holds another experiment.
      RuntimeError: a callback raised an error; the run is saved, and the message names the callback.
      FloatingPointError: the loss is no longer finite; the last good checkpoint remains.
      Stopped: SIGTERM or Ctrl-C arrived; the run is saved, and the same call resumes it.
    """
    if isinstance(experiment, str):
        experiment = presets.get(experiment)
    own = {"loss": loss, "augment": augment, "optimizer": optimizer, "metrics": metrics, "callbacks": callbacks}
    with distributed.failing_together():
        plan = make_plan(experiment, data=data, network=network, task=task, **own)
    return train_plan(plan, run_dir, init_from=init_from, quiet=quiet, verbose=verbose)


def train_plan(
    plan: Plan,
    run_dir: str | Path,
    *,
    init_from: str | Path | None = None,
    quiet: bool = False,
    verbose: bool = False,
    heading: str = "",
) -> Trained:
    """Trains a plan in a run directory; see `train`. A `heading` is printed in place of what the run will do."""
    if plan.training.seeds > 1:
        raise ValueError(f"{plan.training.seeds} seeds make as many networks; call cnnlab.train_seeds")
    check_divides(plan.training.batch_size, mesh := data_mesh())
    with contextlib.ExitStack() as stack:
        stack.enter_context(distributed.naming_lost_processes())
        with distributed.failing_together():
            folder, publish = stack.enter_context(published(run_dir))
            stack.enter_context(open_run(folder, plan.experiment))
        if jax.process_count() > 1:
            check_shared(folder)
        files = [folder / LOG] if is_first_process() else []
        out = LoggingConsole(files, quiet=quiet or not is_first_process())
        _train(plan, folder, mesh, init_from, out, publish, verbose=verbose, heading=heading)
        distributed.gathered("")  # all have written their part before the first one lets the directory go
    return load(folder, network=plan.network, task=plan.task)


def _train(
    plan: Plan,
    run_dir: Path,
    mesh: Mesh,
    init_from: str | Path | None,
    out: LoggingConsole,
    publish: Publish | None,
    *,
    verbose: bool,
    heading: str,
) -> None:
    compile_cache.keep_compilations()
    state = fresh_state(plan)
    config = run_config(plan) | {"init_from": None if init_from is None else address(init_from)}
    if jax.process_count() > 1:
        check_agreement(config)
    with (
        checkpoint.open_manager(run_dir, monitor=plan.monitor, maximise=plan.maximise) as manager,
        stop_signals() as stop,
    ):
        if init_from is not None and manager.latest_step() is None:
            state = initial_variables(state, init_from, plan, out.print)
        state, losses = resume(manager, state, config, out.print)
        history = read_history(run_dir, until_step=int(state.step) - bool(losses))
        if _finished(history, plan, state, losses):
            out.print(_at_end(plan, state, run_dir), soft_wrap=True)
            return
        if heading:
            out.print(heading)
        else:
            progress.describe(out, state.params, plan, verbose=verbose)
        if is_first_process():
            progress.write_summary(run_dir / SUMMARY, state.params, type(plan.network).__name__)
        state = replicate(state, mesh)
        waiting = None if getattr(plan.dataset["train"], "in_memory", False) else Waiting()
        steps = compile_steps(step_function(plan), state, [plan], mesh, out, waiting)
        # A metric that fails does so now, not after an epoch.
        validate(_on_all_devices(state, plan), plan, stop=stop, mesh=mesh)
        with (
            event_writer(run_dir / EVENTS, int(state.step)) as write,
            progress.bar(out, plan.training, steps=plan.steps, step=int(state.step)) as (tick, advance),
        ):
            ended = False  # by a callback
            idle = busy = 0.0  # seconds of this epoch
            while not (ended or stop() or _finished(history, plan, state, losses)):
                before, started = len(losses), time.perf_counter()
                if before < plan.steps:
                    pause = until_pause(stop, plan.training.save_minutes)
                    state, (losses,) = run_epoch(steps, state, [plan], [losses], pause, tick, [run_dir])
                trained = len(losses) - before
                spent = time.perf_counter() - started
                measured = {"seconds": spent * plan.steps / trained if trained else math.nan}
                idle, busy = idle + (waiting.taken() if waiting else 0), busy + spent
                measured |= {"waiting": idle / busy if waiting else None}
                saved = (manager, state, plan, config, run_dir, losses, history)
                if len(losses) == plan.steps and finish_epoch(*saved, **measured, stop=stop, mesh=mesh):
                    advance(history[-1], plan.monitor)
                    write(history[-1])
                    losses, idle, busy = [], 0.0, 0.0
                    ended = hooks.call(plan.hooks.callbacks, history, _evaluated(state, plan))
                elif trained:
                    checkpoint.save(manager, int(state.step), **step_items(state), config=config | {"losses": losses})
                if publish is not None:
                    manager.wait_until_finished()
                    publish()
        manager.wait_until_finished()
        if sentence := waited(history):
            out.print(sentence)
        if not (ended or _finished(history, plan, state, losses)):
            raise Stopped(stop(), int(state.step), run_dir)


def fresh_state(plan: Plan) -> State:
    """Creates the state before the first step of a run."""
    images = np.zeros((1, *plan.dataset.spec.shape), np.uint8)
    return create_state(plan.network, plan.optimizer(), images, init_key(plan.key), ema=plan.training.ema)


def finish_epoch(
    manager,
    state: State,
    plan: Plan,
    config: dict[str, Any],
    run_dir: Path,
    losses: list[float],
    history: list[dict[str, float]],
    *,
    seconds: float,
    waiting: float | None = None,
    stop: Callable[[], Any] = bool,
    mesh: Mesh | None = None,
) -> bool:
    """Validates at the end of an epoch, appends a row to the history, and writes the history and a checkpoint.

    Args:
      manager: manager of the run's checkpoints.
      state: state after the epoch.
      plan: plan of the run.
      config: settings that the checkpoint stores.
      run_dir: the run directory.
      losses: losses of all steps of the epoch.
      history: rows of the epochs before this one; the new row is appended.
      seconds: training time of the epoch.
      waiting: share of this time in which the step waited for data; None if it was not measured.
      stop: function that is called between batches; if it returns true, validation stops.
      mesh: devices that share each batch of the validation; by default one device.

    Returns:
      True; False if validation stopped early, in which case nothing is written.
    """
    metrics = validate(_on_all_devices(state, plan), plan, stop=stop, mesh=mesh)
    if metrics is None:
        return False
    row = {"epoch": int(state.step) // plan.steps, "step": int(state.step), "loss": float(np.mean(losses))}
    row |= {"seconds": round(seconds, 4)} | ({} if waiting is None else {"waiting": round(waiting, 4)})
    row |= {f"validation_{name}": v for name, v in metrics.items()}
    history.append(row)
    write_history(run_dir, history)
    checkpoint.save(manager, int(state.step), **step_items(state), config=config, metrics=metrics)
    return True


def _evaluated(state: State, plan: Plan) -> Trained:
    """Returns the network in its current state, for evaluation on a device of this process."""
    network = _on_all_devices(state, plan)
    return network.replace(variables=local(network.variables))


def _on_all_devices(state: State, plan: Plan) -> Trained:
    """Returns the network in its current state on the devices that train it."""
    return Trained(evaluated_variables(state), plan.network, plan.hooks.task(plan.task), plan.dataset.spec)


def init_key(key: jax.Array) -> jax.Array:
    """Returns the key of the initial parameters; steps never fold in a number as large."""
    return jax.random.fold_in(key, 2**31 - 1)


def step_function(plan: Plan) -> Step:
    """Returns the training step of a run, a function of state, batch and the run's key."""
    augmentation = {"augmentation": plan.training.augmentation, "own": plan.hooks.augment}
    prepare = functools.partial(prepare_batch, spec=plan.dataset.spec, **augmentation)
    options = {
        "network": plan.network,
        "task": plan.hooks.task(plan.task),
        "optimizer": plan.optimizer(),
        "prepare": prepare,
        "trainable": plan.experiment.optimizer.trainable,
        "penalty": plan.penalty,
        "ema": plan.training.ema,
        "remat": plan.training.remat,
    }
    return lambda state, batch, key: train_step(state, batch, key=key, **options)


def prepare_batch(
    batch: Batch, key: jax.Array, *, spec: InputSpec, augmentation: Augmentation, own: Augment | None = None
) -> Batch:
    """Prepares a uint8 batch for the network: scales it to [0, 1], augments it, also by `own`, and normalises it."""
    batch = augmented(batch, key, augmentation)
    if augmentation.moves:
        # Without a barrier XLA would compute the warp of a pixel again for each window of the first convolution.
        batch["image"] = jax.lax.optimization_barrier(batch["image"])
    if own is not None:
        batch = dict(own(batch, jax.random.fold_in(key, 2**31 - 1)))  # a key of which nothing else draws
    return batch | {"image": standardise(batch["image"], spec)}


@jit
def _validation_rows(trained: Trained, batch: Batch) -> dict[str, jax.Array]:
    raw = logits(trained, batch["image"])
    value, weight = trained.task.loss(raw, batch)
    rows = trained.task.rows(trained.task.link(raw), batch)
    return {"loss": value, "weight": weight} | {f"rows/{name}": leaf for name, leaf in rows.items()}


def validate(
    trained: Trained, plan: Plan, *, stop: Callable[[], Any] = bool, mesh: Mesh | None = None
) -> dict[str, float] | None:
    """Computes the task's metrics and the mean `loss` on the validation split.

    Args:
      trained: the network.
      plan: plan of the run.
      stop: function that is called between batches; if it returns true, the result is None.
      mesh: devices that share each batch, on which the network lies; each process reads its own rows. By default one
        device computes all.

    Raises:
      ValueError: the metrics do not contain the monitored one.
    """
    size = min(plan.training.evaluation_batch_size, len(plan.dataset["validation"]))
    options = {"batch_size": size, "rows": _validation_rows, "stop": stop, "mesh": mesh}
    rows = evaluation_rows(trained, plan.dataset["validation"], **options)
    if rows is None:
        return None
    loss = np.average(rows["loss"], weights=rows["weight"]) if rows["weight"].any() else np.nan
    inner = {name.removeprefix("rows/"): rows[name] for name in rows if name.startswith("rows/")}
    metrics = {"loss": float(loss)} | {name: float(value) for name, value in trained.task.summary(inner).items()}
    if plan.monitor not in metrics:
        raise ValueError(f"monitor {plan.monitor!r} is no metric of this task; it has {', '.join(metrics)}")
    return metrics


def _at_end(plan: Plan, state: State, run_dir: Path) -> str:
    """Says why a finished run is not trained on, and which option does it."""
    epoch, epochs = int(state.step) // plan.steps, plan.training.epochs
    if epoch >= epochs:
        more = f"--training.epochs {2 * epochs} trains on"
        return f"{run_dir} is finished after {counted(epoch, 'epoch')}; {more}"
    more = f"a larger --training.patience than {plan.training.patience} trains on"
    return f"{run_dir} stopped after {counted(epoch, 'epoch')}, because no later one was better; {more}"


def _finished(history: list[dict[str, float]], plan: Plan, state: State, losses: list[float]) -> bool:
    """Returns whether training is over: all epochs are done, or `patience` epochs brought no better metric."""
    if losses:  # an epoch that is not validated yet
        return False
    if int(state.step) >= plan.training.epochs * plan.steps:
        return True
    if plan.training.patience is None or not history:
        return False
    sign = 1 if plan.maximise else -1
    values = [sign * row[f"validation_{plan.monitor}"] for row in history]
    values = [-np.inf if np.isnan(value) else value for value in values]
    best = values.index(max(values))
    return len(values) - 1 - best >= plan.training.patience
