"""Results of several runs of one experiment: mean ± standard deviation on the terminal, in JSON, CSV and a figure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from cnnlab.files.atomic import write_text
from cnnlab.files.cache import named
from cnnlab.files.figures import FigureFormat, save_figures
from cnnlab.files.strict_json import without_nan
from cnnlab.files.tables import TableFormat, write_table
from cnnlab.metrics.names import is_for_a_closer_look
from cnnlab.metrics.tables import arrow, cell
from cnnlab.plots.spread import spread
from cnnlab.quoting import counted, for_terminal


def metrics_of(reports: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Returns the values `[runs]` of every number that all reports hold, but the number of examples."""
    first, *others = reports
    names = [name for name, value in first.items() if isinstance(value, int | float) and name != "examples"]
    return {n: np.array([r[n] for r in reports], float) for n in names if all(n in other for other in others)}


def as_json(names: Sequence[str], reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the mean of every metric, its standard deviation as `NAME_sd`, and the values of each run."""
    metrics, summary = metrics_of(reports), {}
    for name, values in metrics.items():
        summary |= {name: float(values.mean()), f"{name}_sd": _deviation(values)}
    runs = {name: {metric: float(values[i]) for metric, values in metrics.items()} for i, name in enumerate(names)}
    return summary | {"seeds": len(reports), "examples": reports[0]["examples"], "runs": runs}


def print_runs(title: str, names: Sequence[str], reports: Sequence[Mapping[str, Any]], *, everything: bool) -> None:
    """Prints a table with a row for each metric: mean ± standard deviation, and the value of each run.

    Without `everything` it leaves out the metrics that are for a closer look, and says how many.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(for_terminal(title), style="italic", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("mean ± sd", *names):
        table.add_column(for_terminal(name), justify="right")
    metrics = metrics_of(reports)
    left_out = [] if everything else list(filter(is_for_a_closer_look, metrics))
    for name, values in metrics.items():
        if name in left_out:
            continue
        mean = _mean_text(name, values)
        table.add_row(name.replace("_", " ") + arrow(name), mean, *(cell(name, value) for value in values))
    console.print(table)
    if left_out:
        console.print(f"\n--all prints {counted(len(left_out), 'more number')}", soft_wrap=True)


def _mean_text(name: str, values: np.ndarray) -> str:
    """Formats mean ± standard deviation; a dash if the mean is not defined."""
    mean = cell(name, values.mean())
    return mean if mean == "-" else f"{mean} ± {_deviation(values):.4f}"


def write_runs(
    directory: Path,
    names: Sequence[str],
    reports: Sequence[Mapping[str, Any]],
    *,
    figure_format: FigureFormat = "png",
    table_format: TableFormat = "csv",
) -> Path:
    """Writes `summary.json`, the table `summary` and the figure `summary`; returns the path of the JSON file."""
    path = directory / "summary.json"
    write_text(path, json.dumps(named(without_nan(as_json(names, reports))), indent=2) + "\n")
    metrics = metrics_of(reports)
    table = {"metric": list(metrics), "mean": [values.mean() for values in metrics.values()]}
    table |= {"standard_deviation": [_deviation(values) for values in metrics.values()]}
    table |= {run: [values[i] for values in metrics.values()] for i, run in enumerate(names)}
    write_table(directory / f"summary.{table_format}", table, cell=lambda value: value)
    finite = {name: values for name, values in metrics.items() if np.isfinite(values).all()}
    save_figures({"summary": spread(finite)}, directory, figure_format=figure_format)
    return path


def _deviation(values: np.ndarray) -> float:
    """Returns the standard deviation of a sample; 0 for a single run."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0
