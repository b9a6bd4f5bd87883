"""The section on single examples: wrong, worst and least sure ones, with maps of what the network looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.evaluation.explained import least_sure, pairs_explained, wrong_first
from cnnlab.explain.methods import METHODS
from cnnlab.metrics.names import larger_is_better
from cnnlab.metrics.tables import cell
from cnnlab.plots.explanations import explanation_sheet
from cnnlab.quoting import counted, cut
from cnnlab.reports.content import Part, Section, Table, Text
from cnnlab.reports.measure import Measured
from cnnlab.reports.pictures import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 8
_LONGEST = 80  # letters of a cell
_FIRST_METHODS = ("grad_cam", "saliency")  # the second is for networks without a convolution
_LEFT_OUT = ("split", "num_samples", "standard_error")  # columns
_DOUBTS = {"mutual_information": -1, "entropy": -1, "confidence": 1, "probability": 1}
"""Columns that say how sure a network is; 1 where small values mean doubt."""


def example_section(measured: Measured) -> Section:
    """Returns the section on single examples of a split."""
    groups = _of_classes(measured) if measured.task.decides else _of_scores(measured)
    parts: list[Part] = []
    for title, order in groups:
        parts += [Text(f"{title}."), *_maps(measured, order, title), _table(measured, order)]
    if not parts:
        parts = [Text("The task names no example that is wrong, bad or unsure.")]
    return Section("Single examples", tuple(parts))


def _of_classes(measured: Measured) -> list[tuple[str, np.ndarray]]:
    """Returns the wrong predictions, the most confident first, and the least sure ones."""
    wrong, n = wrong_first(measured.rows), len(measured.examples["split"])
    share = f"The most confident of the {counted(len(wrong), 'wrong prediction')} among {counted(n, 'example')}"
    first = [(share, wrong[:_MOST])] if len(wrong) else []
    return [*first, ("The predictions of which the network is least sure", least_sure(measured.rows)[:_MOST])]


def _of_scores(measured: Measured) -> list[tuple[str, np.ndarray]]:
    """Returns the worst examples by the task's score, and the least sure ones if there is a doubt."""
    groups, examples, score = [], measured.examples, measured.task.example_score
    if score in examples and larger_is_better(score) is not None:
        sign, words, values = 1 if larger_is_better(score) else -1, score.replace("_", " "), examples[score]
        if not set(np.unique(values)) <= {0, 0.5, 1}:
            groups.append((f"The worst examples by {words}", _first(sign * values)))
        elif (values < 1).any():
            groups.append((f"Examples that are not {words}", _first(values)[: int((values < 1).sum())]))
    doubt = next((name for name in _DOUBTS if name in examples), None)
    if doubt is not None:
        groups.append(
            (f"The least sure examples by {doubt.replace('_', ' ')}", _first(_DOUBTS[doubt] * examples[doubt]))
        )
    return groups


def _first(values: np.ndarray) -> np.ndarray:
    """Returns the indices of the smallest values; NaN comes last."""
    return np.argsort(np.asarray(values, np.float64), kind="stable")[:_MOST]


def _table(measured: Measured, order: np.ndarray) -> Table:
    columns = {name: column for name, column in measured.examples.items() if name not in _LEFT_OUT}
    rows = [[_cell(name, column[i]) for name, column in columns.items()] for i in order]
    return Table("The same examples as a table", [name.replace("_", " ") for name in columns], rows)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return cut(cell(name, value.item() if isinstance(value, np.generic) else value), _LONGEST)


def _maps(measured: Measured, order: np.ndarray, title: str) -> list[Part]:
    """Returns the picture of examples with their maps; a sentence if no map is possible."""
    trained = measured.story.trained
    if trained.spec.values == "signal":
        return [Text("Signals have no maps in a report; cnnlab explain draws their curves.")]
    draw = _pairs if measured.task.decides else _sheet
    once, reasons = "" if measured.passes is None else " of one pass with dropout off", []
    for method in _FIRST_METHODS:
        try:
            figure = draw(measured, order, method)
        except ValueError as error:
            reasons.append(str(error))
            continue
        caption = (
            f"{METHODS[method].title}{once}: {METHODS[method].shows} ({METHODS[method].paper}). A map "
            "says where a network looked, not why; cnnlab explain also tests whether it can be trusted."
        )
        name = "wrong" if "wrong" in title else "worst" if "worst" in title else "least-sure"
        return [picture(name, figure, f"{title}, with maps by {METHODS[method].title}", caption)]
    return [Text(f"There are no maps: {reasons[-1]}.")]


def _pairs(measured: Measured, order: np.ndarray, method: str) -> Figure:
    return pairs_explained([measured.story.trained], measured.rows, method, order, counted(len(order), "example"))


def _sheet(measured: Measured, order: np.ndarray, method: str) -> Figure:
    images = np.stack([measured.rows["image"][i] for i in order])
    found = METHODS[method].explain(measured.story.trained, images)
    score = next((name for name in (measured.task.example_score, *_DOUBTS) if name in measured.examples), "")
    titles = [f"{score.replace('_', ' ')} {measured.examples[score][i]:.3g}" for i in order]
    return explanation_sheet(images, np.asarray(found.map), titles=titles)
