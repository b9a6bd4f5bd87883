"""Recognises ReLUs, however they are written, and the nonlinearities that keep their own derivative.

`judge` derives the facts of an equation's results from those of its operands, and recognises the equations that
complete a ReLU, such as `max(x, 0)`, `select(x > 0, x, slope x)` and `x (x > 0)`. The results of an operation that is
not listed in `_RULES` are `Kind.OTHER`, and so is everything that is computed from them.
"""

import dataclasses
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnnlab.explain.facts import Fact, Kind, constant, ratio, signal, uniform


class Relu(NamedTuple):
    """A ReLU that an equation completes.

    Attributes:
      operand: the index of the operand that it is applied to.
      slope: the fact of its slope for negative values.
      bound: the index of the operand that is its upper bound, if the equation applies one too.
    """

    operand: int
    slope: Fact
    bound: int | None = None


class Verdict(NamedTuple):
    """The fact of an equation's results, and the ReLU that it completes, if any."""

    fact: Fact
    relu: Relu | None = None


Facts = Sequence[Fact]
Rule = Callable[[core.JaxprEqn, Facts], Fact | Verdict | None]
"""A function of an equation and its operands' facts. It returns None for a form that is not listed."""


def judge(equation: core.JaxprEqn, facts: Facts, where: Callable[[], str]) -> Verdict:
    """Returns what is known of the results of an equation without an inner program.

    Args:
      equation: the equation.
      facts: those of its operands.
      where: function that returns the equation's name for messages.
    """
    name = equation.primitive.name
    if name in _COMPARISONS:  # where(stop_gradient(x) > 0, x, 0) is a ReLU too
        facts = [fact.of if fact.kind is Kind.KNOWN and fact.of else fact for fact in facts]
    dependent, levels = _dependent(facts), _levels(equation, facts)
    if not dependent:
        stopped = any(fact.stopped for fact in facts) and not name.startswith("reduce_")
        return Verdict(Fact(Kind.KNOWN, stopped=stopped, **levels))
    if name == "stop_gradient":
        return Verdict(_stopped(facts[0]))
    for fact in dependent:
        if fact.kind is Kind.OTHER:
            return Verdict(fact)
    # If a square or an exponential is part of neither a norm nor a softmax, it is the one to blame.
    cause = next((fact.cause for fact in dependent if fact.cause and fact.kind is not Kind.STEP), "") or where()
    if levels:
        return Verdict(Fact(Kind.STEP, of=dependent[0].of, cause=cause, **levels))
    out = _RULES[name](equation, facts) if name in _RULES else None
    if name not in _SUMS and any(fact.stopped for fact in facts):  # x * stop_gradient(f(x)) can be any activation
        out = None
    fact, relu = out if isinstance(out, Verdict) else Verdict(out or Fact(Kind.OTHER))
    if fact not in facts:
        ruled = relu is not None or any(fact.ruled for fact in dependent)
        fact = dataclasses.replace(fact, cause="" if fact.kind is Kind.SIGNAL else cause, ruled=ruled)
    return Verdict(fact, relu)


def _dependent(facts: Facts) -> list[Fact]:
    return [fact for fact in facts if fact.kind is not Kind.KNOWN]


def _split(facts: Facts) -> tuple[Fact, Fact] | None:
    """Returns the operand that depends on x, and the known one; None if both depend on x."""
    a, b = facts
    return None if Kind.KNOWN not in (a.kind, b.kind) else (b, a) if a.kind is Kind.KNOWN else (a, b)


def _stopped(fact: Fact) -> Fact:
    """Returns the fact of an array after its gradient is stopped; a step has no gradient anyway."""
    if fact.kind is Kind.STEP:
        return fact
    entrywise = fact.kind not in (Kind.STATISTIC, Kind.SCALE, Kind.PARTITION) and not fact.reduced
    return Fact(Kind.KNOWN, of=fact if fact.kind is Kind.SIGNAL else None, stopped=entrywise)


# Constants and steps

