"""Changes an array within the inner programs of a function, such as those of `nn.remat`, which no tracer may leave."""

from collections.abc import Callable, Sequence

import jax
from jax.extend import core

from cnnlab.anatomy.calls import inner_programs, marks
from cnnlab.explain.rewrite import bind, inner_program

INLINED = ("checkpoint", "closed_call", "core_call", "jit", "pjit", "remat", "remat2")
"""Primitives whose inner program can stand in their place."""


def with_change(
    function: Callable[[jax.Array], jax.Array], name: str, change: Callable[[jax.Array], jax.Array], x: jax.Array
) -> jax.Array:
    """Returns `function(x)` with the marked array of that name replaced by `change` of it.

    The inner programs that contain the mark stand in place of their calls, so that `change` may note the array.
    """
    program = jax.make_jaxpr(function)(x)
    return _evaluate(program, [x], name, change)[0]


def _evaluate(program: core.ClosedJaxpr, values: Sequence, name: str, change: Callable) -> list:
    jaxpr = program.jaxpr
    arrays = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *values], strict=True))

    def read(var):
        return var.val if isinstance(var, core.Literal) else arrays[var]

    for equation in jaxpr.eqns:
        operands = list(map(read, equation.invars))
        if equation.primitive.name == "name" and equation.params["name"] == name:
            results = [change(*operands)]
        elif equation.primitive.name in INLINED and any(
            n == name for each in inner_programs(equation) for n, _ in marks(each)
        ):
            results = _evaluate(inner_program(equation), operands, name, change)
        else:
            results = bind(equation, operands)
        arrays.update(zip(equation.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))
