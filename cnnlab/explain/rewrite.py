"""Evaluates a traced program with every ReLU replaced, also those in inner programs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax
from jax.extend import core

from cnnlab.explain.facts import Fact, Kind, across, join, known, uniform
from cnnlab.explain.nonlinear import Relu, judge
from cnnlab.kernels import dispatch

Replacement = Callable[[jax.Array, jax.Array, Any], jax.Array]
"""A function of a ReLU's input, its output and its slope for negative values, that returns the output."""


class Operand(NamedTuple):
    """An array of the program; the value is None while a program is only analysed."""

    fact: Fact
    value: Any = None


class Context(NamedTuple):
    """What holds for a whole program.

    Attributes:
      replace: the function for each ReLU; None to analyse the program only.
      modules: those that contain the program, to name an equation.
      functions: those that contain the program.
      relus: a list that grows by one entry for each ReLU.
    """

    replace: Replacement | None
    modules: tuple[str, ...]
    functions: tuple[str, ...]
    relus: list[str]


def rewrite(program: core.ClosedJaxpr, x: jax.Array, replace: Replacement) -> list[Operand]:
    """Evaluates a program of one array x with every ReLU replaced."""
    return _run(program, [Operand(Fact(Kind.SIGNAL), x)], Context(replace, (), (), []))


def _run(program: core.ClosedJaxpr, operands: Sequence[Operand], context: Context) -> list[Operand]:
    jaxpr = program.jaxpr
    inputs = [*(Operand(known(const), const) for const in program.consts), *map(_with_value, operands)]
    arrays = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))

    def read(var) -> Operand:
        return Operand(known(var.val), var.val) if isinstance(var, core.Literal) else arrays[var]

    for equation in jaxpr.eqns:
        step = _INNER.get(equation.primitive.name, _operation)
        arrays.update(zip(equation.outvars, step(equation, list(map(read, equation.invars)), context), strict=True))
    return list(map(read, jaxpr.outvars))


def _with_value(operand: Operand) -> Operand:
    """Stores the value of a known array in its fact, where it may become the slope of a leaky ReLU."""
    fact, value = operand
    if fact.kind is Kind.KNOWN and fact.value is None and value is not None:
        fact = dataclasses.replace(fact, value=value)
    return Operand(fact, value)


