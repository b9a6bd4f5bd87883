"""Outlines of objects, as polygons or run lengths, and the masks that they cover.

The rule of a polygon is that of COCO's reference implementation, so that masks equal pycocotools' to the pixel. Source:
Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; its mask interface at cocodataset.org.
"""

from typing import NamedTuple

import numpy as np

FINE = 5  # steps of the boundary in a pixel
MAX_CROSSINGS = 50_000_000  # of boundaries and columns of pixels, in one outline; a gigabyte while it is drawn
_DIGITS = 12  # of a compressed run length, which has 5 bits a digit


class Polygons(NamedTuple):
    """An outline of polygons, of which the union counts.

    Attributes:
      parts: corners `[k, 2]` of each polygon, x and y in pixels from the upper left corner of the image.
    """

    parts: tuple[np.ndarray, ...]


class Runs(NamedTuple):
    """An outline of run lengths, column by column: pixels outside and inside in turn, beginning outside.

    Attributes:
      counts: `[k]` int64, the length of each run; together they cover the image.
      size: height and width of the image in pixels.
    """

    counts: np.ndarray
    size: tuple[int, int]


Outline = Polygons | Runs


def draw(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """Returns the mask `[H, W]` bool of the pixels that an outline covers.

    Args:
      outline: polygons or run lengths.
      size: height and width of the image in pixels.

    Raises:
      ValueError: run lengths are of another size, or a boundary crosses too many columns.

    >>> draw(Polygons((np.array([[1, 0], [3, 0], [3, 2], [1, 2]], float),)), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    mask = np.zeros(size, bool)
    paint(mask, outline, True)
    return mask


def paint(canvas: np.ndarray, outline: Outline, value: int) -> None:
    """Writes a value into the pixels of a canvas `[H, W]` that an outline covers.

    A polygon's boundary is a chain of points on a grid of a fifth of a pixel. Where it crosses the vertical line
    through the middle of a column of pixels, that column changes between outside and inside at the next pixel below.
    Where a polygon crosses itself, parity decides.

    Raises:
      ValueError: as `draw`.
    """
    height, width = canvas.shape
    if isinstance(outline, Runs):
        if tuple(outline.size) != (height, width):
            raise ValueError(
                f"run lengths are of {outline.size[1]}x{outline.size[0]} pixels, the photo has {width}x{height}"
            )
        inside = np.repeat(np.arange(len(outline.counts)) % 2 == 1, outline.counts)
        canvas[inside.reshape(width, height).T] = value
        return
    for part in outline.parts:
        columns, rows = _crossings(np.asarray(part, np.float64), height, width)
        if not len(columns):
            continue
        left, top, bottom = columns.min(), rows.min(), rows.max()
        places = (columns - left) * (bottom - top + 1) + rows - top
        changes = np.bincount(places, minlength=(columns.max() - left + 1) * (bottom - top + 1))
        inside = np.cumsum(changes.reshape(-1, bottom - top + 1), 1)[:, :-1] % 2 == 1
        canvas[top:bottom, left : columns.max() + 1][inside.T] = value


def _crossings(points: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the columns and rows of the pixels at which a column changes between outside and inside."""
    fine = np.trunc(FINE * points + 0.5)
    start, end = fine, np.roll(fine, -1, axis=0)
    span = np.abs(end - start)
    flat = span[:, 0] >= span[:, 1]
    swapped = np.where(flat, start[:, 0] > end[:, 0], start[:, 1] > end[:, 1])
    start, end = np.where(swapped[:, None], end, start), np.where(swapped[:, None], start, end)
    # A column's middle lies between the fine steps 5c + 2 and 5c + 3.
    low, high = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.clip(np.ceil((low - 2) / FINE) - 1, 0, width)
    last = np.clip(np.floor((high - 3) / FINE) + 1, -1, width - 1)
    number = np.maximum(last - first + 1, 0).astype(np.int64)
    if number.sum() > MAX_CROSSINGS:
        raise ValueError(f"an outline of {len(points):,} corners crosses more than {MAX_CROSSINGS:,} columns of pixels")
    edge = np.repeat(np.arange(len(points)), number)
    column = np.arange(len(edge)) - np.repeat(np.cumsum(number) - number - first.astype(np.int64), number)
    x0, y0, x1, y1 = start[edge, 0], start[edge, 1], end[edge, 0], end[edge, 1]
    line, flat = FINE * column + 2.0, flat[edge]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(flat, (y1 - y0) / (x1 - x0), (x1 - x0) / (y1 - y0))
        # Along x, the step from `line` to `line` + 1 is known; along y it is the one at which x passes it.
        step = np.where(flat, line - x0, _passing(np.ceil((line + 0.5 - x0) / slope) - 1, x0, slope, line))
    known = np.isfinite(step) & (step >= 0) & (step < np.where(flat, x1 - x0, y1 - y0))
    step, slope, flat, column, y0 = (a[known] for a in (step, slope, flat, column, y0))
    upper = np.minimum(np.trunc(y0 + slope * step + 0.5), np.trunc(y0 + slope * (step + 1) + 0.5))
    y = np.where(flat, upper, y0 + step)
    row = np.ceil(np.clip((y + 0.5) / FINE - 0.5, 0, height)).astype(np.int64)
    return column, row


def _passing(step: np.ndarray, x0: np.ndarray, slope: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Returns the steps along y between which x passes from `line` to `line` + 1 or back, or NaN.

    The quotient may be one step off, because the reference rounds each x by itself.
    """
    out = np.full_like(step, np.nan)
    for candidate in (step - 1, step + 1, step):
        here, there = (np.trunc(x0 + slope * t + 0.5) for t in (candidate, candidate + 1))
        out = np.where((np.minimum(here, there) == line) & (here != there), candidate, out)
    return out


def bounds(outline: Outline) -> tuple[float, float, float, float]:
    """Returns the tight box of an outline, xyxy in pixels; NaN if it has no area.

    >>> bounds(Runs(np.array([2, 1, 3]), (3, 2)))
    (0.0, 2.0, 1.0, 3.0)
    """
    if isinstance(outline, Polygons):
        points = np.concatenate(outline.parts)
        return (*map(float, points.min(0)), *map(float, points.max(0)))
    ends = np.cumsum(outline.counts)
    start, stop = ends[:-1:2], ends[1::2]
    start, stop = start[start < stop], stop[start < stop]
    if not len(start):
        return (np.nan,) * 4
    height = outline.size[0]
    left, right = start // height, (stop - 1) // height
    whole = left < right  # a run that reaches into the next column covers both edges
    top = np.where(whole, 0, start % height).min()
    bottom = np.where(whole, height, (stop - 1) % height + 1).max()
    return float(left.min()), float(top), float(right.max() + 1), float(bottom)


def runs_of(mask: np.ndarray) -> Runs:
    """Returns the run lengths of a mask `[H, W]` bool: the inverse of `draw`.

    >>> runs_of(np.array([[0, 1], [1, 1]], bool)).counts.tolist()
    [1, 3]
    """
    flat = np.concatenate([[False], np.asarray(mask, bool).T.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return Runs(np.diff(np.concatenate([[0], changes, [mask.size]])).astype(np.int64), mask.shape)


def decompress(text: str) -> np.ndarray:
    """Returns the run lengths of COCO's compressed text.

    A character holds 5 bits, the lowest first, and whether another follows. From the fourth number on, each is the
    difference from the number two places before.

    Raises:
      ValueError: a character is none of the code, or a number has too many digits or is cut off.

    >>> decompress("52203").tolist()
    [5, 2, 2, 2, 5]
    """
    codes = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
    if codes.size and not (codes.min() >= 0 and codes.max() < 64 and codes[-1] < 32):
        raise ValueError("compressed run lengths hold a character that is none of their code, or are cut off")
    ends = np.flatnonzero(codes < 32)
    length = np.diff(np.concatenate([[-1], ends]))
    if length.size and length.max() > _DIGITS:
        raise ValueError("compressed run lengths hold a number of too many digits")
    digit = np.arange(len(codes)) - np.repeat(ends - length + 1, length)
    number = np.repeat(np.arange(len(ends)), length)
    values = np.zeros(len(ends), np.int64)
    np.add.at(values, number, (codes & 31) << (5 * digit))
    values -= ((codes[ends] & 16) != 0) * (1 << (5 * length))
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def check_runs(counts: list[int] | np.ndarray, size: tuple[int, int]) -> Runs:
    """Returns run lengths after checking that they are not negative and cover an image of this size exactly.

    Raises:
      ValueError: they do not.
    """
    pixels = size[0] * size[1]
    if isinstance(counts, list) and not all(type(count) is int and 0 <= count <= pixels for count in counts):
        raise ValueError(f"run lengths must be whole numbers from 0 to the {pixels:,} pixels of the photo")
    counts = np.asarray(counts, np.int64)
    if counts.ndim != 1 or (counts < 0).any() or counts.sum(dtype=np.float64) != pixels:
        raise ValueError(f"run lengths must be 0 or more and together cover the {pixels:,} pixels of the photo")
    return Runs(counts, size)
