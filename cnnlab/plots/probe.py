"""Draws what a probe measured: one page of curves, and the specialisation of a detector's predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.colours import BLUE, GREEN, GREY, ORANGE, PINK
from cnnlab.quoting import for_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]

COLUMNS = 4  # of the page
_THUMBNAIL = 25  # points

Curves = dict[str, tuple[str, str]]
"""Label and colour of curves, by the name of their column."""


def page(
    report: Mapping[str, Any], *, meanings: Mapping[str, str], strips: Mapping[str, np.ndarray], title: str
) -> Figure:
    """Draws one panel for each distortion, and panels of the layers and of intraclass variation.

    Points stand in the order of their strengths, under an image of that strength.

    Args:
      report: what `cnnlab.probe.probe` returns.
      meanings: what the strengths of each distortion stand for.
      strips: example images of each distortion, `[strengths, H, W, C]` in [0, 1], in the order of the records.
      title: heading of the page.
    """
    from matplotlib.figure import Figure

    panels = {name: list(records) for name, records in groupby(report["response"], lambda r: r["distortion"])}
    rows = -(-len(panels) // COLUMNS) + 1
    figure = Figure(figsize=(3.5 * COLUMNS, 2.75 * rows), layout="constrained", dpi=120)
    figure.get_layout_engine().set(hspace=0.06, wspace=0.03)
    grid = figure.add_gridspec(rows, COLUMNS)
    left, right = _curves(report)
    limits = _limit(report, left), _limit(report, right)
    for number, (name, records) in enumerate(panels.items()):
        axis = figure.add_subplot(grid[number // COLUMNS, number % COLUMNS])
        first, last = number % COLUMNS == 0, number % COLUMNS == COLUMNS - 1 or number == len(panels) - 1
        lines = _draw(axis, records, left, limits[0])
        if right:
            other = axis.twinx()
            lines += _draw(other, records, right, limits[1], style="s--")
            other.grid(False)
            other.tick_params(right=last, labelright=last)
            other.set_ylabel(next(iter(right.values()))[0] if last else "", fontsize="small")
        _thumbnails(axis, strips[name][_order(records)])
        axis.set_title(f"{name} ({meanings[name]})", fontsize="small", pad=_THUMBNAIL + 6)
        axis.set_ylabel(report["score"].replace("_", " ") if first else "")
    bottom = rows - 1
    wide = 2 if report.get("variation") else 3
    _layers(figure.add_subplot(grid[bottom, :wide]), report["layers"], report["shift"])
    if report.get("variation"):
        _variation(figure.add_subplot(grid[bottom, 2]), report["variation"])
    corner = figure.add_subplot(grid[bottom, 3])
    corner.axis("off")
    corner.legend(handles=lines, loc="center", frameon=False, title="In the panels of distortions")
    figure.suptitle(for_figure(title))
    return figure


def _curves(report: Mapping[str, Any]) -> tuple[Curves, Curves]:
    """Returns the curves on the left axis and those on the right one: doubt, and what has another unit than the score.

    A drift lies in 0..1, and stands with a score that does.
    """
    score = report["score"]
    columns = report["response"][0] if report["response"] else {}
    curves = {
        score: (score.replace("_", " "), BLUE),
        "confidence": ("mean confidence", ORANGE),
        "standard_deviation": ("standard deviation of the passes", ORANGE),
        "drift": ("drift of the explanation", GREEN),
        "mutual_information": ("mutual information (nats)", PINK),
    }
    curves = {name: style for name, style in curves.items() if name in columns}
    right = {"mutual_information"} if "confidence" in curves else {"drift"}
    return tuple({n: style for n, style in curves.items() if (n in right) is side} for side in (False, True))


def _limit(report: Mapping[str, Any], names: Curves) -> float:
    """Returns the upper end of an axis for all panels: 1 for shares, otherwise a little above the largest value."""
    values = [record[name] for record in report["response"] for name in names if record[name] is not None]
    largest = max(values, default=1.0)
    return 1.03 if 0.5 < largest <= 1 else 1.05 * largest or 1.0


def _order(records: Sequence[Record]) -> np.ndarray:
    return np.argsort([record["strength"] for record in records], kind="stable")


def _draw(axis: Axes, records: Sequence[Record], curves: Curves, limit: float, *, style: str = "o-") -> list:
    """Draws curves of one distortion and returns their lines."""
    records = [records[i] for i in _order(records)]
    places, lines = np.arange(len(records)), []
    for name, (label, colour) in curves.items():
        values = [np.nan if record[name] is None else record[name] for record in records]
        lines += axis.plot(places, values, style, markersize=3.5, linewidth=1.4, color=colour, label=label)
    for place, record in enumerate(records):
        if record["label"] == "none":
            axis.axvline(place, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(xlim=(-0.5, len(records) - 0.5), ylim=(0, limit))
    axis.set_xticks(places, [record["label"] for record in records], fontsize="small")
    axis.grid(alpha=0.3)
    return lines


def _thumbnails(axis: Axes, images: np.ndarray) -> None:
    """Draws images `[n, H, W, C]` in [0, 1] above the points 0..n-1 of an axis."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    step = max(1, max(images.shape[1:3]) // 112)
    for place, image in enumerate(images[:, ::step, ::step]):
        image = np.clip(image if image.shape[-1] == 3 else image[..., :1].repeat(3, -1), 0, 1)
        thumbnail = OffsetImage(image, zoom=_THUMBNAIL / max(image.shape[:2]), interpolation="nearest")
        at = {"xycoords": ("data", "axes fraction"), "box_alignment": (0.5, 0), "frameon": False, "pad": 0.1}
        axis.add_artist(AnnotationBbox(thumbnail, (place, 1.01), **at))