_ARITHMETIC = {
    "add": operator.add,
    "div": lambda a, b: a / b if b else np.nan,
    "max": max,
    "min": min,
    "mul": operator.mul,
    "neg": operator.neg,
    "sub": operator.sub,
}
_LOGIC = {"and": min, "not": lambda a: 1 - a, "or": max}
_ARRANGEMENTS = ("broadcast_in_dim", "copy", "copy_p", "reduce_precision", "reshape", "squeeze", "transpose")


def _levels(equation: core.JaxprEqn, facts: Facts) -> dict[str, float]:
    """Returns `low` and `high` of a result whose operands are steps of one signal, or uniform; empty if unknown."""
    steps = {fact.of for fact in facts if fact.kind is Kind.STEP}
    if not facts or len(steps) > 1 or any(fact.kind not in (Kind.KNOWN, Kind.STEP) for fact in facts):
        return {}
    name, dtype = equation.primitive.name, equation.outvars[0].aval.dtype if equation.outvars else None
    apply = (_LOGIC if dtype == np.bool_ else _ARITHMETIC).get(name)
    if name == "convert_element_type" or (name in _ARRANGEMENTS and not steps):
        apply = lambda level: level  # noqa: E731
    if apply is None or jnp.issubdtype(dtype, np.complexfloating):
        return {}
    pairs = [(fact.low, fact.high) if fact.kind is Kind.STEP else (uniform(fact),) * 2 for fact in facts]
    if any(None in pair for pair in pairs):
        return {}
    low, high = (float(np.asarray(apply(*side)).astype(dtype)) for side in zip(*pairs, strict=True))
    return {"low": low, "high": high}


