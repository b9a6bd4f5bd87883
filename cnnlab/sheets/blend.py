"""Blends overlapping windows into one image, with only the shared part of two neighbours in memory."""

from collections.abc import Iterable, Iterator

import numpy as np

from cnnlab.sheets.tiles import Axis, fade_in


def across(windows: Iterable[np.ndarray], axis: Axis) -> Iterator[tuple[int, np.ndarray]]:
    """Blends a row of windows and yields the finished columns, from left to right.

    Args:
      windows: `[..., tile, k]`, one a start of the axis, in order.
      axis: axis of the columns.

    Yields:
      First column and values `[..., w, k]`; together they cover the axis once.

    >>> axis = Axis(size=6, tile=4, starts=(0, 2), ramp=2)
    >>> pieces = across([np.ones((4, 1), np.float32), np.full((4, 1), 3, np.float32)], axis)
    >>> [(start, [round(float(value), 1) for value in piece[:, 0]]) for start, piece in pieces]
    [(0, [1.0, 1.0]), (2, [1.3, 2.7, 3.0, 3.0])]
    """
    held = None
    for i, window in enumerate(windows):
        first, last = axis.used(i)
        done = axis.mixed(i)[0]
        part = np.array(window[..., first - axis.starts[i] : last - axis.starts[i], :])
        if held is not None:
            part[..., : axis.ramp, :] *= fade_in(axis.ramp)[:, None]
            part[..., : axis.ramp, :] += held
        if last < axis.size:
            held = part[..., done - first :, :] * fade_in(axis.ramp)[::-1, None]
        yield first, part[..., : done - first, :]


def down(piece: np.ndarray, axis: Axis, i: int, above: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Finishes a piece of window row i.

    Args:
      piece: `[T, tile, w, k]`, blended across.
      axis: axis of the rows.
      i: which row of windows.
      above: what the row above left for it, `[T, ramp, w, k]`; None for the first.

    Returns:
      The finished rows `[T, h, w, k]`, from `axis.used(i)[0]` on, and what is left for the row below.
    """
    first, last = (end - axis.starts[i] for end in axis.used(i))
    done = axis.mixed(i)[0] - axis.starts[i]
    if above is not None and axis.ramp:
        piece[:, first : first + axis.ramp] *= fade_in(axis.ramp)[:, None, None]
        piece[:, first : first + axis.ramp] += above
    left = piece[:, done:last] * fade_in(last - done)[::-1, None, None]
    return piece[:, first:done], left
