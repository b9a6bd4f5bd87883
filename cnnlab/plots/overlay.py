"""Draws boxes on a photo and characters under a strip, with Pillow instead of matplotlib, in whole pixels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnlab.colours import BLUE, BOXES, GREEN, ORANGE
from cnnlab.plots.readings import SURE as SURE_CHARACTER

SURE = 0.3
"""The lowest score of a box that is drawn."""


def draw_boxes(pixels: np.ndarray, records: Sequence[Mapping[str, Any]], *, sure: float = SURE) -> np.ndarray:
    """Draws the boxes of a photo on a copy of it, the best on top.

    Args:
      pixels: the photo `[H, W, 3]` uint8.
      records: records of its boxes in COCO's results format. If a record has standard deviations (`bbox_std`, over
        several passes), those of the upper left and the lower right corner are drawn as ellipses, two deviations wide.
      sure: lowest score of a box that is drawn.

    >>> box = {"bbox": [2, 2, 9, 9], "score": 0.9, "category": "cat", "category_id": 2}
    >>> draw_boxes(np.zeros((16, 16, 3), np.uint8), [box])[2, 5].tolist()  # on the upper edge: the colour of class 2
    [0, 114, 178]
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(pixels).copy()
    pen = ImageDraw.Draw(image, "RGBA")
    line = max(1, round(min(pixels.shape[:2]) / 300))
    font = ImageFont.load_default(10 + line)
    for record in reversed([record for record in records if record["score"] >= sure]):
        x, y, w, h = record["bbox"]
        colour = BOXES[(record["category_id"] - 1) % len(BOXES)]  # as in other figures: categories count from 1
        pen.rectangle((x, y, x + w, y + h), outline=colour, width=line)
        if "bbox_std" in record:
            left, top, right, bottom = (2 * side for side in record["bbox_std"])
            for cx, cy, rx, ry in ((x, y, left, top), (x + w, y + h, right, bottom)):
                pen.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=f"{colour}80", outline="white")
        name = f"{record['category']} {record['score']:.2f}"
        x1, y1, x2, y2 = pen.textbbox((x + line, y + line), name, font=font)
        pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), fill=colour)
        pen.text((x + line, y + line), name, font=font, fill="white" if colour in (ORANGE, BLUE, GREEN) else "black")
    return np.asarray(image)


def draw_reading(pixels: np.ndarray, record: Mapping[str, Any]) -> np.ndarray:
    """Draws the characters of a strip under it, each with a bar below its columns and its confidence in percent.

    Characters of a confidence below `readings.SURE` are orange. A small strip is enlarged.

    Args:
      pixels: the strip `[H, W, 3]` uint8.
      record: record of the strip, with the list `characters`: `character`, `confidence`, and the columns `left` and
        `right` in pixels.

    >>> strip = {"characters": [{"character": "7", "confidence": 0.99, "left": 2, "right": 6}]}
    >>> draw_reading(np.zeros((100, 16, 3), np.uint8), strip).shape
    (148, 16, 3)
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = pixels.shape[:2]
    zoom = max(1, -(-_STRIP_HEIGHT // height))
    image = Image.new("RGB", (zoom * width, zoom * height + _BAND), "white")
    strip = Image.fromarray(pixels)
    image.paste(strip.resize((zoom * width, zoom * height), Image.Resampling.NEAREST), (0, 0))
    pen, top = ImageDraw.Draw(image), zoom * height
    large, small = ImageFont.load_default(20), ImageFont.load_default(10)
    for each in record["characters"]:
        left, right = zoom * each["left"], zoom * each["right"]
        colour = BLUE if each["confidence"] >= SURE_CHARACTER else ORANGE
        pen.rectangle((left, top + 3, max(right - 1, left), top + 6), fill=colour)
        middle = (left + right) / 2
        pen.text((middle, top + 9), each["character"], font=large, fill=colour, anchor="ma")
        pen.text((middle, top + 34), f"{100 * each['confidence']:.0f}", font=small, fill=colour, anchor="ma")
    return np.asarray(image)


_STRIP_HEIGHT, _BAND = 84, 48  # pixels: least height of a drawn strip, and height of the characters under it
