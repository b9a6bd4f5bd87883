"""Recognises the ReLUs of a traced program, however they are written, and the nonlinearities that are no activation.

Each array of the program has a `Fact`. `judge` derives the facts of an equation's results from those of its operands,
and finds the equations that complete a ReLU: `max(x, 0)`, `select(x > 0, x, slope x)`, `x (x > 0)` and so on. A
nonlinearity that is not listed here makes its result `Kind.OTHER`, and so everything that is computed from it.
"""

import dataclasses
import enum
import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core


class Kind(enum.Enum):
    """What an array is, as a function of the input x. Only constants and signals may be results of the program."""

    KNOWN = "does not depend on x, or its gradient is stopped"
    SIGNAL = "features"
    STEP = "has one value where a signal is positive and one where it is negative"
    CAPPED = "min(signal, c) with c > 0; max(., 0) of it is a ReLU with a bound"
    EXPONENTIAL = "exp(signal); divided by its own sum it is a softmax"
    PARTITION = "a sum of exponentials; its logarithm is a signal"
    SQUARE = "signal ** 2; its sum is a statistic"
    STATISTIC = "a sum of squares, such as a variance"
    SCALE = "a root of a statistic; a signal times a scale is a normalised signal"
    OTHER = "depends on x in a way that is not listed"


@dataclasses.dataclass(frozen=True, eq=False)
class Fact:
    """What is known of one array. Facts are compared by identity: two arrays are equal if they share their fact.

    Attributes:
      kind: what it is.
      value: the array, of a known one, if it exists already.
      low: of a step, its value where `of` is negative; of a known array, its value if it is the same everywhere.
      high: of a step, its value where `of` is positive; of a known array, as `low`.
      of: the signal of a step or an exponential.
      multiple: `(x, factor)` if the array is x times a known factor.
      source: the array of which it is a multiple or another arrangement; None stands for itself.
      reduced: whether it was summed or maximised over axes, so that it may be the gate of a signal that was not.
      rectified: whether it is the result of a ReLU that sets all negative values to zero.
      mixed: whether it holds constants, or the same entries twice: its maximum over an axis could be a ReLU.
      ruled: whether it depends on x through a ReLU.
      cause: the equation to name if the array is used in a way that is not listed.
    """

    kind: Kind
    value: Any = None
    low: float | None = None
    high: float | None = None
    of: "Fact | None" = None
    multiple: "tuple[Fact, Fact] | None" = None
    source: "Fact | None" = None
    reduced: bool = False
    rectified: bool = False
    mixed: bool = False
    ruled: bool = False
    cause: str = ""


class Relu(NamedTuple):
    """A ReLU that an equation completes.

    Attributes:
      operand: which of the equation's operands it is applied to.
      slope: the fact of its slope for negative values.
      bound: which operand is its upper bound, if the equation applies one too.
    """

    operand: int
    slope: Fact
    bound: int | None = None


class Verdict(NamedTuple):
    """The fact of an equation's results, and the ReLU that it completes, if any."""

    fact: Fact
    relu: Relu | None = None


def judge(equation: core.JaxprEqn, facts: Sequence[Fact], where: Callable[[], str]) -> Verdict:
    """Returns what is known of an equation's results.

    Args:
      equation: an equation without an inner program.
      facts: those of its operands.
      where: function that names the equation.
    """
    name, dependent = equation.primitive.name, _dependent(facts)
    if not dependent:
        return Verdict(_known(_levels(equation, facts)))
    if name == "stop_gradient":  # x * stop_gradient(x > 0) is a ReLU all the same
        return Verdict(facts[0] if facts[0].kind is Kind.STEP else Fact(Kind.KNOWN))
    for fact in dependent:
        if fact.kind is Kind.OTHER:
            return Verdict(fact)
    levels = _levels(equation, facts)
    if levels and len({fact.of for fact in dependent}) == 1:
        return Verdict(Fact(Kind.STEP, low=levels[0], high=levels[1], of=dependent[0].of, cause=dependent[0].cause))
    rule = _RULES.get(name)
    out = rule(equation, facts) if rule and equation.outvars else None
    # A square or exponential that is used in another way than a norm's or a softmax's is the one to name.
    cause = next((fact.cause for fact in dependent if fact.cause and fact.kind is not Kind.STEP), "") or where()
    if out is None:
        return Verdict(Fact(Kind.OTHER, cause=cause))
    fact, relu = out if isinstance(out, Verdict) else Verdict(out)
    if fact not in facts:
        ruled = relu is not None or any(fact.ruled for fact in dependent)
        fact = dataclasses.replace(fact, cause="" if fact.kind is Kind.SIGNAL else cause, ruled=ruled)
    return Verdict(fact, relu)