def _layers(axis: Axes, layers: Sequence[Record], shift: int) -> None:
    """Draws invariance, equivariance and linearity of each layer."""
    places = np.arange(len(layers))
    measures = {
        "invariance": ("o-", BLUE, "in place"),
        "equivariance": ("s-", ORANGE, "moved along"),
        "linearity": ("^-", GREEN, "of (A + B) / 2"),
    }
    for name, (mark, colour, how) in measures.items():
        values = [np.nan if layer[name] is None else layer[name] for layer in layers]
        axis.plot(places, values, mark, markersize=4, color=colour, label=f"{name} ({how})")
    step = -(-len(layers) // 16)
    axis.set_xticks(places[::step], [for_figure(layer["layer"]) for layer in layers[::step]], fontsize="small")
    if len(layers) > 8:
        axis.tick_params(axis="x", rotation=60)
    lowest = min([0.0] + [layer[name] for layer in layers for name in ("invariance", "linearity") if layer[name]])
    axis.set(ylim=(1.05 * lowest, 1.05), ylabel="similarity of features")
    axis.set_title(f"layers: features of images shifted by {shift} pixels, and of sums of images", fontsize="small")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small", loc="best")


def _variation(axis: Axes, groups: Sequence[Record]) -> None:
    """Draws accuracy and confidence against the distance from the class mean."""
    places = np.arange(len(groups))
    axis.plot(places, [group["accuracy"] for group in groups], "o-", color=BLUE, markersize=3.5, label="accuracy")
    axis.plot(
        places, [group["confidence"] for group in groups], "o-", color=ORANGE, markersize=3.5, label="mean confidence"
    )
    axis.set_xticks(places, [f"{group['share']}\n× {group['distance']:.2f}" for group in groups], fontsize="small")
    axis.set(xlim=(-0.5, len(groups) - 0.5), ylim=(0, 1.03), xlabel="typical to unusual images of a class")
    axis.set_title("intraclass variation: distance from the class mean", fontsize="small")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small", loc="lower left")


def specialisation(predictors: Sequence[Record]) -> Figure:
    """Draws the sizes, aspect ratios and classes of the objects for which each predictor is responsible.

    A box spans the middle half of the objects, its whiskers the middle 90 %.

    Args:
      predictors: what `cnnlab.probe.specialisation.specialise` returns.

    >>> one = {"predictor": 1, "anchor": None, "objects": 9, "size": [4.0, 5, 6, 7, 8], "classes": {"cell": 9}}
    >>> figure = specialisation([one | {"aspect_ratio": [0.5, 0.8, 1, 1.2, 2]}])
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['size (pixels)', 'width / height', 'share of objects']
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(9, 3 + 1.6 * len(predictors)), 3.6), layout="constrained", dpi=120)
    size, aspect, classes = figure.subplots(1, 3)
    names = [_predictor(record) for record in predictors]
    used = [i for i, record in enumerate(predictors) if record["objects"]]
    for axis, name, label in ((size, "size", "size (pixels)"), (aspect, "aspect_ratio", "width / height")):
        boxes = [
            dict(zip(("whislo", "q1", "med", "q3", "whishi"), predictors[i][name], strict=True)) | {"fliers": []}
            for i in used
        ]
        if boxes:
            axis.bxp(boxes, positions=used, showfliers=False, patch_artist=True, boxprops={"facecolor": "#cfe3f2"})
        axis.set_ylabel(label)
        axis.set_xticks(range(len(names)), names, fontsize="small")
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.grid(alpha=0.3, axis="y")
    size.set_ylim(0, None)
    aspect.set_yscale("log", base=2)
    lowest, highest = aspect.get_ylim()
    aspect.set_ylim(min(lowest, 0.45), max(highest, 2.2))
    aspect.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    aspect.axhline(1, color=GREY, linewidth=0.8)
    _class_shares(classes, predictors)
    classes.set_xticks(range(len(names)), names, fontsize="small")
    figure.suptitle("objects for which each predictor is responsible", fontsize="medium")
    return figure


def _predictor(record: Record) -> str:
    anchor = "" if record["anchor"] is None else "\n{:.0f}×{:.0f}".format(*record["anchor"])
    return f"{record['predictor']}{anchor}\nn = {record['objects']:,}"


def _class_shares(axis: Axes, predictors: Sequence[Record], *, most: int = 8) -> None:
    """Draws the shares of the most frequent classes as stacked bars; all others are one part."""
    totals: dict[str, int] = {}
    for record in predictors:
        for name, count in record["classes"].items():
            totals[name] = totals.get(name, 0) + count
    names = sorted(totals, key=lambda name: -totals[name])
    rest = names[most:]
    start = np.zeros(len(predictors))
    counts = np.array([max(record["objects"], 1) for record in predictors])
    for number, name in enumerate(names[:most] + ["others"] * bool(rest)):
        group = rest if number == most else [name]
        share = np.array([sum(record["classes"][each] for each in group) for record in predictors]) / counts
        colour = GREY if number == most else f"C{number}" if number < 7 else "C9"
        axis.bar(range(len(predictors)), share, bottom=start, color=colour, label=for_figure(name), width=0.7)
        start += share
    axis.set(ylabel="share of objects", ylim=(0, 1))
    axis.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
