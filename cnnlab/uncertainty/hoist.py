"""What does not depend on the random key is computed once, whatever the network looks like.

A pass is traced once as a function of its key. Its equations fall in two: those that can be computed without the key
(all that lies before the first dropout, skips included) and the rest. Only the rest goes into the loop over keys; and
of a linear layer behind dropped feature maps only what `spatial_masks` leaves of it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from cnnlab.uncertainty import spatial_masks


@dataclasses.dataclass(frozen=True, eq=False)
class Late:
    """An array that depends on the key: its shape, and what is known of it."""

    aval: Any
    origin: spatial_masks.Origin = spatial_masks.Origin()


@dataclasses.dataclass(frozen=True)
class LateOperation:
    """One computation of the loop: a function of inputs, each known or an earlier step's output, and its largest array.

    That array, in bytes, may be one that is origin on the way, such as the patches of a convolution.
    """

    run: Callable[..., list]
    inputs: list
    outputs: list[Late]
    largest: int


def hoist(fn: Callable, key: jax.Array) -> tuple[Callable, int]:
    """`fn` as a function of its key that repeats only what depends on the key, and the size of that.

    Args:
      fn: `key -> pytree` of arrays; may close over arrays, traced or not.
      key: an example of a key.

    Returns:
      `(late, largest)`: a function equal to `fn`, whose early part is computed here and now, in the caller's trace;
      and the bytes of the largest array that depends on the key, those inside its functions included.

    >>> import jax.numpy as jnp
    >>> late, largest = hoist(lambda key: jnp.arange(3.0).sum() + jax.random.uniform(key), jax.random.key(0))
    >>> bool(late(jax.random.key(1)) == 3 + jax.random.uniform(jax.random.key(1))), largest
    (True, 4)
    """
    closed, shapes = jax.make_jaxpr(fn, return_shape=True)(key)
    start, steps = Late(closed.in_avals[0]), []
    ends = _trace(closed, [start], steps)
    steps = _needed(steps, ends)
    treedef = jax.tree.structure(shapes)

    def late(key: jax.Array) -> Any:
        values = {start: key}
        for step in steps:
            values.update(zip(step.outputs, step.run(*_look_up(step.inputs, values)), strict=True))
        return jax.tree.unflatten(treedef, _look_up(ends, values))

    return late, max((step.largest for step in steps), default=0)


def _trace(closed: core.ClosedJaxpr, inputs: list, steps: list[LateOperation]) -> list:
    """Computes what is known and appends a step for all else; returns the outputs, each known or late."""
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True))
    for equation in jaxpr.eqns:
        given = [_read(var, values) for var in equation.invars]
        if not any(map(spatial_masks.is_late, given)):
            out = _bind(equation, *given)
        elif equation.primitive.name in ("jit", "pjit"):  # opened, because what it holds may be partly known
            out = _trace(equation.params["jaxpr"], given, steps)
        else:
            out = [Late(var.aval, spatial_masks.recognise(equation, given)) for var in equation.outvars]
            run, inputs = spatial_masks.rewritten(equation, given) or (_binder(equation), given)
            steps.append(LateOperation(run, inputs, out, _largest(equation)))
        values.update(zip(equation.outvars, out, strict=True))
    return [_read(var, values) for var in jaxpr.outvars]


def _needed(steps: list[LateOperation], ends: list) -> list[LateOperation]:
    """The steps that the ends depend on, in order."""
    wanted, kept = {end for end in ends if isinstance(end, Late)}, []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            wanted.update(one for one in step.inputs if isinstance(one, Late))
            kept.append(step)
    return kept[::-1]


def _binder(equation: core.JaxprEqn) -> Callable[..., list]:
    return lambda *values: _bind(equation, *values)


def _bind(equation: core.JaxprEqn, *values) -> list:
    with equation.ctx.manager:
        out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return out if equation.primitive.multiple_results else [out]


def _read(var, values: dict):
    return var.val if isinstance(var, core.Literal) else values[var]


def _look_up(inputs: list, values: dict) -> list:
    return [values[one] if isinstance(one, Late) else one for one in inputs]


def _largest(equation: core.JaxprEqn) -> int:
    """The bytes of the largest array that it makes, those of the functions that it holds included."""
    inner = [getattr(leaf, "jaxpr", leaf) for leaf in jax.tree.leaves(equation.params)]
    held = [one for jaxpr in inner if isinstance(jaxpr, core.Jaxpr) for one in jaxpr.eqns]
    return max([*map(_bytes, equation.outvars), *map(_largest, held)], default=0)


def _bytes(var: core.Var) -> int:
    return var.aval.size * getattr(var.aval.dtype, "itemsize", 0)