def known(value: Any) -> Fact:
    """Returns the fact of an array that does not depend on x."""
    return Fact(Kind.KNOWN, value)


def join(a: Fact, b: Fact) -> Fact:
    """Returns the fact of an array that is one of two, such as the result of one of two branches."""
    for fact in map(across, (a, b)):
        if fact.kind is Kind.OTHER:
            return fact
    if a.kind is b.kind is Kind.KNOWN:
        return Fact(Kind.KNOWN)
    return Fact(Kind.SIGNAL, reduced=a.reduced and b.reduced, ruled=a.ruled or b.ruled)


def across(fact: Fact) -> Fact:
    """Returns the fact of an array that leaves or enters a loop or a branch: a ReLU cannot be in part outside."""
    if fact.kind in (Kind.KNOWN, Kind.SIGNAL):
        return Fact(fact.kind, reduced=fact.reduced, ruled=fact.ruled)
    return Fact(Kind.OTHER, cause=fact.cause)


# Constants and steps


_ARITHMETIC = {
    "add": operator.add,
    "and": lambda a, b: float(a and b),
    "div": lambda a, b: a / b if b else None,
    "max": max,
    "min": min,
    "mul": operator.mul,
    "neg": operator.neg,
    "not": lambda a: 1 - a,
    "or": lambda a, b: float(a or b),
    "sub": operator.sub,
}
_ARRANGEMENTS = ("broadcast_in_dim", "copy", "copy_p", "reduce_precision", "reshape", "squeeze", "transpose")


def _levels(equation: core.JaxprEqn, facts: Sequence[Fact]) -> tuple[float, float] | None:
    """Returns the two values that a result takes, if its operands are steps or uniform; equal ones if it is uniform."""
    name, steps = equation.primitive.name, any(fact.kind is Kind.STEP for fact in facts)
    if any(fact.kind not in (Kind.KNOWN, Kind.STEP) for fact in facts) or not facts:
        return None
    if name == "convert_element_type":
        dtype = equation.params["new_dtype"]
        apply = lambda level: float(np.asarray(level).astype(dtype))  # noqa: E731
    elif name in _ARRANGEMENTS and not steps:
        apply = lambda *levels: levels[0]  # noqa: E731
    elif name in _ARITHMETIC and (name != "not" or equation.outvars[0].aval.dtype == bool):
        apply = _ARITHMETIC[name]
    else:
        return None
    levels = [(fact.low, fact.high) if fact.kind is Kind.STEP else (uniform(fact),) * 2 for fact in facts]
    if any(None in pair for pair in levels):
        return None
    low, high = (apply(*side) for side in zip(*levels, strict=True))
    return None if low is None or high is None else (low, high)


def _known(levels: tuple[float, float] | None) -> Fact:
    return Fact(Kind.KNOWN, low=levels[0], high=levels[0]) if levels else Fact(Kind.KNOWN)


def uniform(fact: Fact | None) -> float | None:
    """Returns the value of a known array that is the same everywhere, as far as it can be told without running."""
    if fact is None or fact.kind is not Kind.KNOWN or fact.low is not None:
        return fact and fact.low
    value = fact.value
    if value is None or isinstance(value, jax.core.Tracer) or not np.size(value):
        return None
    if jnp.issubdtype(jnp.result_type(value), jax.dtypes.extended):  # random keys
        return None
    value = np.asarray(value)
    return float(value.flat[0]) if (value == value.flat[0]).all() else None


# Multiples


def _ancestors(fact: Fact) -> Iterator[tuple[Fact, list[Fact]]]:
    """Yields the arrays of which one is a multiple, beginning with itself, and the factors."""
    factors: list[Fact] = []
    yield fact, factors
    while fact.multiple:
        fact, factor = fact.multiple
        factors = [*factors, factor]
        yield fact, factors


