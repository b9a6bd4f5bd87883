"""Evaluates a traced program with every ReLU replaced, also those in inner programs.

An inner program is analysed before it is evaluated, without values. If it has no ReLU, its equation is evaluated as it
is, so that a function with its own derivative keeps it.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax import lax
from jax.extend import core

from cnnlab.anatomy.trace import scan_sizes
from cnnlab.explain.facts import Fact, Kind, across, join, known, uniform
from cnnlab.explain.nonlinear import Relu, judge

Replacement = Callable[[jax.Array, jax.Array, Any], jax.Array]
"""A function of a ReLU's input, its output and its slope for negative values, that returns the output."""


class Operand(NamedTuple):
    """An array of the program; the value is None while the program is only analysed."""

    fact: Fact
    value: Any = None


class Context(NamedTuple):
    """What holds for all equations of a program.

    Attributes:
      replace: the function for each ReLU; None to analyse the program only.
      relus: a list to which each ReLU is appended.
      functions: names of the functions that contain the program.
      modules: names of the modules that contain it.
    """

    replace: Replacement | None
    relus: list[Relu]
    functions: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def rewrite(program: core.ClosedJaxpr, x: jax.Array, replace: Replacement) -> list[Operand]:
    """Evaluates a program of one array x with every ReLU replaced."""
    return _run(program, [Operand(Fact(Kind.SIGNAL), x)], Context(replace, []))


def _run(program: core.ClosedJaxpr, operands: Sequence[Operand], context: Context) -> list[Operand]:
    jaxpr = program.jaxpr
    inputs = [*(Operand(known(const), const) for const in program.consts), *_paired(*_unpaired(operands))]
    arrays = dict(zip([*jaxpr.constvars, *jaxpr.invars], inputs, strict=True))

    def read(var) -> Operand:
        return Operand(known(var.val), var.val) if isinstance(var, core.Literal) else arrays[var]

    for equation in jaxpr.eqns:
        step = _INNER.get(equation.primitive.name, _operation)
        arrays.update(zip(equation.outvars, step(equation, list(map(read, equation.invars)), context), strict=True))
    return list(map(read, jaxpr.outvars))


def _paired(facts: Sequence[Fact], values: Sequence) -> list[Operand]:
    """Returns the arrays with these facts and values; a known one's fact gets the value, which can be a slope."""

    def pair(fact: Fact, value: Any) -> Operand:
        if fact.kind is Kind.KNOWN and fact.value is None:
            fact = dataclasses.replace(fact, value=value)
        return Operand(fact, value)

    return [pair(*each) for each in zip(facts, values, strict=True)]


def _unpaired(operands: Sequence[Operand]) -> tuple[list[Fact], list]:
    return [operand.fact for operand in operands], [operand.value for operand in operands]


