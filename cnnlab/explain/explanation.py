"""The result of an explanation: maps over the images, with error bars and verdicts."""

from __future__ import annotations

from typing import Any

import jax
from flax import struct


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
    """

    map: jax.Array
    spread: jax.Array | None
    target: jax.Array
    verdict: dict[str, jax.Array] | None = None
    images: Any = None

    def _repr_png_(self) -> bytes | None:
        """Draws the first images and their maps, for notebooks."""
        if self.images is None or isinstance(self.map, jax.core.Tracer):
            return None
        from cnnlab.files.figures import png_bytes
        from cnnlab.plots.explanations import explanation_sheet

        return png_bytes(explanation_sheet(self.images, self.map, self.spread))
