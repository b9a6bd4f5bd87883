"""Draws training examples and their augmented versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.colours import BOXES
from cnnlab.plots.canvas import class_legend, new_figure, outline, show, tint

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def augmentations(batches: Sequence[Mapping[str, np.ndarray]], titles: Sequence[str], classes: Sequence[str]) -> Figure:
    """Draws one column per example and one row per batch, with masks tinted and boxes labelled by class.

    Args:
      batches: original and augmented versions of the same examples: `image` `[n, H, W, C]`, and optionally `mask`
        `[n, H, W]` (0 is not tinted, -1 is hatched) and `boxes` `[n, m, 4]` with `classes` `[n, m]`.
      titles: one title per batch.
      classes: names of the classes.
    """
    n = len(batches[0]["image"])
    height, width = batches[0]["image"].shape[1:3]
    figure, axes = new_figure(len(batches), n, size=(1.5 * n + 0.3, 1.5 * len(batches) * height / width + 0.3))
    for line, batch, title in zip(axes, batches, titles, strict=True):
        for i, axis in enumerate(line):
            show(axis, batch["image"][i])
            if "mask" in batch:
                tint(axis, batch["mask"][i])
            for box, label in zip(batch.get("boxes", [()] * n)[i], batch.get("classes", [()] * n)[i], strict=True):
                if label >= 0:
                    outline(axis, box, classes[label], BOXES[label % len(BOXES)])
        line[0].text(
            -0.06, 0.5, title, transform=line[0].transAxes, rotation=90, va="center", ha="right", fontsize="small"
        )
    if "mask" in batches[0]:
        class_legend(figure, classes, first=1)
    return figure
