"""Recognises ReLUs, however they are written, and the nonlinearities that keep their own derivative.

`judge` derives the facts of an equation's results from those of its operands, and recognises the equations that
complete a ReLU, such as `max(x, 0)`, `select(x > 0, x, slope x)` and `x (x > 0)`. The results of an operation that is
not listed in `_RULES` are `Kind.OTHER`, and so is everything that is computed from them.
"""

import dataclasses
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnnlab.explain.facts import Fact, Kind, constant, ratio, signal, uniform
from cnnlab.explain.operations import (
    ARRANGEMENTS,
    OPERATIONS,
    POSITIVE,
    SUMS,
    Facts,
    combined,
    dependent,
    moved,
    product,
    split,
)


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
    moving, levels = dependent(facts), _levels(equation, facts)
    if not moving:
        stopped = any(fact.stopped for fact in facts) and not name.startswith("reduce_")
        return Verdict(Fact(Kind.KNOWN, stopped=stopped, **levels))
    if name == "stop_gradient":
        return Verdict(_stopped(facts[0]))
    for fact in moving:
        if fact.kind is Kind.OTHER:
            return Verdict(fact)
    # If a square or an exponential is part of neither a norm nor a softmax, it is the one to blame.
    cause = next((fact.cause for fact in moving if fact.cause and fact.kind is not Kind.STEP), "") or where()
    if levels:
        return Verdict(Fact(Kind.STEP, of=moving[0].of, cause=cause, **levels))
    out = _RULES[name](equation, facts) if name in _RULES else None
    if name not in SUMS and any(fact.stopped for fact in facts):  # x * stop_gradient(f(x)) can be any activation
        out = None
    fact, relu = out if isinstance(out, Verdict) else Verdict(out or Fact(Kind.OTHER))
    if fact not in facts:
        ruled = relu is not None or any(fact.ruled for fact in moving)
        fact = dataclasses.replace(fact, cause="" if fact.kind is Kind.SIGNAL else cause, ruled=ruled)
    return Verdict(fact, relu)


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


def _levels(equation: core.JaxprEqn, facts: Facts) -> dict[str, float]:
    """Returns `low` and `high` of a result whose operands are steps of one signal, or uniform; empty if unknown."""
    steps = {fact.of for fact in facts if fact.kind is Kind.STEP}
    if not facts or len(steps) > 1 or any(fact.kind not in (Kind.KNOWN, Kind.STEP) for fact in facts):
        return {}
    name, dtype = equation.primitive.name, equation.outvars[0].aval.dtype if equation.outvars else None
    apply = (_LOGIC if dtype == np.bool_ else _ARITHMETIC).get(name)
    if name == "convert_element_type" or (name in ARRANGEMENTS and not steps):
        apply = lambda level: level  # noqa: E731
    if apply is None or jnp.issubdtype(dtype, np.complexfloating):
        return {}
    pairs = [(fact.low, fact.high) if fact.kind is Kind.STEP else (uniform(fact),) * 2 for fact in facts]
    if any(None in pair for pair in pairs):
        return {}
    low, high = (float(np.asarray(apply(*side)).astype(dtype)) for side in zip(*pairs, strict=True))
    return {"low": low, "high": high}


def _compare(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    x, other = split(facts) or (None, None)
    if x is None or x.kind is not Kind.SIGNAL or uniform(other) != 0:
        return None
    high = float((equation.primitive.name in ("gt", "ge")) == (x is facts[0]))
    return Fact(Kind.STEP, low=1 - high, high=high, of=x)


# ReLUs

_ZERO, _ONE = constant(0.0), constant(1.0)


def _relu(facts: Facts, x: Fact, slope: Fact | None, bound: int | None = None) -> Verdict | None:
    """Returns the verdict on a ReLU of x; None if there is no slope, or it is known and not in 0..1."""
    level = uniform(slope)
    if slope is None or x.kind not in (Kind.SIGNAL, Kind.CAPPED) or (level is not None and not 0 <= level <= 1):
        return None
    fact = Fact(Kind.SIGNAL, reduced=x.reduced, rectified=level == 0)
    return Verdict(fact, Relu(list(facts).index(x), slope, bound))


def _maximum(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    if pair := split(facts):
        x, other = pair
        if x.kind in POSITIVE:  # keeps a variance from being negative, or a norm from being zero
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
    return combined(facts) if a.root is not b.root else None  # else one is perhaps a multiple of the other


def _minimum(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    x, other = split(facts) or (None, None)
    if x is None:
        return None
    if x.kind in POSITIVE:
        return dataclasses.replace(x)
    if x.rectified:
        return Fact(Kind.SIGNAL, reduced=x.reduced, rectified=True)
    return Fact(Kind.CAPPED, reduced=x.reduced) if x.kind is Kind.SIGNAL and (uniform(other) or 0) > 0 else None


def _clamp(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    low, x, high = facts
    if x.kind in POSITIVE:
        return dataclasses.replace(x)
    return _relu(facts, x, _ZERO, bound=2) if uniform(low) == 0 and high.kind is Kind.KNOWN else None


def _select(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    which, *cases = facts
    if which.kind is Kind.KNOWN:
        return moved(equation, facts)
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


def _multiply(equation: core.JaxprEqn, facts: Facts) -> Fact | Verdict | None:
    """Judges products. One with a step is a ReLU, or it is not listed."""
    for x, step in (facts, facts[::-1]):
        if step.kind is Kind.STEP and x.kind is not Kind.KNOWN:
            return _gated(facts, x, step)
    return product(equation, facts)


_COMPARISONS = ("ge", "gt", "le", "lt")
_RULES: dict[str, Rule] = {
    **OPERATIONS,
    **dict.fromkeys(_COMPARISONS, _compare),
    "clamp": _clamp,
    "max": _maximum,
    "min": _minimum,
    "mul": _multiply,
    "select_n": _select,
}
