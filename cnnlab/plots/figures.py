"""Figures of training and evaluation. No global state: each function returns a figure of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.metrics.calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE, _ORANGE, _GREY = "#0072b2", "#d55e00", "#999999"  # Okabe and Ito: told apart by colour-blind readers too
_BOXES = (_ORANGE, _BLUE, "#009e73", "#cc79a7")


def new_figure(rows: int = 1, columns: int = 1, *, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """A figure with its axes `[rows, columns]`, outside of pyplot: nothing to close, no display needed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", dpi=120)
    return figure, figure.subplots(rows, columns, squeeze=False)


def curves(history: Sequence[Mapping[str, float]], monitor: str, *, maximise: bool) -> Figure:
    """Loss and the monitored validation metric against epochs.

    Args:
      history: one mapping an epoch with `epoch`, `loss` and `validation_*` entries.
      monitor: the name of the metric without its prefix.
      maximise: whether more of it is better.
    """
    figure, axes = new_figure(1, 2, size=(8, 3.2))
    epochs = [row["epoch"] for row in history]
    left, right = axes[0]
    left.plot(epochs, [row["loss"] for row in history], color=_BLUE, label="training")
    left.plot(epochs, [row["validation_loss"] for row in history], color=_ORANGE, label="validation")
    left.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    left.legend(frameon=False)
    values = [row[f"validation_{monitor}"] for row in history]
    right.plot(epochs, values, color=_ORANGE)
    if not np.isnan(values).all():
        best = int(np.nanargmax(values) if maximise else np.nanargmin(values))
        place = (epochs[best], values[best])
        right.plot(*place, "o", color=_ORANGE)
        side = "right" if 2 * best > len(values) else "left"  # away from the nearer edge
        right.annotate(f"{values[best]:.4f}", place, (0, 8), textcoords="offset points", ha=side)
    right.set(xlabel="epoch", ylabel=f"validation {monitor}")
    right.margins(y=0.15)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    return figure


def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts of true class (rows) and guess (columns), coloured by share of the row."""
    k = len(counts)
    side = min(12.0, 2.2 + 0.42 * k)
    figure, axes = new_figure(size=(side + 0.8, side))
    axis = axes[0, 0]
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if k <= 25:
        for row, column in np.argwhere(counts):
            colour = "white" if share[row, column] > 0.5 else "black"
            axis.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=8)
    axis.set_xticks(range(k), classes, rotation=45 if max(map(len, classes)) > 3 else 0)
    axis.set_yticks(range(k), classes)
    axis.set(xlabel="guess", ylabel="true class")
    figure.colorbar(image, ax=axis, label="share of the true class", fraction=0.046)
    return figure


def reliability_diagram(
    bins: Reliability, ece: float, floor: float, *, interval: tuple[float, float] | None = None
) -> Figure:
    """Accuracy against confidence, the noise of each bin shaded, and its count below.

    Shaded is where 95 of 100 perfectly calibrated models would lie with as many examples of this confidence.

    Args:
      bins: from `metrics.calibration.reliability`.
      ece: the expected calibration error.
      floor: what a perfectly calibrated model of this size would score.
      interval: of the ECE, shown beside it.
    """
    from scipy.stats import binom

    figure, axes = new_figure(2, 1, size=(4.4, 5.2))
    figure.get_layout_engine().set(hspace=0.02)
    top, bottom = axes[:, 0]
    top.get_gridspec().set_height_ratios((3, 1))
    filled = bins.count > 0
    count, confidence = bins.count[filled], bins.confidence[filled]
    left, width = bins.edges[:-1][filled], np.diff(bins.edges)[filled]
    low, high = (binom(count, np.clip(confidence, 0, 1)).ppf(q) / count for q in (0.025, 0.975))
    low, high = np.minimum(low, confidence), np.maximum(high, confidence)
    band = {"color": _GREY, "alpha": 0.35, "align": "edge", "linewidth": 0, "label": "calibrated, 95 of 100"}
    top.bar(left, high - low, width, low, **band)
    top.plot([0, 1], [0, 1], "--", color=_GREY)
    top.plot(confidence, bins.accuracy[filled], "o-", color=_BLUE, label="this model")
    spread = "" if interval is None else f" ({interval[0]:.4f} to {interval[1]:.4f})"
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    top.set_title(f"ECE {ece:.4f}{spread}, noise floor {floor:.4f}", fontsize=10)
    top.legend(loc="best", frameon=False, fontsize=9)
    bottom.bar(left, count, width, align="edge", color=_BLUE, edgecolor="white", linewidth=0.8)
    for x, w, n in zip(left + width / 2, width, count, strict=True):
        if w > 0.05:  # narrower bins would write over each other
            bottom.annotate(_short(n), (x, n), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=6)
    bottom.set(xlabel="confidence", ylabel="examples", xlim=(0, 1))
    if filled.any():
        bottom.set(yscale="log", ylim=(0.5, count.max() * 6))
    return figure


def _short(n: int) -> str:
    """A count in at most four characters: 950, 12k, 3M."""
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if n >= unit:
            return f"{n / unit:.1f}{letter}" if n < 10 * unit else f"{n / unit:.0f}{letter}"
    return str(n)


def gallery(images: Sequence[np.ndarray], titles: Sequence[str], *, title: str = "", columns: int = 5) -> Figure:
    """Images `[H, W, C]` with a title each, and one above them all."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(1.7 * columns, 2.05 * rows))
    figure.suptitle(title, fontsize=10)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, text in zip(axes.flat, images, titles, strict=False):
        show(axis, image)
        axis.set_title(text, fontsize=8)
    return figure


