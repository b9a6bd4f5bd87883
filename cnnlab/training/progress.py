"""What a run says while it works: on standard error, so that standard output stays the result's."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import flax.traverse_util
import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cnnlab.data import Dataset
from cnnlab.training.experiment import Training


def console(quiet: bool = False) -> Console:
    """Standard error, or nothing."""
    return Console(stderr=True, quiet=quiet, highlight=False)


def describe(out: Console, params: Any, name: str, dataset: Dataset) -> None:
    """The parameter table, the data and the device."""
    table = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for column, side in (("parameter", "left"), ("shape", "left"), ("count", "right")):
        table.add_column(column, justify=side)
    leaves = flax.traverse_util.flatten_dict(params, sep="/")
    for path, leaf in leaves.items():
        table.add_row(path, " × ".join(map(str, leaf.shape)), f"{leaf.size:,}")
    table.add_row("total", "", f"{sum(leaf.size for leaf in leaves.values()):,}", style="bold")
    out.print(table)
    sizes = ", ".join(f"{split} {len(examples):,}" for split, examples in dataset.splits.items())
    height, width, channels = dataset.spec.shape
    out.print(f"data: {dataset.name} {height}×{width}×{channels}, {len(dataset.spec.classes)} classes ({sizes})")
    device = jax.devices()[0]
    out.print(f"device: {jax.device_count()} × {device.device_kind} ({device.platform})")


def now_and_then(bar: Progress, seconds: float = 60) -> Callable[[], None]:
    """What a log has instead of a moving bar: a function that prints it as a line, once in so many seconds at most.

    On a terminal it prints nothing.
    """
    last = time.monotonic()

    def say() -> None:
        nonlocal last
        if not bar.console.is_terminal and time.monotonic() - last >= seconds:
            bar.console.print(bar.get_renderable())
            last = time.monotonic()

    return say


@contextlib.contextmanager
def bar(out: Console, training: Training, *, steps: int, step: int) -> Iterator[tuple[Callable, Callable]]:
    """A progress bar over all steps of a run; yields `tick(step)` for steps and `advance(row, monitor)` for epochs.

    Where there is no terminal a line is printed every minute, and after every tenth of the epochs. The rate is that of
    training, evaluation and saving left out of it.

    Args:
      out: where it is drawn.
      training: how many epochs, of what batches.
      steps: an epoch.
      step: taken before.
    """
    columns = (
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} examples/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
    )
    epochs = training.epochs
    with Progress(*columns, console=out, refresh_per_second=4) as progress:
        fields = {"epoch": step // steps, "epochs": epochs, "rate": 0.0, "shown": ""}
        task = progress.add_task("", total=epochs * steps, completed=step, **fields)

        drawn, at, say = time.monotonic(), step, now_and_then(progress)

        def tick(step: int) -> None:
            nonlocal drawn, at
            seconds = time.monotonic() - drawn
            if seconds > 0.25:  # drawing costs more than a small step
                progress.update(task, completed=step, rate=(step - at) * training.batch_size / seconds)
                drawn, at = drawn + seconds, step
                say()

        def advance(row: dict[str, float], monitor: str) -> None:
            epoch, rate = row["epoch"], steps * training.batch_size / row["seconds"]
            shown = f"loss {row['loss']:.4f} {monitor} {row[f'validation_{monitor}']:.4f}"
            progress.update(task, completed=row["step"], epoch=epoch, rate=rate, shown=shown)
            if not out.is_terminal and (epoch == epochs or epoch % max(1, epochs // 10) == 0):
                out.print(f"epoch {epoch}/{epochs}  {rate:,.0f} examples/s  {shown}")

        yield tick, advance
