"""Splits a pass into a part that does not depend on its random key, which is computed once, and the rest.

A pass is traced once as a function of its key. The equations that can be computed without the key (everything before
the first dropout, skips included) are evaluated immediately. Only the other equations go into the loop over keys.
`spatial_masks` simplifies those of a linear layer that follows dropped feature maps. This works for any network.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core

from cnnlab.uncertainty import spatial_masks


@dataclasses.dataclass(frozen=True, eq=False)
class Late:
    """An array that depends on the random key of a pass.

    Attributes:
      aval: its abstract value (shape and dtype).
      origin: how it was computed, as far as `spatial_masks` needs it.
    """

    aval: Any
    origin: spatial_masks.Origin = spatial_masks.Origin()


@dataclasses.dataclass(frozen=True)
class LateOperation:
    """One operation in the loop over keys.

    Attributes:
      run: function of the inputs' values that returns the outputs' values.
      inputs: early arrays, or outputs of earlier operations.
      outputs: arrays that the operation computes.
      largest: bytes of its largest array, temporaries included, such as the patches of a convolution.
    """

    run: Callable[..., list]
    inputs: list
    outputs: list[Late]
    largest: int


def hoist(fn: Callable, key: jax.Array) -> tuple[Callable, int]:
    """Computes the part of `fn` that does not depend on its key, and returns a function for the rest.

    Args:
      fn: `key -> pytree` of arrays; may close over arrays, traced or not.
      key: an example of a key.

    Returns:
      `(late, largest)`. `late` is a function equal to `fn`; its early part is computed immediately, in the caller's
      trace. `largest` is the size in bytes of the largest array that depends on the key, temporaries included.

    >>> import jax.numpy as jnp
    >>> late, largest = hoist(lambda key: jnp.arange(3.0).sum() + jax.random.uniform(key), jax.random.key(0))
    >>> bool(late(jax.random.key(1)) == 3 + jax.random.uniform(jax.random.key(1))), largest
    (True, 4)
    """
    closed, shapes = jax.make_jaxpr(fn, return_shape=True)(key)
    start, operations = Late(closed.in_avals[0]), []
    ends = _trace(closed, [start], operations)
    operations = _needed(operations, ends)
    treedef = jax.tree.structure(shapes)

    def late(key: jax.Array) -> Any:
        values = {start: key}
        for operation in operations:
            values.update(zip(operation.outputs, operation.run(*_look_up(operation.inputs, values)), strict=True))
        return jax.tree.unflatten(treedef, _look_up(ends, values))

    return late, max((operation.largest for operation in operations), default=0)


def _trace(closed: core.ClosedJaxpr, inputs: list, operations: list[LateOperation]) -> list:
    """Evaluates the equations without late inputs, and appends an operation to `operations` for each other equation.

    Returns the outputs of `closed`; each is an early array or a `Late`.
    """
    jaxpr = closed.jaxpr
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *inputs], strict=True))
    for equation in jaxpr.eqns:
        operands = [_read(var, values) for var in equation.invars]
        if not any(map(spatial_masks.is_late, operands)):
            out = _bind(equation, *operands)
        elif equation.primitive.name in ("jit", "pjit"):  # traced too, because only a part of it may depend on the key
            out = _trace(equation.params["jaxpr"], operands, operations)
        else:
            out = [Late(var.aval, spatial_masks.recognise(equation, operands)) for var in equation.outvars]
            run, inputs = spatial_masks.rewrite(equation, operands) or (_binder(equation), operands)
            operations.append(LateOperation(run, inputs, out, _largest(equation)))
        values.update(zip(equation.outvars, out, strict=True))
    return [_read(var, values) for var in jaxpr.outvars]


def _needed(operations: list[LateOperation], ends: list) -> list[LateOperation]:
    """Returns the operations that the outputs `ends` depend on, in order."""
    required, needed = {end for end in ends if isinstance(end, Late)}, []
    for operation in reversed(operations):
        if required.intersection(operation.outputs):
            required.update(array for array in operation.inputs if isinstance(array, Late))
            needed.append(operation)
    return needed[::-1]


def _binder(equation: core.JaxprEqn) -> Callable[..., list]:
    return lambda *values: _bind(equation, *values)


def _bind(equation: core.JaxprEqn, *values) -> list:
    with equation.ctx.manager:
        out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return out if equation.primitive.multiple_results else [out]


def _read(var, values: dict):
    return var.val if isinstance(var, core.Literal) else values[var]


def _look_up(inputs: list, values: dict) -> list:
    return [values[array] if isinstance(array, Late) else array for array in inputs]


def _largest(equation: core.JaxprEqn) -> int:
    """Returns the bytes of the largest array that an equation computes, including those in its inner functions."""
    inner = [getattr(leaf, "jaxpr", leaf) for leaf in jax.tree.leaves(equation.params)]
    equations = [each for jaxpr in inner if isinstance(jaxpr, core.Jaxpr) for each in jaxpr.eqns]
    return max([*map(_bytes, equation.outvars), *map(_largest, equations)], default=0)


def _bytes(var: core.Var) -> int:
    return var.aval.size * getattr(var.aval.dtype, "itemsize", 0)
