"""Small copies of images for pages and sheets."""

from __future__ import annotations

import math

import numpy as np

from cnnlab.data import Examples

_PIXELS = 10_000 * 28**2  # of all thumbnails together, which is about 6 MB as PNG
_SMALLEST, _LARGEST = 28, 64
_BATCH = 256


def thumbnails(examples: Examples, *, total: int | None = None) -> np.ndarray:
    """Returns small copies of all images, `[N, h, w, C]` uint8, C = 1 or 3.

    The longer side has 28 to 64 pixels, more where there are few images; smaller images stay as they are. Images of
    other than 1 or 3 channels are averaged to grey.

    Args:
      examples: examples whose column `image` is `[N, H, W, C]`, uint8 or in [0, 1]; it is read batch by batch.
      total: number of images of which these are a part; by default their own number.

    >>> thumbnails(Examples({"image": np.zeros((2, 100, 50, 3), np.uint8)})).shape
    (2, 64, 32, 3)
    """
    images, n = examples.columns["image"], len(examples)
    side = min(_LARGEST, max(_SMALLEST, math.isqrt(_PIXELS // (total or n))))
    batches = (images[np.arange(start, min(n, start + _BATCH))] for start in range(0, n, _BATCH))
    return np.concatenate([np.stack([_small(image, side) for image in batch]) for batch in batches])


def _small(image: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    if image.dtype != np.uint8:
        image = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    if image.shape[-1] not in (1, 3):
        image = np.rint(image.mean(-1, keepdims=True)).astype(np.uint8)
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    size = [max(1, round(length * side / max(height, width))) for length in (width, height)]
    small = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).resize(size, Image.Resampling.BOX)
    return np.asarray(small).reshape(size[1], size[0], image.shape[-1])