def _operation(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    """Evaluates an equation without an inner program."""
    facts, values = _unpaired(operands)
    fact, relu = judge(equation, facts, functools.partial(_name, equation, context))
    results = [fact] if len(equation.outvars) == 1 else [dataclasses.replace(fact) for _ in equation.outvars]
    if relu is None:
        return _as_it_is(equation, values, results, context)
    context.relus.append(relu)
    if context.replace is None:
        return [Operand(fact)]
    (out,) = bind(equation, values)
    return [Operand(fact, _replaced(relu, values, out, context.replace))]


def _replaced(relu: Relu, values: list, out: jax.Array, replace: Replacement) -> jax.Array:
    x, slope = values[relu.operand], uniform(relu.slope)
    if slope is None:
        slope = relu.slope.value
    if slope is None:
        raise ValueError("the slope of a leaky ReLU must be computed where it is applied; pass it as an argument")
    if relu.bound is None:
        return replace(x, out, slope)
    return lax.min(replace(x, lax.max(x, x.dtype.type(0)), slope), values[relu.bound])


def _as_it_is(equation: core.JaxprEqn, values: list, facts: list[Fact], context: Context) -> list[Operand]:
    """Evaluates an equation without a change; its results have these facts."""
    return _paired(facts, bind(equation, values) if context.replace else [None] * len(facts))


def bind(equation: core.JaxprEqn, values: list) -> list:
    """Evaluates an equation as it is; returns its results."""
    with equation.ctx.manager:
        out = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(out) if equation.primitive.multiple_results else [out]


# Inner programs


def inner_program(equation: core.JaxprEqn) -> core.ClosedJaxpr:
    """Returns the program of an equation that calls one."""
    inner = next(equation.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in equation.params)
    return inner if isinstance(inner, core.ClosedJaxpr) else core.ClosedJaxpr(inner, ())


def _inside(equation: core.JaxprEqn, context: Context) -> Context:
    """Returns the context of an equation's inner program."""
    name = str(equation.params.get("name", "_"))
    functions = context.functions if name.startswith(("_", "<")) else (*context.functions, name)
    return context._replace(functions=functions, modules=(*context.modules, *_scopes(equation)))


def _analyse(program: core.ClosedJaxpr, facts: Sequence[Fact], context: Context) -> tuple[list[Fact], bool]:
    """Returns the facts of a program's results, and whether ReLUs in it must be replaced."""
    before = len(context.relus)
    outs = _run(program, list(map(Operand, facts)), context._replace(replace=None))
    return _unpaired(outs)[0], len(context.relus) > before and context.replace is not None


def _evaluator(program: core.ClosedJaxpr, facts: Sequence[Fact], context: Context) -> Callable[..., list]:
    """Returns a function of the program's inputs, which have these facts, that returns its results."""
    return lambda *values: _unpaired(_run(program, _paired(facts, values), context))[1]


def _inlined(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    return _run(inner_program(equation), operands, _inside(equation, context))


def _custom(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    """Evaluates a function with its own derivative, which it keeps unless it contains a ReLU."""
    facts, values = _unpaired(operands)
    results, replaces = _analyse(inner_program(equation), facts, _inside(equation, context))
    return _inlined(equation, operands, context) if replaces else _as_it_is(equation, values, results, context)


def _checkpoint(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    (facts, values), inner, inside = _unpaired(operands), inner_program(equation), _inside(equation, context)
    results, replaces = _analyse(inner, facts, inside)
    if not replaces:
        return _as_it_is(equation, values, results, context)
    options = {key: equation.params[key] for key in ("prevent_cse", "policy")}
    return _paired(results, jax.checkpoint(_evaluator(inner, facts, inside), **options)(*values))


def _scan(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    (facts, values), inner, inside = _unpaired(operands), inner_program(equation), _inside(equation, context)
    consts, carries = scan_sizes(equation)
    first, last = consts, consts + carries
    facts = [*facts[:first], *map(across, facts[first:])]
    while True:  # until what is known of the carry also holds after a step
        results, replaces = _analyse(inner, facts, inside)
        carry = list(map(join, facts[first:last], results))
        stable = list(map(_summary, carry)) == list(map(_summary, facts[first:last]))
        facts[first:last] = carry
        if stable:
            break
    results = [*carry, *map(across, results[carries:])]
    if not replaces:
        return _as_it_is(equation, values, results, context)
    evaluate = _evaluator(inner, facts, inside)

    def step(state: list, entries: list) -> tuple[list, list]:
        out = evaluate(*values[:first], *state, *entries)
        return out[:carries], out[carries:]

    options = {key: equation.params[key] for key in ("length", "reverse", "unroll")}
    state, entries = lax.scan(step, values[first:last], values[last:], **options)
    return _paired(results, [*state, *entries])


def _summary(fact: Fact) -> tuple:
    return fact.kind, fact.reduced, fact.stopped, fact.ruled


def _branches(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    (which, *facts), (number, *values) = _unpaired(operands)
    if which.kind is not Kind.KNOWN:
        return _operation(equation, operands, context)
    branches, inside = equation.params["branches"], _inside(equation, context)
    analysed = [_analyse(branch, facts, inside) for branch in branches]
    results = [functools.reduce(join, each, each[0]) for each in zip(*(outs for outs, _ in analysed), strict=True)]
    if not any(replaces for _, replaces in analysed):
        return _as_it_is(equation, [number, *values], results, context)
    return _paired(results, _choose(equation, number, [_evaluator(each, facts, inside) for each in branches], values))


def _choose(equation: core.JaxprEqn, number: jax.Array, branches: list[Callable], values: list) -> list:
    """Calls one branch: by its number, or by the platform if each branch is for other platforms."""
    platforms = equation.params.get("branches_platforms")
    if platforms is None:
        return lax.switch(number, branches, *values)
    named = {name: branch for names, branch in zip(platforms, branches, strict=True) for name in names or ("default",)}
    return lax.platform_dependent(*values, **named)


def _barrier(equation: core.JaxprEqn, operands: list[Operand], context: Context) -> list[Operand]:
    facts, values = _unpaired(operands)
    return _as_it_is(equation, values, facts, context)


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
