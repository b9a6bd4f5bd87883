"""What is known of each array of a traced program, as far as it takes to recognise ReLUs."""

import dataclasses
import enum
import functools
import operator
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class Kind(enum.Enum):
    """What an array is, as a function of the program's input x. The output must be known or a signal."""

    KNOWN = "does not depend on x, or its gradient is stopped"
    SIGNAL = "features"
    STEP = "has one value where a signal is positive, and another one where it is negative"
    CAPPED = "min(signal, c) with c > 0; its maximum with 0 is a ReLU with a bound"
    EXPONENTIAL = "exp(signal); divided by its own sum, it is a softmax"
    PARTITION = "a sum of exponentials; its logarithm is a signal"
    SQUARE = "a signal's square; its sum is a statistic"
    STATISTIC = "a sum of squares, such as a variance"
    SCALE = "a root of a statistic; a signal times a scale is normalised"
    OTHER = "depends on x in a way that is not listed"


@dataclasses.dataclass(frozen=True, eq=False)
class Fact:
    """What is known of one array. Two arrays that share their fact are equal.

    Attributes:
      kind: what it is.
      value: a known array, if it exists already.
      low: of a step, its value where `of` is negative; of a known array, its value if that is the same everywhere.
      high: of a step, its value where `of` is positive; of a known array, as `low`.
      of: the signal whose sign, exponential or value with a stopped gradient it is.
      multiple: `(x, factor)` if it is the array x times a known factor.
      source: the array of which it is a multiple or another arrangement; None stands for itself.
      reduced: whether it is a sum or maximum over axes, so that it can be the gate of a signal that is not.
      stopped: whether it depends on x entry by entry, with a stopped gradient.
      rectified: whether it is the output of a ReLU that sets all negative values to zero.
      mixed: whether it has constant entries, or entries of an array and of its multiple: then a maximum over an axis
        can be a ReLU.
      ruled: whether it depends on x through a ReLU.
      cause: the name of the equation to blame if it is used in a way that is not listed.
    """

    kind: Kind
    value: Any = None
    low: float | None = None
    high: float | None = None
    of: "Fact | None" = None
    multiple: "tuple[Fact, Fact] | None" = None
    source: "Fact | None" = None
    reduced: bool = False
    stopped: bool = False
    rectified: bool = False
    mixed: bool = False
    ruled: bool = False
    cause: str = ""

    @property
    def root(self) -> "Fact":
        """The array of which it is a multiple or another arrangement, or itself."""
        return self.source or self


def known(value: Any) -> Fact:
    """Returns the fact of an array that does not depend on x."""
    return Fact(Kind.KNOWN, value)


def constant(level: float) -> Fact:
    """Returns the fact of an array with that value everywhere."""
    return Fact(Kind.KNOWN, low=level, high=level)


def signal(x: Fact, factor: Fact) -> Fact:
    """Returns the fact of a signal x times a known factor."""
    return Fact(Kind.SIGNAL, reduced=x.reduced, multiple=(x, factor), source=x.root)


def uniform(fact: Fact | None) -> float | None:
    """Returns the value of a known array that is the same everywhere; None if it is not, or is computed later."""
    if fact is None or fact.kind is not Kind.KNOWN:
        return None
    if fact.low is not None or fact.value is None or isinstance(fact.value, jax.core.Tracer):
        return fact.low
    if jnp.issubdtype(jnp.result_type(fact.value), jax.dtypes.extended) or not np.size(fact.value):  # random keys
        return None
    value = np.asarray(fact.value)
    return float(value.flat[0]) if (value == value.flat[0]).all() else None


def ratio(a: Fact, b: Fact) -> Fact | None:
    """Returns the fact of the factor r in a = r b; None if a and b are no multiples of one array.

    If they are, but r cannot be computed, the fact has no value.

    >>> x = Fact(Kind.SIGNAL)
    >>> uniform(ratio(signal(x, constant(3.0)), signal(x, constant(2.0))))
    1.5
    """
    divisors = dict(_ancestors(b))
    for ancestor, factors in _ancestors(a):
        if ancestor in divisors:
            below, above = (list(map(uniform, side)) for side in (divisors[ancestor], factors))
            if None in below or 0 in below:
                return known(None)
            scale = 1 / float(np.prod(below))
            if None not in above:
                return constant(scale * float(np.prod(above)))
            values = [fact.value if level is None else level for fact, level in zip(factors, above, strict=True)]
            missing = any(value is None for value in values)
            return known(None if missing else functools.reduce(operator.mul, values, scale))
    return None


def _ancestors(fact: Fact) -> Iterator[tuple[Fact, list[Fact]]]:
    """Yields the arrays of which an array is a multiple, beginning with itself, each with the factors."""
    factors: list[Fact] = []
    yield fact, factors
    while fact.multiple:
        fact, factor = fact.multiple
        factors = [*factors, factor]
        yield fact, factors


def across(fact: Fact) -> Fact:
    """Returns the fact of an array that enters or leaves a loop or branch; no ReLU is recognised across that border."""
    if fact.kind in (Kind.KNOWN, Kind.SIGNAL):
        return Fact(fact.kind, reduced=fact.reduced, stopped=fact.stopped, ruled=fact.ruled)
    return Fact(Kind.OTHER, cause=fact.cause)


def join(a: Fact, b: Fact) -> Fact:
    """Returns the fact of an array that is one of two, such as the output of one of two branches."""
    a, b = across(a), across(b)
    for fact in (a, b):
        if fact.kind is Kind.OTHER:
            return fact
    kind = Kind.KNOWN if a.kind is b.kind is Kind.KNOWN else Kind.SIGNAL
    return Fact(kind, reduced=a.reduced and b.reduced, stopped=a.stopped or b.stopped, ruled=a.ruled or b.ruled)
