"""Exact receptive fields of units, also behind upsampling and where branches meet.

Along one axis of an image, neighbouring units of a layer see intervals that repeat: after `period` units the same
pattern comes again, `shift` pixels further on. Convolutions and poolings have a period of 1; doubling an image makes
it 2, because even and odd pixels see different neighbours. Padding counts as if the image went on, so that a unit at
the border sees what one in the middle does.
"""

import math
from fractions import Fraction
from typing import NamedTuple

from cnnlab.ops.arithmetic import Field


class Reach(NamedTuple):
    """The pixels that units of an axis see: unit q * period + r from first[r] + q * shift to last[r] + q * shift."""

    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    shift: int = 1

    @property
    def period(self) -> int:
        """Units after which the pattern comes again."""
        return len(self.first)

    def of(self, unit: int) -> tuple[int, int]:
        """Returns the first and last pixel that a unit sees."""
        cycle, phase = divmod(unit, self.period)
        return self.first[phase] + cycle * self.shift, self.last[phase] + cycle * self.shift


def fixed(first: int, last: int) -> Reach:
    """Returns the reach of units that all see the same pixels."""
    return Reach((first,), (last,), 0)


def window(*, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, spacing: int = 1) -> Reach:
    """Returns the reach of a window's outputs on its inputs.

    Args:
      kernel: inputs in the window.
      stride: inputs from one output to the next.
      padding: zeros before the first input.
      dilation: inputs from one of the window to the next.
      spacing: the inputs lie so far apart, with zeros between them, as in a transposed convolution.

    >>> window(kernel=5, stride=2, padding=2)
    Reach(first=(-2,), last=(2,), shift=2)
    >>> window(kernel=3, padding=1, spacing=2)  # an even output sees one input, an odd one two
    Reach(first=(0, 0), last=(0, 1), shift=1)
    """
    period = spacing // math.gcd(spacing, stride)
    starts = [unit * stride - padding for unit in range(period)]
    last = [(start + (kernel - 1) * dilation) // spacing for start in starts]
    # Where only zeros are seen, the first input is set to the last, which lies before it.
    first = [min(-(-start // spacing), end) for start, end in zip(starts, last, strict=True)]
    return Reach(tuple(first), tuple(last), period * stride // spacing)


def repeat(times: int) -> Reach:
    """Returns the reach of units after each is repeated.

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


def union(one: Reach, other: Reach) -> Reach | None:
    """Returns the joint reach of two arrays; None if their units have different strides.

    >>> union(Reach(), window(kernel=3, padding=1))
    Reach(first=(-1,), last=(1,), shift=1)
    """
    if one.shift * other.period != other.shift * one.period:
        return None
    period = math.lcm(one.period, other.period)
    ends = [(one.of(unit), other.of(unit)) for unit in range(period)]
    first = tuple(min(a[0], b[0]) for a, b in ends)
    last = tuple(max(a[1], b[1]) for a, b in ends)
    return Reach(first, last, one.shift * (period // one.period))


def merge(reach: Reach, units: int) -> Reach:
    """Returns the reach of a unit that depends on several units together."""
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
