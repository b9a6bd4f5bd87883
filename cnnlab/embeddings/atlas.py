"""One picture of all thumbnails, which the page of an embedding cuts into pieces."""

import io
import math
from typing import NamedTuple

import numpy as np

SIDE = 4096
"""Largest height and width of the picture, which every browser shows; thumbnails are shrunk until all of them fit."""

LOSSLESS_BYTES = 3_000_000
"""Size of a PNG file above which the picture is a WebP file with losses."""
_QUALITY = 82  # of the WebP file


class Atlas(NamedTuple):
    """Thumbnails side by side, row by row.

    Attributes:
      data: content of the picture's file.
      media_type: `image/png` (lossless) or `image/webp` (with losses).
      columns: number of thumbnails in a row.
      height: height of a thumbnail in the picture.
      width: width of a thumbnail in the picture.
    """

    data: bytes
    media_type: str
    columns: int
    height: int
    width: int


def pack(thumbnails: np.ndarray) -> Atlas:
    """Returns the picture of thumbnails `[N, h, w, C]` uint8, C 1 or 3.

    >>> import numpy as np
    >>> pack(np.zeros((5, 8, 8, 1), np.uint8))[1:]
    ('image/png', 3, 8, 8)
    """
    height, width, columns = layout(len(thumbnails), *thumbnails.shape[1:3])
    pieces = thumbnails if (height, width) == thumbnails.shape[1:3] else _shrunk(thumbnails, height, width)
    rows = -(-len(pieces) // columns)
    filled = np.zeros((rows * columns, *pieces.shape[1:]), np.uint8)
    filled[: len(pieces)] = pieces
    grid = filled.reshape(rows, columns, height, width, -1).swapaxes(1, 2)
    data, media_type = _encoded(grid.reshape(rows * height, columns * width, -1))
    return Atlas(data, media_type, columns, height, width)


def layout(number: int, height: int, width: int) -> tuple[int, int, int]:
    """Returns the height and width of a thumbnail in the picture, and the number of thumbnails in a row.

    The largest size of the same shape is chosen with which all thumbnails fit; no thumbnail is enlarged.

    >>> layout(10_000, 28, 28), layout(50_000, 28, 28)
    ((28, 28, 100), (18, 18, 224))
    """
    longest = max(height, width)
    for side in range(min(longest, SIDE), 0, -1):
        h, w = max(round(height * side / longest), 1), max(round(width * side / longest), 1)
        if (SIDE // h) * (SIDE // w) >= number:
            columns = min(math.ceil(math.sqrt(number * h / w)), SIDE // w)
            return h, w, max(columns, -(-number // (SIDE // h)))
    raise ValueError(f"thumbnails must be {SIDE**2:,} or fewer, found {number:,}")


def _shrunk(thumbnails: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    out = np.empty((len(thumbnails), height, width, thumbnails.shape[-1]), np.uint8)
    for i, thumbnail in enumerate(thumbnails):
        small = _image(thumbnail).resize((width, height), Image.Resampling.BOX)
        out[i] = np.asarray(small).reshape(height, width, -1)
    return out


def _encoded(pixels: np.ndarray) -> tuple[bytes, str]:
    file = io.BytesIO()
    _image(pixels).save(file, "png")
    if file.tell() <= LOSSLESS_BYTES:
        return file.getvalue(), "image/png"
    file = io.BytesIO()
    _image(pixels).save(file, "webp", quality=_QUALITY, method=2)
    return file.getvalue(), "image/webp"


def _image(pixels: np.ndarray):
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
