"""Counts the multiply-adds of convolutions and matrix products, as the literature does and as XLA does."""

import math
from collections.abc import Sequence

import jax
from jax.extend import core

from cnnlab.anatomy.trace import TracedEquation
from cnnlab.ops import arithmetic


def is_product(step: TracedEquation) -> bool:
    """Returns whether the equation is a convolution or a matrix product."""
    return step.equation.primitive.name in ("conv_general_dilated", "dot_general")


def multiply_adds(equation: core.JaxprEqn) -> int:
    """Products of a convolution or matrix product, each with the addition that follows it.

    Every output of a convolution counts its whole kernel, also where that lies on padding; a transposed convolution
    counts the kernel once for every input, so not for the zeros between them.
    """
    left, right, out = (var.aval.shape for var in (*equation.invars, *equation.outvars))
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return math.prod(out) * math.prod(left[axis] for axis in contracted)
    params = equation.params
    images, kernels, outputs = params["dimension_numbers"]
    transposed = any(spacing > 1 for spacing in params["lhs_dilation"])
    size = [left[axis] for axis in images[2:]] if transposed else [out[axis] for axis in outputs[2:]]
    kernel = [right[axis] for axis in kernels[2:]]
    channels = left[images[1]], right[kernels[0]]
    return out[outputs[0]] * arithmetic.multiply_adds(*channels, kernel, size, groups=params["feature_group_count"])


def xla_multiply_adds(equations: Sequence[core.JaxprEqn]) -> int | None:
    """Counts the same convolutions and products as XLA does, in half its floating-point operations.

    XLA's analysis leaves out what falls on padding or on the zeros of a transposed convolution. Its CPU backend makes
    it, also where an accelerator is used; None without such a backend.
    """
    if not equations:
        return 0
    inputs = [[jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in one.invars] for one in equations]

    def program(inputs):
        return [one.primitive.bind(*args, **one.params) for one, args in zip(equations, inputs, strict=True)]

    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names accelerators alone
        return None
    with jax.default_device(cpu):
        analysis = jax.jit(program).lower(inputs).cost_analysis()
    return round(analysis["flops"] / 2) if analysis and "flops" in analysis else None
