"""Blending of overlapping windows into one image, with only the shared part of two neighbours in memory."""

from collections.abc import Iterable, Iterator

import numpy as np

from cnnlab.sheets.tiles import Axis, fade_in


def across(windows: Iterable[np.ndarray], axis: Axis) -> Iterator[tuple[int, np.ndarray]]:
    """Blends a row of windows and yields the finished columns, from left to right.

    Args:
      windows: one window `[..., tile, k]` for each start of the axis, in order.
      axis: windows along the columns.

    Yields:
      The first column of a piece and its values `[..., w, k]`. Together the pieces cover the axis once.

    >>> axis = Axis(size=6, tile=4, starts=(0, 2), ramp=2)
    >>> pieces = across([np.ones((4, 1), np.float32), np.full((4, 1), 3, np.float32)], axis)
    >>> [(start, [round(float(value), 1) for value in piece[:, 0]]) for start, piece in pieces]
    [(0, [1.0, 1.0]), (2, [1.3, 2.7, 3.0, 3.0])]
    """
    carry = None
    for i, window in enumerate(windows):
        first, last = axis.used(i)
        done = axis.mixed(i)[0]
        part = np.array(window[..., first - axis.starts[i] : last - axis.starts[i], :])
        if carry is not None:
            part[..., : axis.ramp, :] *= fade_in(axis.ramp)[:, None]
            part[..., : axis.ramp, :] += carry
        if last < axis.size:
            carry = part[..., done - first :, :] * fade_in(axis.ramp)[::-1, None]
        yield first, part[..., : done - first, :]


def down(piece: np.ndarray, axis: Axis, i: int, above: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Blends a piece of window row i with the row above.

    Args:
      piece: values `[T, tile, w, k]` from `across`; the function changes them.
      axis: windows along the rows.
      i: index of the row of windows.
      above: faded lower end of the row above, `[T, ramp, w, k]`; None for the first row.

    Returns:
      The finished rows `[T, h, w, k]`, which begin at `axis.used(i)[0]`, and the faded lower end for the row below.
    """
    first, last = (end - axis.starts[i] for end in axis.used(i))
    done = axis.mixed(i)[0] - axis.starts[i]
    if above is not None and axis.ramp:
        piece[:, first : first + axis.ramp] *= fade_in(axis.ramp)[:, None, None]
        piece[:, first : first + axis.ramp] += above
    below = piece[:, done:last] * fade_in(last - done)[::-1, None, None]
    return piece[:, first:done], below
