"""Boxes drawn on a photo, pixel by pixel: the only file here that draws with Pillow, so that a photo keeps its size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Okabe and Ito's colours: readers who are colour-blind can tell them apart."""

SURE = 0.3
"""The score from which a box is drawn."""


def draw_boxes(pixels: np.ndarray, records: Sequence[Mapping[str, Any]], *, sure: float = SURE) -> np.ndarray:
    """Returns a photo with its surest boxes, the best on top; boxes over many passes also show their corners' spread.

    Args:
      pixels: `[H, W, 3]` uint8.
      records: of its boxes, in COCO's results format. Two standard deviations (`bbox_std`) of the upper left and of
        the lower right corner are drawn as ellipses.
      sure: boxes with a lower score are left out.

    >>> box = {"bbox": [2, 2, 9, 9], "score": 0.9, "category": "cat", "category_id": 1}
    >>> draw_boxes(np.zeros((16, 16, 3), np.uint8), [box])[2, 5].tolist()  # on the upper edge: the colour of class 1
    [86, 180, 233]
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(pixels).copy()
    pen = ImageDraw.Draw(image, "RGBA")
    line = max(1, round(min(pixels.shape[:2]) / 300))
    font = ImageFont.load_default(10 + line)
    for one in reversed([one for one in records if one["score"] >= sure]):
        x, y, w, h = one["bbox"]
        colour = COLOURS[one["category_id"] % len(COLOURS)]
        pen.rectangle((x, y, x + w, y + h), outline=colour, width=line)
        if "bbox_std" in one:
            left, top, right, bottom = (2 * side for side in one["bbox_std"])
            for cx, cy, rx, ry in ((x, y, left, top), (x + w, y + h, right, bottom)):
                pen.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=f"{colour}80", outline="white")
        name = f"{one['category']} {one['score']:.2f}"
        x1, y1, x2, y2 = pen.textbbox((x + line, y + line), name, font=font)
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), fill=colour)
        pen.text((x + line, y + line), name, font=font, fill="black")
    return np.asarray(image)
