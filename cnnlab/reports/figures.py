"""The sections of a task's figures: what each is called, and how it is read."""

from collections.abc import Mapping
from typing import Any

from cnnlab.metrics.names import title
from cnnlab.metrics.tables import cell
from cnnlab.reports.content import Section
from cnnlab.reports.measure import Measured
from cnnlab.reports.pictures import picture

CAPTIONS: dict[str, tuple[str, str]] = {
    "reliability": (
        "Reliability",
        "The line shows how often the network is right at each confidence; on the diagonal, confidence and accuracy "
        "are equal. The grey band contains 95 of 100 perfectly calibrated networks with as many examples. The expected "
        "calibration error (ECE) of such a network is the noise floor: an ECE near its floor is as good as none.",
    ),
    "confusion": (
        "Confusion",
        "Rows are the true classes, columns the predicted ones; the colour is the share of the true class. What lies "
        "off the diagonal is confused.",
    ),
    "masks": (
        "Masks",
        "The images with the fewest right pixels: the image, the true mask, the predicted mask, how sure the network "
        "is, and where it is wrong.",
    ),
    "boxes": ("Boxes", "Predicted boxes with their score, and the true ones, on the first images of the split."),
    "precision_recall": (
        "Precision and recall",
        "Precision is the share of the boxes that are right, recall the share of the objects that are found. From left "
        "to right the threshold of the score falls.",
    ),
    "risk_coverage": (
        "Risk and coverage",
        "From right to left more of the least sure predictions are left out; the risk is the share of the others that "
        "is wrong.",
    ),
    "order": ("Order", "The photos with the highest and the lowest scores, the highest first."),
    "neighbours": ("Neighbours", "Images of the split, and beside each those that the network takes for most alike."),
    "scatter": ("Predictions and truth", "Each point is an example. On the diagonal, prediction and truth are equal."),
}
"""Heading and caption of the figures by name; of others the heading is their name."""

_ELSEWHERE = ("wrong",)  # the section on single examples shows them, with maps


def figure_sections(measured: Measured) -> list[Section]:
    """Returns a section for each figure of the task, but those of single examples."""
    figures = measured.task.figures(measured.rows)
    shown = {name: figure for name, figure in figures.items() if "/" not in name and name not in _ELSEWHERE}
    sections = []
    for name in sorted(shown, key=lambda name: list(CAPTIONS).index(name) if name in CAPTIONS else len(CAPTIONS)):
        heading, caption = CAPTIONS.get(name, (title(name), ""))
        alt = f"{heading} on the {measured.split} split{_numbers(name, measured.report)}"
        sections.append(Section(heading, (picture(name, shown[name], alt, caption),)))
    return sections


def _numbers(name: str, report: Mapping[str, Any]) -> str:
    """Returns the numbers that a figure shows, for its alternative text."""
    shown = {"reliability": ("ece", "ece_floor"), "confusion": ("accuracy", "pixel_accuracy"), "masks": ("mean_iou",)}
    shown |= {"precision_recall": ("map50", "map"), "scatter": ("rmse", "r2")}
    texts = [f"{title(each)} {cell(each, report[each])}" for each in shown.get(name, ()) if each in report]
    return f": {', '.join(texts)}" if texts else ""
