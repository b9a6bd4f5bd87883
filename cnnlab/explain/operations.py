"""The operations that complete no ReLU: what is known of their results."""

import dataclasses
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnnlab.explain.facts import Fact, Kind, constant, ratio, signal, uniform

Facts = Sequence[Fact]

ARRANGEMENTS = ("broadcast_in_dim", "copy", "copy_p", "reduce_precision", "reshape", "squeeze", "transpose")
SUMS = ("add", "add_any", "neg", "psum", "sub")
_MIXING = ("concatenate", "stack")
_MOVES = (
    *ARRANGEMENTS,
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
POSITIVE = (Kind.STATISTIC, Kind.SCALE)
_SCALABLE = (*POSITIVE, Kind.SQUARE, Kind.EXPONENTIAL, Kind.PARTITION)


def dependent(facts: Facts) -> list[Fact]:
    """Returns the operands that depend on x."""
    return [fact for fact in facts if fact.kind is not Kind.KNOWN]


def split(facts: Facts) -> tuple[Fact, Fact] | None:
    """Returns the operand that depends on x, and the known one; None if both depend on x."""
    a, b = facts
    return None if Kind.KNOWN not in (a.kind, b.kind) else (b, a) if a.kind is Kind.KNOWN else (a, b)


def combined(facts: Facts, *, reduced: bool = False) -> Fact | None:
    """Returns the fact of a signal that is computed from signals; None if there is another kind."""
    moving = dependent(facts)
    if any(fact.kind is not Kind.SIGNAL for fact in moving):
        return None
    return Fact(Kind.SIGNAL, reduced=reduced or all(fact.reduced for fact in moving))


def _same(facts: Facts, *kinds: Kind) -> Fact | None:
    """Returns the fact of a result of the same kind as the only operand that depends on x, if it is of these kinds."""
    moving = dependent(facts)
    return dataclasses.replace(moving[0]) if len(moving) == 1 and moving[0].kind in kinds else None


def moved(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges an operation that only moves entries: they stay what they are."""
    name, moving = equation.primitive.name, dependent(facts)
    first = moving[0]
    if first.kind is Kind.STEP or any(fact.kind is not first.kind or fact.of is not first.of for fact in moving):
        return None
    if name == "convert_element_type":
        return first if jnp.issubdtype(equation.params["new_dtype"], np.floating) else None
    roots = {fact.root for fact in moving}
    return dataclasses.replace(
        first,
        multiple=None,
        source=first.root if name in ARRANGEMENTS else None,
        reduced=all(fact.reduced for fact in moving),
        rectified=False,
        mixed=any(fact.mixed for fact in moving) or (name in _MIXING and len(roots) < len(facts)),
    )


def _sum(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges sums entry by entry."""
    kinds = {fact.kind for fact in dependent(facts)}
    if equation.primitive.name == "neg" and kinds == {Kind.SIGNAL}:
        return signal(facts[0], constant(-1.0))
    if Kind.STATISTIC in kinds and kinds <= {Kind.STATISTIC, Kind.SQUARE}:  # the mean square less the squared mean
        return Fact(Kind.STATISTIC) if all(fact.reduced for fact in facts if fact.kind is Kind.SQUARE) else None
    return Fact(Kind.SCALE) if kinds == {Kind.SCALE} else combined(facts) or _same(facts, Kind.PARTITION)


def _total(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges sums over axes or windows."""
    x = facts[0]
    if x.kind is Kind.SQUARE:
        return Fact(Kind.STATISTIC)
    if x.kind is Kind.EXPONENTIAL:
        return Fact(Kind.PARTITION, of=x.of)
    return combined(facts, reduced=equation.primitive.name == "reduce_sum") or _same(facts, *POSITIVE)


def _bilinear(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges matrix products and convolutions: linear if one factor is known."""
    if not split(facts):
        return None
    if _same(facts, Kind.SQUARE):
        return Fact(Kind.STATISTIC)
    return combined(facts) or _same(facts, *POSITIVE)


def product(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    """Judges a product without a step."""
    if pair := split(facts):
        x, factor = pair
        return signal(x, factor) if x.kind is Kind.SIGNAL else _same(facts, *_SCALABLE)
    a, b = facts
    for x, other in ((a, b), (b, a)):
        if x.kind is Kind.SIGNAL and other.kind is Kind.SCALE:
            return Fact(Kind.SIGNAL, reduced=x.reduced)
    if a.kind is b.kind is Kind.SCALE:
        return Fact(Kind.SCALE)
    if a.kind is b.kind is Kind.SIGNAL:
        if ratio(a, b):
            return Fact(Kind.SQUARE, reduced=a.reduced)
        return combined(facts) if a.reduced != b.reduced else None  # squeeze and excitation
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
    return combined(facts)


def _pooled(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    over_axes = equation.primitive.name == "reduce_max"
    return None if over_axes and facts[0].mixed else combined(facts, reduced=over_axes)


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
    return Fact(Kind.SCALE) if x.kind in POSITIVE and power is not None else None


def _root(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return Fact(Kind.SCALE) if facts[0].kind in POSITIVE else None


def _absolute(equation: core.JaxprEqn, facts: Facts) -> Fact | None:
    return _same(facts, *POSITIVE, Kind.PARTITION)


OPERATIONS: dict[str, Callable[[core.JaxprEqn, Facts], Fact | None]] = {
    **dict.fromkeys(_MOVES, moved),
    **dict.fromkeys(SUMS, _sum),
    **dict.fromkeys(("cumsum", "reduce_sum", "reduce_window_sum", "scatter-add"), _total),
    **dict.fromkeys(("conv_general_dilated", "dot_general", "by_groups"), _bilinear),
    **dict.fromkeys(("integer_pow", "pow", "square"), _power),
    **dict.fromkeys(("logistic", "tanh"), _squashed),
    **dict.fromkeys(("reduce_max", "reduce_window_max"), _pooled),
    **dict.fromkeys(("rsqrt", "sqrt"), _root),
    "abs": _absolute,
    "div": _quotient,
    "exp": _exponential,
    "log": _logarithm,
}
"""Rules by the name of an operation. Each returns None for a form that is not listed."""
