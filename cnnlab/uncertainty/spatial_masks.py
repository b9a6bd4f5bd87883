"""Speeds up a linear layer after spatial dropout: computes the product with each map once, then applies each mask.

If a mask m is constant along some axes (in spatial dropout along the pixels of a map), `sum_hwc m_c x_hwc W_hwcn` is
`sum_c m_c P_cn` with `P_cn = sum_hw x_hwc W_hwcn`, which is the same in all passes. The cost of a pass is divided by
the number of pixels of a map. The same holds for the mean over all pixels. Other layers after dropout are unchanged.
"""

import math
import string
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

LARGEST = 256 << 20  # bytes that P may have

Rewritten = tuple[Callable[..., list], list]
"""A function of late arrays, and the late arrays that it takes."""


class Origin(NamedTuple):
    """The origin of a late array: an early array times a mask, if it has this form.

    Attributes:
      known: early array `[B, ...]` that was scaled by the mask, and perhaps flattened to `[B, n]`; None if the late
        array is only a mask.
      mask: late array with as many axes as `known`, of length 1 along the axes on which it is constant; None if the
        late array has another form.
    """

    known: Any = None
    mask: Any = None


def recognise(equation: core.JaxprEqn, inputs: list) -> Origin:
    """Returns the origin of an equation's output; `Origin()` if it is neither a mask nor an array times a mask."""
    name, shape, first = equation.primitive.name, equation.outvars[0].aval.shape, inputs[0]
    if name == "broadcast_in_dim" and is_late(first) and first.aval.ndim == len(shape):
        return Origin(None, first)
    if name == "mul":
        known, late = inputs if is_late(inputs[1]) else inputs[::-1]
        if not is_late(known) and np.shape(known) == shape and late.aval.ndim == len(shape) > 1:
            mask = late if late.origin.known is not None or late.origin.mask is None else late.origin.mask
            return Origin(known, mask) if mask.aval.shape[0] == shape[0] else Origin()
    if name == "reshape" and first.origin.known is not None and shape == (len(first.origin.known), shape[-1]):
        return first.origin
    return Origin()


def rewrite(equation: core.JaxprEqn, inputs: list) -> Rewritten | None:
    """Rewrites an equation on a scaled array as a function of its mask; returns None if that is not cheaper."""
    x, rule = inputs[0], _RULES.get(equation.primitive.name)
    if rule is None or not is_late(x) or x.origin.known is None:
        return None
    known, mask = x.origin
    shared = tuple(axis for axis in range(1, known.ndim) if mask.aval.shape[axis] == 1 < known.shape[axis])
    return rule(equation.params, known, mask, shared, *inputs) if shared else None


def _sum(params: dict, known: jax.Array, mask: Any, shared: tuple[int, ...], x: Any) -> Rewritten | None:
    """Rewrites a sum over the shared axes."""
    if x.aval.shape != known.shape or params["axes"] != shared:
        return None
    total = known.sum(shared)
    return (lambda m: [m.reshape(total.shape) * total]), [mask]


def _product(params: dict, known: jax.Array, mask: Any, shared: tuple[int, ...], x: Any, w: Any) -> Rewritten | None:
    """Rewrites the matrix product of a flattened scaled array `[B, n]` and an early array."""
    if params["dimension_numbers"] != (((1,), (0,)), ((), ())) or is_late(w) or x.aval.ndim != 2:
        return None
    axes = string.ascii_lowercase[: known.ndim]
    distinct = [axis for axis in range(1, known.ndim) if axis not in shared]
    own, sizes = "".join(axes[axis] for axis in distinct), [known.shape[axis] for axis in distinct]
    if known.dtype.itemsize * len(known) * math.prod(sizes) * w.shape[1] > LARGEST:
        return None
    rows, options = w.reshape(*known.shape[1:], -1), {"precision": params["precision"]}
    partial = jnp.einsum(f"{axes},{axes[1:]}z->a{own}z", known, rows, **options)
    return (lambda m: [jnp.einsum(f"a{own},a{own}z->az", m.reshape(len(known), *sizes), partial, **options)]), [mask]


_RULES = {"reduce_sum": _sum, "dot_general": _product}


def is_late(value: Any) -> bool:
    """Returns whether a value depends on the key."""
    return hasattr(value, "origin")
