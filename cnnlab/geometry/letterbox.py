"""Fits a photo or a strip into a canvas of another shape, and maps boxes between the two."""

import functools
from typing import NamedTuple

import numpy as np

GREY = 127  # value of the two bars beside the photo


class Placement(NamedTuple):
    """The position and size of a photo on its canvas, in whole pixels of the canvas.

    Attributes:
      left: column of the photo's left edge.
      top: row of the photo's upper edge.
      height: height of the resized photo.
      width: width of the resized photo.
    """

    left: int
    top: int
    height: int
    width: int


def place(photo: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    """Returns the largest centred placement of a photo on a canvas that keeps the aspect ratio of the photo.

    Args:
      photo: height and width of the photo in pixels.
      canvas: height and width of the canvas in pixels.

    >>> place((480, 640), (416, 416))
    Placement(left=0, top=52, height=312, width=416)
    """
    scale = min(canvas[0] / photo[0], canvas[1] / photo[1])
    height, width = (max(1, min(round(side * scale), limit)) for side, limit in zip(photo, canvas, strict=True))
    return Placement((canvas[1] - width) // 2, (canvas[0] - height) // 2, height, width)


MOST_WIDTH = 16_384  # pixels of a canvas for a strip


def place_strip(strip: tuple[int, int], canvas: tuple[int, int]) -> Placement:
    """Returns the placement of a strip that fills the height of a canvas, at its left edge.

    The strip keeps its aspect ratio, unless it is too wide for the canvas; then it is as wide as the canvas.

    Args:
      strip: height and width of the strip in pixels.
      canvas: height and width of the canvas in pixels.

    >>> place_strip((64, 200), (32, 208)), place_strip((64, 800), (32, 208)).width
    (Placement(left=0, top=0, height=32, width=100), 208)
    """
    return Placement(0, 0, canvas[0], max(1, min(round(strip[1] * canvas[0] / strip[0]), canvas[1])))


def strip_canvas(strip: tuple[int, int], usual: tuple[int, int]) -> tuple[int, int]:
    """Returns the canvas of a strip: the usual one, or a wider one of the same height if the strip needs it.

    Its width is a multiple of 8 beyond the usual one, because networks halve it, and at most `MOST_WIDTH`.

    >>> strip_canvas((64, 200), (32, 208)), strip_canvas((64, 500), (32, 208))
    ((32, 208), (32, 256))
    """
    needed = -(-strip[1] * usual[0] // strip[0])
    return usual if needed <= usual[1] else (usual[0], min(usual[1] - (usual[1] - needed) // 8 * 8, MOST_WIDTH))


def to_canvas(boxes: np.ndarray, photo: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Maps boxes `[..., 4]`, xyxy, from pixels of the photo to pixels of the canvas.

    The resized photo has whole pixels, so its width and height have slightly different scales. The boxes use these
    scales, too, and therefore stay on their objects.

    >>> to_canvas(np.array([0.0, 0, 640, 480]), (480, 640), (416, 416)).tolist()
    [0.0, 52.0, 416.0, 364.0]
    """
    factor, shift = affine(tuple(photo), tuple(canvas))
    return np.asarray(boxes) * factor + shift


def to_photo(boxes: np.ndarray, photo: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Maps boxes from pixels of the canvas to pixels of the photo: the inverse of `to_canvas`.

    >>> to_photo(np.array([0.0, 52, 416, 364]), (480, 640), (416, 416)).tolist()
    [0.0, 0.0, 640.0, 480.0]
    """
    factor, shift = affine(tuple(photo), tuple(canvas))
    return (np.asarray(boxes) - shift) / factor


def from_frames(boxes: np.ndarray, frames: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Maps boxes `[n, m, 4]` from canvases to pixels of their photos, and clips them to the photos.

    Args:
      boxes: boxes, xyxy in pixels of the canvas.
      frames: box of each photo on its canvas, `[n, 4]`, xyxy in pixels of the canvas.
      sizes: height and width of each photo in pixels, `[n, 2]`.

    >>> from_frames(np.array([[[0, 8, 32, 24]]]), np.array([[0, 8, 32, 24]]), np.array([[20, 40]])).tolist()
    [[[0.0, 0.0, 40.0, 20.0]]]
    """
    frames = np.asarray(frames, np.float64)[:, None]
    low, extent = np.tile(frames[..., :2], 2), np.tile(frames[..., 2:] - frames[..., :2], 2)
    limit = np.tile(np.asarray(sizes)[:, None, ::-1], 2)
    return np.clip((boxes - low) * (limit / extent), 0, limit)


@functools.lru_cache(maxsize=1024)
def affine(photo: tuple[int, int], canvas: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factor and the shift, `[4]` each, that map xyxy coordinates from the photo to the canvas.

    >>> [part.tolist() for part in affine((480, 640), (416, 416))]
    [[0.65, 0.65, 0.65, 0.65], [0, 52, 0, 52]]
    """
    left, top, height, width = place(photo, canvas)
    x, y = width / photo[1], height / photo[0]
    return np.array([x, y, x, y]), np.array([left, top, left, top])
