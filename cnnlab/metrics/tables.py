"""The numbers and tables of a report as rows of text, which the terminal, Markdown and HTML share."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from cnnlab.metrics.detection.coco import is_absent
from cnnlab.metrics.names import larger_is_better

MOST_CLASSES = 20
"""Largest number of classes of a table that is shown as a whole; JSON and report.md hold all."""

_CLASS_SCORES = ("f1", "iou", "ap")


def number_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields name and text of each number; intervals and noise floors follow their number in the same text."""
    for name, value in report.items():
        whole, _, ending = name.rpartition("_")
        if isinstance(value, Mapping | list) or (ending in ("low", "high", "floor") and whole in report):
            continue
        notes = []
        if f"{name}_low" in report:
            notes.append(f"{cell(name, report[f'{name}_low'])} to {cell(name, report[f'{name}_high'])}")
        if f"{name}_floor" in report:
            notes.append(f"noise floor {cell(name, report[f'{name}_floor'])}")
        yield name.replace("_", " ") + arrow(name), cell(name, value) + (f"  ({', '.join(notes)})" if notes else "")


def tables_in(report: Mapping[str, Any]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yields name, header and rows of each list of records; a mapping becomes one row an entry."""
    for name, value in report.items():
        records = [{"": key, "count": count} for key, count in value.items()] if isinstance(value, Mapping) else value
        if isinstance(records, list) and records:
            columns = [column.replace("_", " ") for column in records[0]]
            yield name.replace("_", " "), columns, [[cell(*item) for item in record.items()] for record in records]


def with_worst(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a report whose longer tables of classes hold only the worst, which the table's name says."""
    out = {}
    for name, value in report.items():
        scores = [score for score in _CLASS_SCORES if isinstance(value, list) and value and score in value[0]]
        if not scores or len(value) <= MOST_CLASSES:
            out[name] = value
            continue
        score = scores[0]
        known = [row for row in value if not (math.isnan(row[score]) or is_absent(score, row[score]))]
        worst = sorted(known, key=lambda row: row[score])[:MOST_CLASSES]
        out[f"{name}, the worst {len(worst)} of {len(value)} by {score}"] = worst
    return out


def cell(name: str, value: float | str | None) -> str:
    """Formats a number of a report; a number that is not defined becomes a dash.

    >>> cell("examples", 1258), cell("accuracy", 0.98765), cell("map_small", -1.0), cell("f1", float("nan"))
    ('1,258', '0.9877', '-', '-')
    """
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value) or is_absent(name, value):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def arrow(name: str) -> str:
    """Returns ↑ for a metric of which more is better, ↓ if less is, and nothing if that is unknown.

    >>> arrow("accuracy"), arrow("nll"), arrow("examples")
    (' ↑', ' ↓', '')
    """
    return {True: " ↑", False: " ↓", None: ""}[larger_is_better(name)]
