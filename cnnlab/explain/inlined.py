"""Changes an array within the inner programs of a function, such as those of `nn.remat`, which no tracer may leave."""

from collections.abc import Callable, Mapping, Sequence

import jax
from jax.extend import core

from cnnlab.anatomy.calls import inner_programs, marks
from cnnlab.explain.rewrite import bind, inner_program

INLINED = ("checkpoint", "closed_call", "core_call", "jit", "pjit", "remat", "remat2")
"""Primitives whose inner program can stand in their place."""


Change = Callable[[jax.Array], jax.Array]


def with_changes(function: Change, changes: Mapping[str, Change], x: jax.Array) -> jax.Array:
    """Returns `function(x)` with each marked array replaced by the change of that name, applied to it.

    The inner programs that contain a mark stand in place of their calls, so that a change may note the array.
    """
    program = jax.make_jaxpr(function)(x)
    return _evaluate(program, [x], changes)[0]


def _evaluate(program: core.ClosedJaxpr, values: Sequence, changes: Mapping[str, Change]) -> list:
    jaxpr = program.jaxpr
    arrays = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*program.consts, *values], strict=True))

    def read(var):
        return var.val if isinstance(var, core.Literal) else arrays[var]

    for equation in jaxpr.eqns:
        operands = list(map(read, equation.invars))
        if equation.primitive.name == "name" and equation.params["name"] in changes:
            results = [changes[equation.params["name"]](*operands)]
        elif equation.primitive.name in INLINED and any(
            name in changes for each in inner_programs(equation) for name, _ in marks(each)
        ):
            results = _evaluate(inner_program(equation), operands, changes)
        else:
            results = bind(equation, operands)
        arrays.update(zip(equation.outvars, results, strict=True))
    return list(map(read, jaxpr.outvars))
