"""Traces a network's forward pass, without running it, as one flat list of equations."""

import re
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.extend import core

from cnnlab import nn as cnn
from cnnlab.kernels import dispatch
from cnnlab.nn.taps import tap


class TracedEquation(NamedTuple):
    """One equation of the trace; its arrays are numbered, and None stands for a constant.

    Attributes:
      equation: JAX equation; None if the results depend on the operands in a way that the trace does not follow.
      reads: number of each operand's array.
      writes: number of each result's array.
      module: path of the innermost module that contains the equation.
    """

    equation: core.JaxprEqn | None
    reads: tuple[int | None, ...]
    writes: tuple[int | None, ...]
    module: str


class Leaf(NamedTuple):
    """One array of the network's variables."""

    collection: str
    module: str
    name: str
    size: int


class Traced(NamedTuple):
    """The trace of a network.

    Attributes:
      steps: equations in the order of computation.
      image: number of the input's array.
      output: shape of the logits `[1, ...]`.
      leaves: variables by the numbers of their arrays.
      modules: class names of the modules by path.
    """

    steps: list[TracedEquation]
    image: int
    output: tuple[int, ...]
    leaves: dict[int, Leaf]
    modules: dict[str, str]


def trace(network: nn.Module, shape: tuple[int, int, int]) -> Traced:
    """Traces the forward pass of one image of shape `[H, W, C]` with dropout off, without running it.

    Raises:
      ValueError: a kernel or window is larger than its padded input; the message names the layer.
    """
    modules: dict[str, str] = {}
    image = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    with dispatch.as_defined(), tap(_marking(modules), every_method=True):
        variables = jax.eval_shape(lambda x: cnn.init(network, x, jax.random.key(0)), image)
        closed, out = jax.make_jaxpr(lambda v, x: cnn.apply(network, v, x), return_shape=True)(variables, image)
    numbers = count()
    leaves = {next(numbers): _leaf(path, array) for path, array in jax.tree.leaves_with_path(variables)}
    x = next(numbers)
    names = dict(zip(closed.jaxpr.invars, [*leaves, x], strict=True))
    return Traced(list(_steps(closed.jaxpr, names, numbers, "")), x, out.shape, leaves, modules)


def _leaf(path: tuple, array: Any) -> Leaf:
    collection, *modules, name = (jax.tree_util.keystr((key,), simple=True) for key in path)
    return Leaf(collection, "/".join(modules), name, array.size)


def _marking(modules: dict[str, str]):
    """Returns a function for `tap` that marks the equations of a module with the module's path.

    It also enters the module's class name in `modules` under that path.
    """

    def mark(module: nn.Module, call, args, kwargs):
        path = "/".join(module.path)
        modules[path] = type(module).__name__
        shape = tuple(getattr(args[0], "shape", ())) if args else ()
        if 0 in shape:
            raise ValueError(
                f"{path} gets an empty input {list(shape[1:])}: an earlier window is larger than its padded input"
            )
        try:
            with jax.named_scope(f"module:{path}:"):
                out = call(*args, **kwargs)
        except ValueError as error:
            if not path or str(error).startswith(f"{path}/"):
                raise
            raise ValueError(f"{path}: {error}") from error
        if any(0 in getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(out)):
            raise _too_small(module, path, shape)
        return out

    return mark


def _too_small(module: nn.Module, path: str, shape: tuple[int, ...]) -> ValueError:
    """Returns the error for a layer whose output is empty because its kernel is larger than its padded input."""
    window = "a window"
    if hasattr(module, "kernel_size"):
        kernel = "x".join(map(str, module.kernel_size))
        window = f"a kernel of {kernel} pixels, padding {module.padding!r},"
    return ValueError(f"{path or type(module).__name__}: {window} is larger than the padded input {list(shape[1:])}")


def _steps(jaxpr, names: dict, numbers: count, module: str) -> Iterator[TracedEquation]:
    """Yields the equations in order; the equations of an inner program replace the equation that calls it."""

    def read(var) -> int | None:
        return None if isinstance(var, core.Literal) else names.get(var)

    for equation in jaxpr.eqns:
        inside = _module(equation, module)
        reads = tuple(map(read, equation.invars))
        written: list[int | None]
        if equation.primitive.name == "scan":
            written = yield from _unrolled(equation, reads, numbers, inside)
        elif inner := _inner(equation):
            written = yield from _inlined(inner, reads[len(reads) - len(inner.invars) :], numbers, inside)
            if equation.primitive.name == "while":
                written = [next(numbers) for _ in written]
                yield TracedEquation(None, reads, tuple(written), inside)
        else:
            written = [next(numbers) for _ in equation.outvars]
            yield TracedEquation(equation, reads, tuple(written), inside)
        names.update(zip(equation.outvars, written, strict=True))


def _inlined(jaxpr, reads: tuple, numbers: count, module: str):
    names = dict(zip(jaxpr.invars, reads, strict=True))
    yield from _steps(jaxpr, names, numbers, module)
    return [None if isinstance(var, core.Literal) else names.get(var) for var in jaxpr.outvars]


def _unrolled(equation, reads: tuple, numbers: count, module: str):
    """Yields the equations of a scan's body once per iteration.

    Slices of stacked inputs, and stacked outputs, count as depending on the whole array.
    """
    params = equation.params
    consts, carries = scan_sizes(equation)
    body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    carry, stacked = list(reads[consts : consts + carries]), reads[consts + carries :]
    slices = tuple(None if array is None else next(numbers) for array in stacked)
    for array, part in zip(stacked, slices, strict=True):
        yield TracedEquation(None, (array,), (part,), module)
    outs: list = []
    for _ in range(params["length"]):
        out = yield from _inlined(body, (*reads[:consts], *carry, *slices), numbers, module)
        carry, outs = out[:carries], [*outs, *out[carries:]]
    results = [next(numbers) for _ in equation.outvars[carries:]]
    yield TracedEquation(None, tuple(outs), tuple(results), module)
    return [*carry, *results]


def scan_sizes(equation: core.JaxprEqn) -> tuple[int, int]:
    """Returns how many inputs of a scan are constants and how many are carried; JAX 0.12 stores them as trees."""
    if "num_consts" in equation.params:
        return equation.params["num_consts"], equation.params["num_carry"]
    consts, carry, _ = equation.params["ft_in"].unpack()
    return len(consts), len(carry)


def _inner(equation):
    """Returns the program inside an equation, or None; for a `cond` the last branch, which is the default."""
    params = equation.params
    if is_resize(equation):
        return None
    if equation.primitive.name == "cond":
        return params["branches"][-1].jaxpr
    if equation.primitive.name == "while":
        return params["body_jaxpr"].jaxpr
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        if key in params and equation.primitive.name not in ("reduce", "reduce_window"):
            return getattr(params[key], "jaxpr", params[key])
    return None


def is_resize(equation: core.JaxprEqn) -> bool:
    """Returns whether an equation is a call of `jax.image.resize`, which counts as one layer."""
    arrays = [var for var in equation.invars if not isinstance(var, core.Literal)]
    return equation.params.get("name") == "_resize" and len(arrays) == 1


def _module(equation, outer: str) -> str:
    """Returns the path of the innermost module on the equation's name stack; `outer` if there is none."""
    marks = re.findall("module:(.*?):", str(equation.source_info.name_stack))
    return marks[-1] if marks else outer
