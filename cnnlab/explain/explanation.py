"""The result of an explanation: maps over the images, with error bars and verdicts."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import struct

from cnnlab.quoting import cut


@struct.dataclass
class Explanation:
    """Maps that show on which pixels a network's answer depends, a pytree.

    In a notebook it shows itself: each image, and the map laid over it.

    Attributes:
      map: `[B, H, W]` on the image's grid; where a method has a sign, positive pixels raise the target's value and
        negative ones lower it.
      spread: `[B, H, W]`, standard deviation of the map over MC-Dropout passes or the members of an ensemble; None for
        a single pass.
      target: `[B]`, the value that the map explains, such as a class's logit.
      verdict: scores `[B]` by name, which say how far to trust the map; those of a random map and of an edge detector
        are called `random/NAME` and `edges/NAME`. Integrated gradients state their `completeness_gap` here. None
        without scores.
      images: `[B, H, W, C]`, the images that were explained.
      label: `[B]`, number of the class that was explained, or of a regression's number; None for a margin, a unit, a
        direction or a function of one's own.
      classes: names of the classes.
    """

    map: jax.Array
    spread: jax.Array | None
    target: jax.Array
    verdict: dict[str, jax.Array] | None = None
    images: Any = None
    label: jax.Array | None = None
    classes: tuple[str, ...] = struct.field(pytree_node=False, default=())

    def __repr__(self) -> str:
        parts = [name for name in ("spread", "label") if getattr(self, name) is not None]
        with_parts = f" with {' and '.join(parts)}" if parts else ""
        verdict = f"verdict: {', '.join(self.verdict)}" if self.verdict else "no verdict"
        return f"Explanation {list(np.shape(self.map))}{with_parts}\n  {cut(verdict, 300)}"

    def _repr_png_(self) -> bytes | None:
        """Draws the first images and their maps, for notebooks."""
        if self.images is None or isinstance(self.map, jax.core.Tracer):
            return None
        from cnnlab.explain.comparison import flags
        from cnnlab.files.figures import png_bytes
        from cnnlab.plots.explanations import explanation_sheet

        names = ["value"] * len(self.map)
        if self.label is not None and self.classes:
            last = len(self.classes) - 1  # of a single label, yes is class 1
            names = [self.classes[min(i, last)] for i in np.asarray(self.label).tolist()]
        titles = [f"{name}: {value:.3g}" for name, value in zip(names, np.asarray(self.target).tolist(), strict=True)]
        doubtful = flags(self.verdict)
        sheet = explanation_sheet(self.images, self.map, self.spread, titles=titles, flagged=doubtful)
        return png_bytes(sheet)
