"""What does not depend on the random key is computed once, whatever the network looks like.

A pass is traced once as a function of its key. Its equations fall in two: those that can be computed without the key
(all that lies before the first dropout, skips included) and the rest. Only the rest goes into the loop over keys.
"""

from collections.abc import Callable

import jax
from jax.extend import core


def hoist(fn: Callable, key: jax.Array) -> tuple[Callable, int]:
    """`fn` as a function of its key that repeats only what depends on the key, and the size of that.

    Args:
      fn: `key -> pytree` of arrays; may close over arrays, traced or not.
      key: an example of a key.

    Returns:
      `(late, largest)`: a function equal to `fn`, whose early part is computed here and now, in the caller's trace;
      and the bytes of the largest array that depends on the key.

    >>> import jax.numpy as jnp
    >>> late, largest = hoist(lambda key: jnp.arange(3.0).sum() + jax.random.uniform(key), jax.random.key(0))
    >>> bool(late(jax.random.key(1)) == 3 + jax.random.uniform(jax.random.key(1))), largest
    (True, 4)
    """
    closed, shapes = jax.make_jaxpr(fn, return_shape=True)(key)
    late, largest = _partition(closed, [None])
    treedef = jax.tree.structure(shapes)
    return lambda key: jax.tree.unflatten(treedef, late([key])), largest


def _partition(closed: core.ClosedJaxpr, inputs: list) -> tuple[Callable[[list], list], int]:
    """Runs every equation whose inputs are known (not None); returns the function of all inputs that runs the rest,
    and the bytes of the largest array it computes."""
    jaxpr = closed.jaxpr
    known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    known |= {var: value for var, value in zip(jaxpr.invars, inputs, strict=True) if value is not None}
    late, largest = [], 0
    for equation in jaxpr.eqns:
        values = [_read(var, known) for var in equation.invars]
        if all(value is not None for value in values):
            _write(equation, _bind(equation, values), known)
        elif equation.primitive.name in ("jit", "pjit"):  # opened, because what it holds may be partly known
            inner, inside = _partition(equation.params["jaxpr"], values)
            late.append((equation, inner))
            largest = max(largest, inside)
        else:
            late.append((equation, None))
            largest = max(largest, *(_bytes(var.aval) for var in equation.outvars))

    def rest(inputs: list) -> list:
        values = known | dict(zip(jaxpr.invars, inputs, strict=True))
        for equation, inner in late:
            read = [_read(var, values) for var in equation.invars]
            _write(equation, inner(read) if inner else _bind(equation, read), values)
        return [_read(var, values) for var in jaxpr.outvars]

    return rest, largest


def _bytes(shape) -> int:
    return shape.size * getattr(shape.dtype, "itemsize", 0)


def _bind(equation: core.JaxprEqn, values: list) -> list:
    with equation.ctx.manager:
        out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return out if equation.primitive.multiple_results else [out]


def _read(var, values: dict):
    return var.val if isinstance(var, core.Literal) else values.get(var)


def _write(equation: core.JaxprEqn, out: list, values: dict) -> None:
    values.update(zip(equation.outvars, out, strict=True))
