"""Exact receptive fields of units, also after upsampling and where branches join.

Along one axis of an image, every unit of a layer sees an interval of pixels. The pattern of these intervals repeats
after `period` units, `shift` pixels further along. Convolutions and poolings have a period of 1. Upsampling by 2 has a
period of 2, because even and odd pixels see different neighbours. Padding counts as if the image continued beyond its
border, so a unit at the border has the same receptive field as a unit in the middle.
"""

import math
from fractions import Fraction
from typing import NamedTuple

from cnnlab.ops.arithmetic import Field


class Reach(NamedTuple):
    """The pixels that units along an axis see: unit q * period + r sees first[r] + q * shift to last[r] + q * shift."""

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    shift: int = 1

    @property
    def period(self) -> int:
        """Returns the number of units after which the pattern repeats."""
        return len(self.first)

    def of(self, unit: int) -> tuple[int, int]:
        """Returns the first and the last pixel that a unit sees."""
        cycle, phase = divmod(unit, self.period)
        return self.first[phase] + cycle * self.shift, self.last[phase] + cycle * self.shift


def fixed(first: int, last: int) -> Reach:
    """Returns the reach of units that all see the same pixels."""
    return Reach((first,), (last,), 0)


def window(*, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, spacing: int = 1) -> Reach:
    """Returns the reach of a window's outputs on its inputs.

    Args:
      kernel: number of inputs in the window.
      stride: distance of neighbouring windows.
      padding: number of zeros before the first input.
      dilation: distance of neighbouring inputs of a window.
      spacing: distance of neighbouring inputs, with zeros between them, as in a transposed convolution.

    >>> window(kernel=5, stride=2, padding=2)
    Reach(first=(-2,), last=(2,), shift=2)
    >>> window(kernel=3, padding=1, spacing=2)  # an even output sees one input, an odd one two
    Reach(first=(0, 0), last=(0, 1), shift=1)
    """
    period = spacing // math.gcd(spacing, stride)
    starts = [unit * stride - padding for unit in range(period)]
    last = [(start + (kernel - 1) * dilation) // spacing for start in starts]
    # If a window covers only zeros, its first input would lie behind its last; it is set to the last.
    first = [min(-(-start // spacing), end) for start, end in zip(starts, last, strict=True)]
    return Reach(tuple(first), tuple(last), period * stride // spacing)


def repeat(times: int) -> Reach:
    """Returns the reach of an output in which every input unit is repeated.

    >>> compose(repeat(2), window(kernel=3, padding=1))
    Reach(first=(-1, 0), last=(0, 1), shift=1)
    """
    return Reach((0,) * times, (0,) * times, 1)


def compose(inner: Reach, outer: Reach) -> Reach:
    """Returns the reach through two layers: `outer` sees units that see `inner`.

    >>> compose(window(kernel=5, padding=2), window(kernel=2, stride=2))
    Reach(first=(-2,), last=(3,), shift=2)
    """
    cycles = inner.period // math.gcd(inner.period, outer.shift)
    ends = [outer.of(unit) for unit in range(cycles * outer.period)]
    first = tuple(inner.of(start)[0] for start, _ in ends)
    last = tuple(inner.of(end)[1] for _, end in ends)
    return Reach(first, last, cycles * outer.shift // inner.period * inner.shift)


def union(reach: Reach, other: Reach) -> Reach | None:
    """Returns the smallest reach that covers two arrays; None if their units have different strides.

    >>> union(Reach(), window(kernel=3, padding=1))
    Reach(first=(-1,), last=(1,), shift=1)
    """
    if reach.shift * other.period != other.shift * reach.period:
        return None
    period = math.lcm(reach.period, other.period)
    ends = [(reach.of(unit), other.of(unit)) for unit in range(period)]
    first = tuple(min(a[0], b[0]) for a, b in ends)
    last = tuple(max(a[1], b[1]) for a, b in ends)
    return Reach(first, last, reach.shift * (period // reach.period))


def merge(reach: Reach, units: int) -> Reach:
    """Returns the reach of one unit that depends on the first `units` units."""
    return fixed(reach.of(0)[0], reach.of(units - 1)[1])


def field(reach: Reach) -> Field:
    """Returns the receptive field as three numbers: largest size, mean stride and centre.

    >>> field(window(kernel=5, stride=2, padding=2))
    Field(size=5, stride=2, centre=0.0)
    """
    stride = Fraction(reach.shift, reach.period)
    ends = [reach.of(unit) for unit in range(reach.period)]
    size = max(last - first for first, last in ends) + 1
    centres = [(first + last) / 2 - float(unit * stride) for unit, (first, last) in enumerate(ends)]
    return Field(size, int(stride) if stride.denominator == 1 else stride, sum(centres) / reach.period)
