"""Messages and the progress bar of a training run, on standard error."""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flax.traverse_util
import jax
from rich.console import Console
from rich.table import Table

from cnnlab.console import LoggingConsole, progress_bar
from cnnlab.files.atomic import write_text
from cnnlab.quoting import counted, for_terminal
from cnnlab.tasks.task import complete
from cnnlab.training.experiment import Training
from cnnlab.training.plan import Plan

_TIMED = 3.0  # seconds of steps from which the remaining time is estimated


def describe(out: Console, params: Any, plan: Plan, *, networks: int = 1, verbose: bool = False) -> None:
    """Prints what a run will do in three lines: the data, the network and the steps; then remarks on the data.

    Args:
      out: console for the lines.
      params: parameters of the network.
      plan: plan of the run.
      networks: number of networks that are trained at once.
      verbose: whether to print the table of parameters too.
    """
    dataset, training = plan.dataset, plan.training
    if verbose:
        out.print(table_of(params, type(plan.network).__name__))
    sizes = ", ".join(f"{split} {len(examples):,}" for split, examples in dataset.splits.items())
    images, k = sum(map(len, dataset.splits.values())), len(dataset.spec.classes)
    size = "×".join(map(str, dataset.spec.shape))
    device, devices = jax.devices()[0], jax.device_count()
    cores = os.cpu_count() if device.platform == "cpu" and devices == 1 else None
    place = f"{cores} cores" if cores else f"{devices} × {device.device_kind}"
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    name = f"{f'{networks} × ' if networks > 1 else ''}{type(plan.network).__name__}"
    kind = "signal" if dataset.spec.values == "signal" else "image"
    steps = f"{counted(plan.steps, 'step')} of {counted(training.batch_size, kind)}"
    work = f"{counted(training.epochs, 'epoch')} of {steps}"
    lines = (
        f"{counted(images, kind)} of {counted(k, complete(plan.task).noun)}, {size}: {dataset.name} ({sizes})",
        f"→ {name}, {number:,} parameters",
        f"→ {work} on {place}",
    )
    for line in (*lines, *dataset.remarks):
        out.print(for_terminal(line), soft_wrap=True)


def table_of(params: Any, name: str) -> Table:
    """Returns the table of a network's parameters: path, shape and count of each."""
    table = Table(title=for_terminal(name), title_justify="left", box=None, pad_edge=False)
    for column, side in (("parameter", "left"), ("shape", "left"), ("count", "right")):
        table.add_column(column, justify=side)
    leaves = flax.traverse_util.flatten_dict(params, sep="/")
    for path, leaf in leaves.items():
        table.add_row(for_terminal(path), " × ".join(map(str, leaf.shape)), f"{leaf.size:,}")
    table.add_row("total", "", f"{sum(leaf.size for leaf in leaves.values()):,}", style="bold")
    return table


def write_summary(path: Path, params: Any, name: str) -> None:
    """Writes the table of a network's parameters as a text file."""
    text = io.StringIO()
    plain = Console(
        file=text, force_terminal=False, force_jupyter=False, width=120, highlight=False, markup=False, emoji=False
    )
    plain.print(table_of(params, name))
    write_text(path, "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n")


def duration(seconds: float) -> str:
    """Formats a time to two digits.

    >>> duration(8.4), duration(95), duration(5000)
    ('8 s', '1.6 min', '1.4 h')
    """
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}" if seconds < 10 * unit else f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


@contextlib.contextmanager
def bar(out: LoggingConsole, training: Training, *, steps: int, step: int) -> Iterator[tuple[Callable, Callable]]:
    """Draws a progress bar over all steps of a run.

    It prints the time that training will take as soon as the first steps are timed: after three seconds, or one epoch.
    Without a terminal it prints a line every minute, and ten lines over all epochs; the log gets a line every epoch.
    The rate counts only training, without evaluation and saving.

    Args:
      out: console that shows the bar.
      training: settings with the number of epochs and the batch size.
      steps: number of steps in an epoch.
      step: number of steps that are done already.

    Yields:
      Two functions: `tick(step)` after steps, and `advance(row, monitor)` after an epoch.
    """
    epochs, drawn, at = training.epochs, time.monotonic(), step
    began, first, estimated = drawn, step, False
    texts = {
        "label": "epoch {task.fields[epoch]}/{task.fields[epochs]}",
        "rate": "{task.fields[rate]:,.0f} examples/s",
        "note": "{task.fields[note]}",
    }
    fields = {"epoch": step // steps, "epochs": epochs, "rate": 0.0, "note": ""}
    with progress_bar(out, total=epochs * steps, completed=step, texts=texts, last_line=False, **fields) as update:

        def estimate(step: int) -> None:
            nonlocal estimated
            if estimated or step in (first, epochs * steps):
                return
            estimated = True
            left = (time.monotonic() - began) / (step - first) * (epochs * steps - step)
            if left >= 1.5:
                out.print(f"about {duration(left)} for the last {counted(epochs * steps - step, 'step')}")

        def tick(step: int) -> None:
            nonlocal drawn, at
            seconds = time.monotonic() - drawn
            if seconds > 0.25:  # drawing costs more than a small step
                update(completed=step, rate=(step - at) * training.batch_size / seconds)
                drawn, at = drawn + seconds, step
            if time.monotonic() - began > _TIMED:
                estimate(step)

        def advance(row: dict[str, float], monitor: str) -> None:
            epoch, rate = row["epoch"], steps * training.batch_size / row["seconds"]
            note = f"loss {row['loss']:.4f}  {monitor.replace('_', ' ')} {row[f'validation_{monitor}']:.4f}"
            update(completed=row["step"], epoch=epoch, rate=rate, note=note)
            estimate(row["step"])
            line = f"epoch {epoch}/{epochs}  {rate:,.0f} examples/s  {note}"
            if not out.is_terminal and (epoch == epochs or epoch % max(1, epochs // 10) == 0):
                out.print(line)
            else:
                out.log_line(line)

        yield tick, advance