def _operation(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    """Evaluates an equation without an inner program."""
    fact, relu = judge(equation, [operand.fact for operand in operands], lambda: _name(equation, context))
    if relu:
        context.relus.append(_name(equation, context))
    facts = [fact] if len(equation.outvars) == 1 else [dataclasses.replace(fact) for _ in equation.outvars]
    if context.replace is None:
        return list(map(Operand, facts))
    values = [operand.value for operand in operands]
    out = _bind(equation, values)
    if relu:
        out = [_replaced(relu, values, out[0], context.replace)]
    return [_with_value(Operand(*pair)) for pair in zip(facts, out, strict=True)]


def _replaced(relu: Relu, values: list, out: jax.Array, replace: Replacement) -> jax.Array:
    x, slope = values[relu.operand], uniform(relu.slope)
    if slope is None:
        slope = relu.slope.value
    if slope is None:
        raise ValueError("a leaky ReLU's slope is computed where it cannot be read; write the slope as a constant")
    if relu.bound is None:
        return replace(x, out, slope)
    return lax.min(replace(x, lax.max(x, x.dtype.type(0)), slope), values[relu.bound])


def _bind(equation: core.JaxprEqn, values: list) -> list:
    """Evaluates an equation as it is; convolutions and max pooling in their fastest form."""
    name, params = equation.primitive.name, equation.params
    if name == "conv_general_dilated" and params.get("out_sharding") is None:
        return [dispatch.convolution(*values, **{key: value for key, value in params.items() if key != "out_sharding"})]
    if name == "reduce_window_max" and {*params["base_dilation"], *params["window_dilation"]} == {1}:
        window, strides, pads = (params[key] for key in ("window_dimensions", "window_strides", "padding"))
        return [dispatch.maximum(*values, window, strides, pads)]
    with equation.ctx.manager:
        out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(out) if equation.primitive.multiple_results else [out]


def _barrier(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    return _as_it_is(equation, operands, [operand.fact for operand in operands], [], context)


# Inner programs


def _analyse(program: core.ClosedJaxpr, facts: Sequence[Fact], context: Context) -> tuple[list[Fact], list[str]]:
    """Returns the facts of a program's results, and the names of its ReLUs."""
    relus: list[str] = []
    return [
        out.fact for out in _run(program, list(map(Operand, facts)), context._replace(replace=None, relus=relus))
    ], relus


def _inner(equation: core.JaxprEqn) -> core.ClosedJaxpr:
    inner = next(equation.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in equation.params)
    return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())


def _inside(equation: core.JaxprEqn, context: Context) -> Context:
    """Returns the context of an equation's inner program."""
    name = str(equation.params.get("name", "_"))
    functions = context.functions if name.startswith(("_", "<")) else (*context.functions, name)
    return context._replace(modules=(*context.modules, *_scopes(equation)), functions=functions)


def _inlined(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    return _run(_inner(equation), operands, _inside(equation, context))


def _custom(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    """Evaluates a function with its own derivative, which it keeps unless it contains a ReLU."""
    facts, relus = _analyse(_inner(equation), [operand.fact for operand in operands], _inside(equation, context))
    if relus and context.replace:
        return _inlined(equation, operands, context)
    return _as_it_is(equation, operands, facts, relus, context)


def _as_it_is(
    equation: core.JaxprEqn, operands: list[Operand], facts: list[Fact], relus: list[str], context: Context
) -> list[Operand]:
    context.relus.extend(relus)
    values = _bind(equation, [operand.value for operand in operands]) if context.replace else [None] * len(facts)
    return [_with_value(Operand(*pair)) for pair in zip(facts, values, strict=True)]


def _checkpoint(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    inner, inside = _inner(equation), _inside(equation, context)
    facts, relus = _analyse(inner, [operand.fact for operand in operands], inside)
    if not relus or context.replace is None:
        return _as_it_is(equation, operands, facts, relus, context)

    def body(*values):
        arrays = [Operand(operand.fact, value) for operand, value in zip(operands, values, strict=True)]
        return [out.value for out in _run(inner, arrays, inside)]

    options = {key: equation.params[key] for key in ("prevent_cse", "policy")}
    values = jax.checkpoint(body, **options)(*(operand.value for operand in operands))
    return [_with_value(Operand(*pair)) for pair in zip(facts, values, strict=True)]


def _scan(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    params, inside = equation.params, _inside(equation, context)
    consts, carries = params["num_consts"], params["num_carry"]
    shared, stacked = operands[:consts], operands[consts + carries :]
    carry = [across(operand.fact) for operand in operands[consts : consts + carries]]
    slices = [across(operand.fact) for operand in stacked]
    while True:  # until what is known of the carry holds after a step too
        before = [*(operand.fact for operand in shared), *carry, *slices]
        facts, relus = _analyse(params["jaxpr"], before, inside)
        after = [join(*pair) for pair in zip(carry, facts[:carries], strict=True)]
        stable = all(
            (a.kind, a.reduced, a.ruled) == (b.kind, b.reduced, b.ruled) for a, b in zip(carry, after, strict=True)
        )
        carry = after
        if stable:
            break
    facts = [*carry, *map(across, facts[carries:])]
    if not relus or context.replace is None:
        return _as_it_is(equation, operands, facts, relus, context)

    def body(state, entries):
        arrays = [*map(Operand, carry, state), *map(Operand, slices, entries)]
        out = [operand.value for operand in _run(params["jaxpr"], [*shared, *arrays], inside)]
        return out[:carries], out[carries:]

    start = [operand.value for operand in operands[consts : consts + carries]]
    options = {key: params[key] for key in ("length", "reverse", "unroll")}
    state, entries = lax.scan(body, start, [operand.value for operand in stacked], **options)
    return [_with_value(Operand(*pair)) for pair in zip(facts, [*state, *entries], strict=True)]


def _branches(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    which, *arguments = operands
    branches, inside = equation.params["branches"], _inside(equation, context)
    if which.fact.kind is not Kind.KNOWN:
        return _unlisted(equation, operands, context)
    analysed = [_analyse(branch, [operand.fact for operand in arguments], inside) for branch in branches]
    relus = [name for _, names in analysed for name in names]
    facts = [_one_of(outs) for outs in zip(*(outs for outs, _ in analysed), strict=True)]
    if not relus or context.replace is None:
        return _as_it_is(equation, operands, facts, relus, context)

    def rewritten(branch: core.ClosedJaxpr):
        def run(*values):
            arrays = [Operand(operand.fact, value) for operand, value in zip(arguments, values, strict=True)]
            return [out.value for out in _run(branch, arrays, inside)]

        return run

    values = [operand.value for operand in arguments]
    out = _choose(equation, which.value, list(map(rewritten, branches)), values)
    return [_with_value(Operand(*pair)) for pair in zip(facts, out, strict=True)]


def _choose(equation: core.JaxprEqn, which: jax.Array, branches: list[Callable], values: list) -> list:
    """Calls one branch, by its number or, if the branches are for different platforms, by the platform."""
    platforms = equation.params.get("branches_platforms")
    if platforms is None:
        return lax.switch(which, branches, *values)
    named = {name: branch for names, branch in zip(platforms, branches, strict=True) for name in names or ("default",)}
    return lax.platform_dependent(*values, **named)


def _one_of(facts: Sequence[Fact]) -> Fact:
    out = across(facts[0])
    for fact in facts[1:]:
        out = join(out, fact)
    return out


def _unlisted(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    """Evaluates an equation whose inner program is not followed."""
    if all(operand.fact.kind is Kind.KNOWN for operand in operands):
        fact = Fact(Kind.KNOWN)
    else:
        fact = Fact(Kind.OTHER, cause=_name(equation, context))
    return _as_it_is(equation, operands, [fact] * len(equation.outvars), [], context)


_INNER: dict[str, Callable[[core.JaxprEqn, list[Operand], Context], list[Operand]]] = {
    **dict.fromkeys(("closed_call", "core_call", "jit", "pjit"), _inlined),
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"), _custom),
    **dict.fromkeys(("checkpoint", "remat", "remat2"), _checkpoint),
    "scan": _scan,
    "cond": _branches,
    "optimization_barrier": _barrier,
}


# Names


def _name(equation: core.JaxprEqn, context: Context) -> str:
    """Returns a name of an equation for a message, such as `mul in silu (Net/block1)`."""
    functions = "/".join(dict.fromkeys([*context.functions, *_writer(equation)]))
    modules = "/".join(dict.fromkeys([*context.modules, *_scopes(equation)]))
    return equation.primitive.name + (f" in {functions}" if functions else "") + (f" ({modules})" if modules else "")


def _scopes(equation: core.JaxprEqn) -> list[str]:
    return [scope for scope in str(equation.source_info.name_stack).split("/") if scope]


def _writer(equation: core.JaxprEqn) -> list[str]:
    """Returns the innermost function, of `jax.nn` or outside JAX, that wrote an equation; empty if not known."""
    for frame in getattr(equation.source_info.traceback, "frames", ()):
        path = frame.file_name.replace("\\", "/")
        if "/jax/_src/nn/" in path or "/jax/" not in path:
            return [frame.function_name]
    return []