def _compare(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    x, other = _split(facts) or (None, None)
    if x is None or x.kind is not Kind.SIGNAL or uniform(other) != 0:
        return None
    high = float((equation.primitive.name in ("gt", "ge")) == (x is facts[0]))
    return Fact(Kind.STEP, low=1 - high, high=high, of=x)


# ReLUs

_ZERO, _ONE = constant(0.0), constant(1.0)
_POSITIVE = (Kind.STATISTIC, Kind.SCALE)


def _relu(facts: Facts, x: Fact, slope: Fact | None, bound: int | None = None) -> Verdict | None:
    """Returns the verdict on a ReLU of x; None if there is no slope, or it is known and not in 0..1."""
    level = uniform(slope)
    if slope is None or x.kind not in (Kind.SIGNAL, Kind.CAPPED) or (level is not None and not 0 <= level <= 1):
        return None
    fact = Fact(Kind.SIGNAL, reduced=x.reduced, rectified=level == 0)
    return Verdict(fact, Relu(list(facts).index(x), slope, bound))


def _maximum(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    if pair := _split(facts):
        x, other = pair
        if x.kind in _POSITIVE:  # keeps a variance from being negative, or a norm from being zero
            return dataclasses.replace(x)
        if x.kind is Kind.SIGNAL and uniform(other) == -np.inf:
            return signal(x, _ONE)
        return _relu(facts, x, _ZERO) if uniform(other) == 0 else None
    a, b = facts
    for x, other in ((a, b), (b, a)):
        slope = ratio(other, x)
        level = uniform(slope)
        if level is not None and level <= 1:
            return _relu(facts, x, slope)
    return _combined(facts) if a.root is not b.root else None  # else one is perhaps a multiple of the other


def _minimum(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    x, other = _split(facts) or (None, None)
    if x is None:
        return None
    if x.kind in _POSITIVE:
        return dataclasses.replace(x)
    if x.rectified:
        return Fact(Kind.SIGNAL, reduced=x.reduced, rectified=True)
    return Fact(Kind.CAPPED, reduced=x.reduced) if x.kind is Kind.SIGNAL and (uniform(other) or 0) > 0 else None


def _clamp(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    low, x, high = facts
    if x.kind in _POSITIVE:
        return dataclasses.replace(x)
    return _relu(facts, x, _ZERO, bound=2) if uniform(low) == 0 and high.kind is Kind.KNOWN else None


def _select(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    which, *cases = facts
    if which.kind is Kind.KNOWN:
        return _moved(equation, facts)
    if which.kind is not Kind.STEP or {which.low, which.high} != {0, 1} or len(cases) != 2:
        return None
    negative, positive = cases[int(which.low)], cases[int(which.high)]
    low, high = uniform(negative), uniform(positive)
    if low is not None and high is not None:
        return Fact(Kind.STEP, low=low, high=high, of=which.of)
    for x, other, sign in ((positive, negative, 1), (negative, positive, -1)):
        level = uniform(ratio(x, which.of))  # the condition can be on a multiple of x, also on a negative one
        if level is not None and sign * level > 0:
            return _relu(facts, x, ratio(other, x) if other.kind is not Kind.KNOWN else _zero(other))
    return None


def _zero(fact: Fact) -> Fact | None:
    return _ZERO if uniform(fact) == 0 else None


def _gated(facts: Facts, x: Fact, step: Fact) -> Verdict | None:
    """Judges x times a step: a ReLU if the step is 1 where x is positive."""
    level = uniform(ratio(x, step.of)) if x.kind is Kind.SIGNAL else None
    if not level:
        return None
    slope, one = (step.low, step.high) if level > 0 else (step.high, step.low)
    return _relu(facts, x, constant(slope)) if one == 1 else None


# Other operations

_SCALABLE = (*_POSITIVE, Kind.SQUARE, Kind.EXPONENTIAL, Kind.PARTITION)


def _combined(facts: Facts, *, reduced: bool = False) -> Fact | None:
    """Returns the fact of a signal that is computed from signals; None if there is another kind."""
    dependent = _dependent(facts)
    if any(fact.kind is not Kind.SIGNAL for fact in dependent):
        return None
    return Fact(Kind.SIGNAL, reduced=reduced or all(fact.reduced for fact in dependent))


def _same(facts: Facts, *kinds: Kind) -> Fact | None:
    """Returns the fact of a result of the same kind as the only operand that depends on x, if it is of these kinds."""
    dependent = _dependent(facts)
    return dataclasses.replace(dependent[0]) if len(dependent) == 1 and dependent[0].kind in kinds else None


def _moved(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges an operation that only moves entries: they stay what they are."""
    name, dependent = equation.primitive.name, _dependent(facts)
    first = dependent[0]
    if first.kind is Kind.STEP or any(fact.kind is not first.kind or fact.of is not first.of for fact in dependent):
        return None
    if name == "convert_element_type":
        return first if jnp.issubdtype(equation.params["new_dtype"], np.floating) else None
    roots = {fact.root for fact in dependent}
    return dataclasses.replace(
        first,
        multiple=None,
        source=first.root if name in _ARRANGEMENTS else None,
        reduced=all(fact.reduced for fact in dependent),
        rectified=False,
        mixed=any(fact.mixed for fact in dependent) or (name in _MIXING and len(roots) < len(facts)),
    )


def _sum(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges sums entry by entry."""
    kinds = {fact.kind for fact in _dependent(facts)}
    if equation.primitive.name == "neg" and kinds == {Kind.SIGNAL}:
        return signal(facts[0], constant(-1.0))
    if Kind.STATISTIC in kinds and kinds <= {Kind.STATISTIC, Kind.SQUARE}:  # the mean square less the squared mean
        return Fact(Kind.STATISTIC) if all(fact.reduced for fact in facts if fact.kind is Kind.SQUARE) else None
    return Fact(Kind.SCALE) if kinds == {Kind.SCALE} else _combined(facts) or _same(facts, Kind.PARTITION)


def _total(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges sums over axes or windows."""
    x = facts[0]
    if x.kind is Kind.SQUARE:
        return Fact(Kind.STATISTIC)
    if x.kind is Kind.EXPONENTIAL:
        return Fact(Kind.PARTITION, of=x.of)
    return _combined(facts, reduced=equation.primitive.name == "reduce_sum") or _same(facts, *_POSITIVE)


def _bilinear(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges matrix products and convolutions: linear if one factor is known."""
    if not _split(facts):
        return None
    if _same(facts, Kind.SQUARE):
        return Fact(Kind.STATISTIC)
    return _combined(facts) or _same(facts, *_POSITIVE)


def _product(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    if pair := _split(facts):
        x, factor = pair
        return signal(x, factor) if x.kind is Kind.SIGNAL else _same(facts, *_SCALABLE)
    a, b = facts
    for x, other in ((a, b), (b, a)):
        if other.kind is Kind.STEP:
            return _gated(facts, x, other)
        if x.kind is Kind.SIGNAL and other.kind is Kind.SCALE:
            return Fact(Kind.SIGNAL, reduced=x.reduced)
    if a.kind is b.kind is Kind.SCALE:
        return Fact(Kind.SCALE)
    if a.kind is b.kind is Kind.SIGNAL:
        if ratio(a, b):
            return Fact(Kind.SQUARE, reduced=a.reduced)
        return _combined(facts) if a.reduced != b.reduced else None  # squeeze and excitation
    return None


def _quotient(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    a, b = facts
    if b.kind is Kind.KNOWN:
        level = uniform(b)
        factor = constant(1 / level) if level else Fact(Kind.KNOWN)
        return signal(a, factor) if a.kind is Kind.SIGNAL else _same(facts, *_SCALABLE)
    if a.kind is Kind.EXPONENTIAL and b.kind is Kind.PARTITION and a.of is b.of:
        return Fact(Kind.SIGNAL, reduced=a.reduced)
    if b.kind is Kind.SCALE and a.kind in (Kind.SIGNAL, Kind.KNOWN, Kind.SCALE):
        return Fact(Kind.SIGNAL, reduced=a.reduced) if a.kind is Kind.SIGNAL else Fact(Kind.SCALE)
    return None


def _squashed(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return _combined(facts)


def _pooled(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    over_axes = equation.primitive.name == "reduce_max"
    return None if over_axes and facts[0].mixed else _combined(facts, reduced=over_axes)


def _exponential(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    (x,) = facts
    return Fact(Kind.EXPONENTIAL, of=x, reduced=x.reduced) if x.kind is Kind.SIGNAL else None


def _logarithm(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return Fact(Kind.SIGNAL, reduced=True) if facts[0].kind is Kind.PARTITION else None


def _power(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    x, *exponent = facts
    power = (
        2
        if equation.primitive.name == "square"
        else equation.params.get("y", uniform(exponent[0]) if exponent else None)
    )
    if x.kind is Kind.SIGNAL:
        return Fact(Kind.SQUARE, reduced=x.reduced) if power == 2 else None
    return Fact(Kind.SCALE) if x.kind in _POSITIVE and power is not None else None


def _root(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return Fact(Kind.SCALE) if facts[0].kind in _POSITIVE else None


def _absolute(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return _same(facts, *_POSITIVE, Kind.PARTITION)


_COMPARISONS = ("ge", "gt", "le", "lt")
_SUMS = ("add", "add_any", "neg", "psum", "sub")
_MIXING = ("concatenate", "stack")
_MOVES = (
    *_ARRANGEMENTS,
    *_MIXING,
    "all_gather",
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
    "tile",
    "unstack",
)
_RULES: dict[str, Rule] = {
    **dict.fromkeys(_COMPARISONS, _compare),
    **dict.fromkeys(_MOVES, _moved),
    **dict.fromkeys(_SUMS, _sum),
    **dict.fromkeys(("cumsum", "reduce_sum", "reduce_window_sum", "scatter-add"), _total),
    **dict.fromkeys(("conv_general_dilated", "dot_general"), _bilinear),
    **dict.fromkeys(("integer_pow", "pow", "square"), _power),
    **dict.fromkeys(("logistic", "tanh"), _squashed),
    **dict.fromkeys(("reduce_max", "reduce_window_max"), _pooled),
    **dict.fromkeys(("rsqrt", "sqrt"), _root),
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
