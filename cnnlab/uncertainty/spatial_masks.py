"""A linear layer behind dropped feature maps: its share of every map is computed once, then weighted by the mask.

With a mask m that is equal along some axes (spatial dropout: the pixels of a map), `sum_hwc m_c x_hwc W_hwcn` is
`sum_c m_c P_cn` with `P_cn = sum_hw x_hwc W_hwcn`, which no pass changes. A pass then costs as many times less as a map
has pixels. The same holds for the mean over all pixels. Whatever else follows a dropout is computed as it is.
"""

import math
import string
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

LARGEST = 256 << 20  # bytes of P

Rewritten = tuple[Callable[..., list], list]
"""A function of late arrays, and these."""


class Origin(NamedTuple):
    """How a late array was made, as far as it matters here.

    Attributes:
      known: an early array `[B, ...]` that was scaled, and perhaps flattened to `[B, n]`; None for a mask alone.
      mask: late, of as many axes as `known`, 1 long where it is shared; None where nothing is known.
    """

    known: Any = None
    mask: Any = None


def recognise(equation: core.JaxprEqn, given: list) -> Origin:
    """What an equation makes: a mask broadcast, a known array scaled by one, such an array flattened, or anything."""
    name, shape, first = equation.primitive.name, equation.outvars[0].aval.shape, given[0]
    if name == "broadcast_in_dim" and is_late(first) and first.aval.ndim == len(shape):
        return Origin(None, first)
    if name == "mul":
        known, late = given if is_late(given[1]) else given[::-1]
        if not is_late(known) and np.shape(known) == shape and late.aval.ndim == len(shape) > 1:
            mask = late if late.origin.known is not None or late.origin.mask is None else late.origin.mask
            return Origin(known, mask) if mask.aval.shape[0] == shape[0] else Origin()
    if name == "reshape" and first.origin.known is not None and shape == (len(first.origin.known), shape[-1]):
        return first.origin
    return Origin()


def rewritten(equation: core.JaxprEqn, given: list) -> Rewritten | None:
    """An equation on a scaled array as a function of its mask; None where that is not cheaper."""
    x, rule = given[0], _RULES.get(equation.primitive.name)
    if rule is None or not is_late(x) or x.origin.known is None:
        return None
    known, mask = x.origin
    shared = tuple(axis for axis in range(1, known.ndim) if mask.aval.shape[axis] == 1 < known.shape[axis])
    return rule(equation.params, known, mask, shared, *given) if shared else None


def _sum(params: dict, known: jax.Array, mask: Any, shared: tuple[int, ...], x: Any) -> Rewritten | None:
    """A sum over the shared axes."""
    if x.aval.shape != known.shape or params["axes"] != shared:
        return None
    total = known.sum(shared)
    return (lambda m: [m.reshape(total.shape) * total]), [mask]


def _product(params: dict, known: jax.Array, mask: Any, shared: tuple[int, ...], x: Any, w: Any) -> Rewritten | None:
    """The matrix product of the flattened array `[B, n]` and a known one."""
    if params["dimension_numbers"] != (((1,), (0,)), ((), ())) or is_late(w) or x.aval.ndim != 2:
        return None
    axes = string.ascii_lowercase[: known.ndim]
    own = [axis for axis in range(1, known.ndim) if axis not in shared]
    kept, sizes = "".join(axes[axis] for axis in own), [known.shape[axis] for axis in own]
    if known.dtype.itemsize * len(known) * math.prod(sizes) * w.shape[1] > LARGEST:
        return None
    rows, options = w.reshape(*known.shape[1:], -1), {"precision": params["precision"]}
    partial = jnp.einsum(f"{axes},{axes[1:]}z->a{kept}z", known, rows, **options)
    return (lambda m: [jnp.einsum(f"a{kept},a{kept}z->az", m.reshape(len(known), *sizes), partial, **options)]), [mask]


_RULES = {"reduce_sum": _sum, "dot_general": _product}


def is_late(value: Any) -> bool:
    """Whether it depends on the key."""
    return hasattr(value, "origin")