def ratio(a: Fact, b: Fact) -> Fact | None:
    """Returns the known factor r of a = r b; None unless both are multiples of one array.

    The result has neither a value nor a level if there is such a factor but it is not known.
    """
    divisors = dict(_ancestors(b))
    for ancestor, factors in _ancestors(a):
        if ancestor in divisors:
            below, above = (list(map(uniform, side)) for side in (divisors[ancestor], factors))
            if None in below or 0 in below:
                return Fact(Kind.KNOWN)
            scale = 1 / float(np.prod(below))
            if None not in above:
                level = scale * float(np.prod(above))
                return Fact(Kind.KNOWN, low=level, high=level)
            values = [f.value if level is None else level for f, level in zip(factors, above, strict=True)]
            return Fact(
                Kind.KNOWN, None if any(v is None for v in values) else functools.reduce(operator.mul, values, scale)
            )
    return None


def _root(fact: Fact) -> Fact:
    return fact.source or fact


# ReLUs


def _relu(facts: Sequence[Fact], x: Fact, slope: Fact | None, bound: int | None = None) -> Verdict | None:
    """Returns the verdict on a ReLU of x; None if the slope is not one, or is known and not in 0..1."""
    if slope is None or x.kind not in (Kind.SIGNAL, Kind.CAPPED):
        return None
    level = uniform(slope)
    if level is not None and not 0 <= level <= 1:
        return None
    fact = Fact(Kind.SIGNAL, reduced=x.reduced, rectified=level == 0)
    return Verdict(fact, Relu(list(facts).index(x), slope, bound))


_ZERO = Fact(Kind.KNOWN, low=0.0, high=0.0)


