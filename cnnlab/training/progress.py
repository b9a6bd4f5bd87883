"""Messages and the progress bar of a training run, on standard error."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import flax.traverse_util
import jax
from rich.console import Console
from rich.table import Table

from cnnlab.console import progress_bar
from cnnlab.data import Dataset
from cnnlab.quoting import for_terminal
from cnnlab.training.experiment import Training


def describe(out: Console, params: Any, name: str, dataset: Dataset) -> None:
    """Prints the table of parameters, the data and the device.

    Args:
      out: console for the table.
      params: parameters of the network.
      name: title of the table.
      dataset: dataset of the run.
    """
    table = Table(title=for_terminal(name), title_justify="left", box=None, pad_edge=False)
    for column, side in (("parameter", "left"), ("shape", "left"), ("count", "right")):
        table.add_column(column, justify=side)
    leaves = flax.traverse_util.flatten_dict(params, sep="/")
    for path, leaf in leaves.items():
        table.add_row(for_terminal(path), " × ".join(map(str, leaf.shape)), f"{leaf.size:,}")
    table.add_row("total", "", f"{sum(leaf.size for leaf in leaves.values()):,}", style="bold")
    out.print(table)
    sizes = ", ".join(f"{split} {len(examples):,}" for split, examples in dataset.splits.items())
    height, width, channels = dataset.spec.shape
    out.print(
        f"data: {for_terminal(dataset.name)} {height}×{width}×{channels}, {len(dataset.spec.classes)} classes ({sizes})"
    )
    for remark in dataset.remarks:
        out.print(for_terminal(remark))
    device = jax.devices()[0]
    out.print(f"device: {jax.device_count()} × {device.device_kind} ({device.platform})")


@contextlib.contextmanager
def bar(out: Console, training: Training, *, steps: int, step: int) -> Iterator[tuple[Callable, Callable]]:
    """Draws a progress bar over all steps of a run.

    Without a terminal it prints a line every minute, and ten lines over all epochs. The rate counts only training,
    without evaluation and saving.

    Args:
      out: console that shows the bar.
      training: settings with the number of epochs and the batch size.
      steps: number of steps in an epoch.
      step: number of steps that are done already.

    Yields:
      Two functions: `tick(step)` after steps, and `advance(row, monitor)` after an epoch.
    """
    epochs, drawn, at = training.epochs, time.monotonic(), step
    texts = {
        "label": "epoch {task.fields[epoch]}/{task.fields[epochs]}",
        "rate": "{task.fields[rate]:,.0f} examples/s",
        "note": "{task.fields[note]}",
    }
    fields = {"epoch": step // steps, "epochs": epochs, "rate": 0.0, "note": ""}
    with progress_bar(out, total=epochs * steps, completed=step, texts=texts, **fields) as update:

        def tick(step: int) -> None:
            nonlocal drawn, at
            seconds = time.monotonic() - drawn
            if seconds > 0.25:  # drawing costs more than a small step
                update(completed=step, rate=(step - at) * training.batch_size / seconds)
                drawn, at = drawn + seconds, step

        def advance(row: dict[str, float], monitor: str) -> None:
            epoch, rate = row["epoch"], steps * training.batch_size / row["seconds"]
            note = f"loss {row['loss']:.4f} {monitor} {row[f'validation_{monitor}']:.4f}"
            update(completed=row["step"], epoch=epoch, rate=rate, note=note)
            if not out.is_terminal and (epoch == epochs or epoch % max(1, epochs // 10) == 0):
                out.print(f"epoch {epoch}/{epochs}  {rate:,.0f} examples/s  {note}")

        yield tick, advance
