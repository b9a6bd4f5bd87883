"""What a run says while it works: on standard error, so that standard output stays the result's."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.traverse_util
import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cnnlab.data import Dataset


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


@contextlib.contextmanager
def bar(out: Console, *, epochs: int, epoch: int, steps: int, batch_size: int) -> Iterator[Callable]:
    """A progress bar over all steps of a run; yields `advance(**shown)` and prints a line where there is no terminal.

    The rate is that of training, evaluation and saving left out of it.
    """
    columns = (
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f} examples/s"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}"),
    )
    with Progress(*columns, console=out, refresh_per_second=4) as progress:
        fields = {"epoch": epoch, "epochs": epochs, "rate": 0.0, "shown": ""}
        task = progress.add_task("", total=epochs * steps, completed=epoch * steps, **fields)

        def advance(*, epoch: int, step: int, seconds: float, **metrics: float) -> None:
            shown = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            rate = steps * batch_size / seconds
            progress.update(task, completed=step, epoch=epoch, rate=rate, shown=shown)
            if not out.is_terminal and (epoch == epochs or epoch % max(1, epochs // 10) == 0):
                out.print(f"epoch {epoch}/{epochs}  {rate:,.0f} examples/s  {shown}")

        yield advance


def finite(row: dict[str, Any]) -> dict[str, float]:
    """Metrics as plain numbers."""
    return {name: float(np.asarray(value)) for name, value in row.items()}