def _maximum(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Any:
    a, b = facts
    if a.kind is Kind.KNOWN or b.kind is Kind.KNOWN:
        constant, x = (a, b) if a.kind is Kind.KNOWN else (b, a)
        level = uniform(constant)
        if x.kind in (Kind.STATISTIC, Kind.SCALE):  # a variance is kept from being negative, a norm from being zero
            return dataclasses.replace(x)
        if level == -np.inf and x.kind is Kind.SIGNAL:
            return dataclasses.replace(x, multiple=(x, Fact(Kind.KNOWN, low=1.0, high=1.0)), source=_root(x))
        return _relu(facts, x, _ZERO) if level == 0 else None
    if a.kind is not Kind.SIGNAL or b.kind is not Kind.SIGNAL:
        return None
    for x, other in ((a, b), (b, a)):
        slope = ratio(other, x)
        level = uniform(slope)
        if level is not None and level <= 1:
            return _relu(facts, x, slope)
    if _root(a) is _root(b):  # one could be a multiple of the other
        return None
    return _signal(facts)


def _minimum(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Any:
    (x,) = _dependent(facts) if len(_dependent(facts)) == 1 else (None,)
    if x is None:
        return None
    if x.kind in (Kind.STATISTIC, Kind.SCALE):
        return dataclasses.replace(x)
    if x.rectified:
        return Fact(Kind.SIGNAL, reduced=x.reduced, rectified=True)
    level = uniform(next(fact for fact in facts if fact is not x))
    if x.kind is Kind.SIGNAL and level is not None and level > 0:
        return x if level == np.inf else Fact(Kind.CAPPED, reduced=x.reduced)
    return None


def _clamp(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Any:
    low, x, high = facts
    if x.kind in (Kind.STATISTIC, Kind.SCALE):
        return dataclasses.replace(x)
    return _relu(facts, x, _ZERO, 2) if uniform(low) == 0 and high.kind is Kind.KNOWN else None


def _compare(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    a, b = facts
    x, constant = (b, a) if a.kind is Kind.KNOWN else (a, b)
    if x.kind is not Kind.SIGNAL or uniform(constant) != 0:
        return None
    high = float((equation.primitive.name in ("gt", "ge")) == (x is a))
    return Fact(Kind.STEP, low=1 - high, high=high, of=x)


def _select(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Any:
    which, *cases = facts
    if which.kind is Kind.KNOWN:
        return _moved(equation, facts)
    if which.kind is not Kind.STEP or {which.low, which.high} != {0, 1} or len(cases) != 2:
        return None
    negative, positive = cases[int(which.low)], cases[int(which.high)]
    low, high = uniform(negative), uniform(positive)
    if low is not None and high is not None:
        return Fact(Kind.STEP, low=low, high=high, of=which.of)
    # The condition may be on a multiple of x, also a negative one.
    for x, other, sign in ((positive, negative, 1), (negative, positive, -1)):
        level = uniform(ratio(x, which.of))
        if level is not None and sign * level > 0:
            slope = ratio(other, x) if other.kind is not Kind.KNOWN else _ZERO if uniform(other) == 0 else None
            return _relu(facts, x, slope)
    return None


def _gated(facts: Sequence[Fact], x: Fact, step: Fact) -> Verdict | None:
    """Judges x times a step."""
    level = uniform(ratio(x, step.of)) if x.kind is Kind.SIGNAL else None
    if not level:
        return None
    slope, one = (step.low, step.high) if level > 0 else (step.high, step.low)
    return _relu(facts, x, Fact(Kind.KNOWN, low=slope, high=slope)) if one == 1 else None


# Other operations


def _dependent(facts: Sequence[Fact]) -> list[Fact]:
    return [fact for fact in facts if fact.kind is not Kind.KNOWN]


def _kinds(facts: Sequence[Fact]) -> set[Kind]:
    return {fact.kind for fact in _dependent(facts)}


def _signal(facts: Sequence[Fact], *, reduced: bool = False) -> Fact | None:
    """Returns a signal computed from signals only; None if there is anything else."""
    if _kinds(facts) != {Kind.SIGNAL}:
        return None
    return Fact(Kind.SIGNAL, reduced=reduced or all(fact.reduced for fact in _dependent(facts)))


def _same(facts: Sequence[Fact], *kinds: Kind) -> Fact | None:
    """Returns the fact of the only operand that depends on x, if it is of these kinds."""
    dependent = _dependent(facts)
    if len(dependent) != 1 or dependent[0].kind not in kinds:
        return None
    return dataclasses.replace(dependent[0], multiple=None)


def _moved(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    """Judges an operation that only moves entries, so that all kinds but steps stay what they are."""
    name, dependent = equation.primitive.name, _dependent(facts)
    first = dependent[0]
    if first.kind is Kind.STEP or any(fact.kind is not first.kind or fact.of is not first.of for fact in dependent):
        return None
    if name == "convert_element_type":  # equal up to rounding
        return first if jnp.issubdtype(equation.params["new_dtype"], np.floating) else None
    roots = list(map(_root, dependent))
    mixed = name in ("concatenate", "stack") and (len(dependent) < len(facts) or len(set(roots)) < len(roots))
    return dataclasses.replace(
        first,
        multiple=None,
        source=roots[0] if name in _ARRANGEMENTS else None,
        reduced=all(fact.reduced for fact in dependent),
        rectified=False,
        mixed=mixed or any(fact.mixed for fact in dependent),
    )


def _linear(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    """Judges sums and differences, entry by entry."""
    kinds = _kinds(facts)
    if kinds in ({Kind.STATISTIC}, {Kind.STATISTIC, Kind.SQUARE}):  # the mean square minus the square of the mean
        squares = [fact for fact in facts if fact.kind is Kind.SQUARE]
        return Fact(Kind.STATISTIC) if all(fact.reduced for fact in squares) else None
    if kinds == {Kind.SCALE}:
        return Fact(Kind.SCALE)
    out = _signal(facts) or _same(facts, Kind.PARTITION)
    if out and equation.primitive.name == "neg" and out.kind is Kind.SIGNAL:
        return _multiple(facts[0], Fact(Kind.KNOWN, low=-1.0, high=-1.0))
    return out


def _bilinear(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    """Judges matrix products and convolutions: linear if one factor is known."""
    if len(_dependent(facts)) != 1:
        return None
    if _kinds(facts) == {Kind.SQUARE}:
        return Fact(Kind.STATISTIC)
    return _signal(facts) or _same(facts, Kind.STATISTIC, Kind.SCALE)


def _sum(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    (x,) = facts[:1]
    if x.kind is Kind.SQUARE:
        return Fact(Kind.STATISTIC)
    if x.kind is Kind.EXPONENTIAL:
        return Fact(Kind.PARTITION, of=x.of)
    return _signal(facts, reduced=equation.primitive.name == "reduce_sum") or _same(facts, Kind.STATISTIC, Kind.SCALE)


def _multiple(x: Fact, factor: Fact) -> Fact:
    return Fact(Kind.SIGNAL, reduced=x.reduced, multiple=(x, factor), source=_root(x))


_SCALABLE = (Kind.SQUARE, Kind.STATISTIC, Kind.SCALE, Kind.EXPONENTIAL, Kind.PARTITION)


def _product(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Any:
    a, b = facts
    if a.kind is Kind.KNOWN or b.kind is Kind.KNOWN:
        factor, x = (a, b) if a.kind is Kind.KNOWN else (b, a)
        return _multiple(x, factor) if x.kind is Kind.SIGNAL else _same(facts, *_SCALABLE)
    for x, other in ((a, b), (b, a)):
        if other.kind is Kind.STEP:
            return _gated(facts, x, other)
        if x.kind is Kind.SIGNAL and other.kind is Kind.SCALE:
            return Fact(Kind.SIGNAL, reduced=x.reduced)
    if a.kind is b.kind is Kind.SCALE:
        return Fact(Kind.SCALE)
    if a.kind is not Kind.SIGNAL or b.kind is not Kind.SIGNAL:
        return None
    if ratio(a, b):
        return Fact(Kind.SQUARE, reduced=a.reduced)
    return _signal(facts) if a.reduced != b.reduced else None  # squeeze and excitation


def _quotient(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    a, b = facts
    if b.kind is Kind.KNOWN:
        level = uniform(b)
        factor = Fact(Kind.KNOWN, low=1 / level, high=1 / level) if level else Fact(Kind.KNOWN)
        return _multiple(a, factor) if a.kind is Kind.SIGNAL else _same(facts, *_SCALABLE)
    if a.kind is Kind.EXPONENTIAL and b.kind is Kind.PARTITION and a.of is b.of:
        return Fact(Kind.SIGNAL, reduced=a.reduced)
    if b.kind is Kind.SCALE and a.kind in (Kind.SIGNAL, Kind.KNOWN, Kind.SCALE):
        return Fact(Kind.SIGNAL, reduced=a.reduced) if a.kind is Kind.SIGNAL else Fact(Kind.SCALE)
    return None


def _squashed(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    return _signal(facts)


def _exponential(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    (x,) = facts
    return Fact(Kind.EXPONENTIAL, of=x, reduced=x.reduced) if x.kind is Kind.SIGNAL else None


def _logarithm(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    return Fact(Kind.SIGNAL, reduced=True) if facts[0].kind is Kind.PARTITION else None


def _power(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    x, *exponent = facts
    if x.kind is Kind.SIGNAL:
        square = equation.primitive.name == "square" or 2 in (equation.params.get("y"), *map(uniform, exponent))
        return Fact(Kind.SQUARE, reduced=x.reduced) if square else None
    scale = x.kind in (Kind.STATISTIC, Kind.SCALE) and equation.primitive.name != "square" and not _dependent(exponent)
    return Fact(Kind.SCALE) if scale else None


def _root_of(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    return Fact(Kind.SCALE) if facts[0].kind in (Kind.STATISTIC, Kind.SCALE) else None


def _absolute(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    return _same(facts, Kind.STATISTIC, Kind.SCALE, Kind.PARTITION)  # these are positive already


def _pooled(equation: core.JaxprEqn, facts: Sequence[Fact]) -> Fact | None:
    reduced = equation.primitive.name == "reduce_max"
    return None if reduced and facts[0].mixed else _signal(facts, reduced=reduced)


_RULES: dict[str, Callable[[core.JaxprEqn, Sequence[Fact]], Any]] = {
    **dict.fromkeys(("add", "add_any", "neg", "psum", "sub"), _linear),
    **dict.fromkeys(("conv_general_dilated", "dot_general"), _bilinear),
    **dict.fromkeys(("cumsum", "reduce_sum", "reduce_window_sum", "scatter-add", "scatter_add"), _sum),
    **dict.fromkeys(("ge", "gt", "le", "lt"), _compare),
    **dict.fromkeys(("integer_pow", "pow", "square"), _power),
    **dict.fromkeys(("logistic", "tanh"), _squashed),
    **dict.fromkeys(("reduce_max", "reduce_window_max"), _pooled),
    **dict.fromkeys(("rsqrt", "sqrt"), _root_of),
    **dict.fromkeys(
        (
            *_ARRANGEMENTS,
            "all_gather",
            "concatenate",
            "convert_element_type",
            "device_put",
            "dynamic_slice",
            "dynamic_update_slice",
            "expand_dims",
            "gather",
            "name",
            "pad",
            "rev",
            "scatter",
            "sharding_constraint",
            "slice",
            "split",
            "stack",
            "tile",
            "unstack",
        ),
        _moved,
    ),
    "abs": _absolute,
    "clamp": _clamp,
    "div": _quotient,
    "exp": _exponential,
    "log": _logarithm,
    "max": _maximum,
    "min": _minimum,
    "mul": _product,
    "select_n": _select,
}