def show(axis: Axes, image: np.ndarray) -> None:
    """One image `[H, W, C]`, uint8 or in [0, 1], grey or RGB."""
    axis.imshow(
        image if image.shape[-1] == 3 else image[..., 0],
        cmap="gray",
        vmin=0,
        vmax=255 if image.dtype == np.uint8 else 1,
    )
    axis.axis("off")


def scatter(values: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Figure:
    """Prediction against truth, one panel a target `[n, d]`."""
    d = targets.shape[1]
    figure, axes = new_figure(1, d, size=(3.4 * d, 3.2))
    for i, axis in enumerate(axes[0]):
        axis.plot(targets[:, i], values[:, i], ".", color=_BLUE, alpha=0.5)
        axis.axline((targets[:, i].mean(),) * 2, slope=1, color=_GREY, linestyle="--")
        axis.set(xlabel=f"true {names[i]}", ylabel=f"predicted {names[i]}")
    return figure


def detections(images: Sequence[np.ndarray], found: Sequence, truths: Sequence, classes: Sequence[str]) -> Figure:
    """Images with their true boxes (dashed) and the found ones with class and score.

    Args:
      images: each `[H, W, C]`.
      found: for each image a list of `(box, class, score)`.
      truths: for each image a list of `(box, class)`.
      classes: names.
    """
    from matplotlib.patches import Rectangle

    columns = min(4, len(images))
    rows = -(-len(images) // columns)
    figure, axes = new_figure(rows, columns, size=(2.2 * columns, 2.2 * rows))
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, boxes, true in zip(axes.flat, images, found, truths, strict=False):
        show(axis, image)
        for box, _ in true:
            axis.add_patch(_rectangle(Rectangle, box, color="white", linestyle="--"))
        for box, label, score in boxes:
            colour = _BOXES[label % len(_BOXES)]
            _outline(axis, box, f"{classes[label]} {score:.2f}", colour)
    return figure


def augmentations(batches: Sequence[Mapping[str, np.ndarray]], titles: Sequence[str], classes: Sequence[str]) -> Figure:
    """A column an example, a row a batch: as it is above, as it was drawn below; masks tinted, boxes with their class.

    Args:
      batches: the same examples, `image` `[n, H, W, C]` and, where there are any, `mask` `[n, H, W]` (0 shows as
        background, -1 hatched) and `boxes` `[n, m, 4]` with `classes` `[n, m]`.
      titles: one a batch.
      classes: names.
    """
    n = len(batches[0]["image"])
    height, width = batches[0]["image"].shape[1:3]
    figure, axes = new_figure(len(batches), n, size=(1.5 * n + 0.3, 1.5 * len(batches) * height / width + 0.3))
    for line, batch, title in zip(axes, batches, titles, strict=True):
        for i, axis in enumerate(line):
            show(axis, batch["image"][i])
            if "mask" in batch:
                _tint(axis, batch["mask"][i])
            for box, label in zip(batch.get("boxes", [()] * n)[i], batch.get("classes", [()] * n)[i], strict=True):
                if label >= 0:
                    _outline(axis, box, classes[label], _BOXES[label % len(_BOXES)])
        line[0].text(-0.06, 0.5, title, transform=line[0].transAxes, rotation=90, va="center", ha="right", fontsize=9)
    return figure


def _tint(axis: Axes, mask: np.ndarray) -> None:
    """A mask `[H, W]` over its image: classes from 1 on in colour, what is ignored hatched."""
    shown = np.ma.masked_less(mask, 1)
    axis.imshow(shown, cmap="tab10", vmin=0, vmax=max(9, int(mask.max())), alpha=0.45, interpolation="nearest")
    if (mask == -1).any():
        hatched = axis.contourf(mask == -1, levels=[0.5, 1.5], colors="none", hatches=["////"])
        hatched.set(edgecolor=_GREY, linewidth=0)


def _outline(axis: Axes, box: np.ndarray, text: str, colour: str) -> None:
    """A box and its name."""
    from matplotlib.patches import Rectangle

    axis.add_patch(_rectangle(Rectangle, box, color=colour))
    axis.text(box[0], box[1] - 1, text, color=colour, fontsize=6, clip_on=True)


def _rectangle(rectangle: type, box: np.ndarray, **style):
    # Coordinates are continuous, pixel centres lie at +0.5; imshow puts them at whole numbers.
    return rectangle((box[0] - 0.5, box[1] - 0.5), box[2] - box[0], box[3] - box[1], fill=False, **style)
