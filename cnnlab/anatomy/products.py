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
    """Counts the multiply-adds of a convolution or matrix product.

    Every output of a convolution counts its whole kernel, also the taps on padding. A transposed convolution counts
    the kernel once per input, and does not count the zeros between inputs.
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
    """Returns half the floating-point operations that XLA's analysis counts for convolutions and matrix products.

    The analysis leaves out taps on padding and on the zeros of a transposed convolution. It always runs on the CPU
    backend, also if an accelerator is in use.

    Returns:
      The number of multiply-adds; None without a CPU backend.
    """
    if not equations:
        return 0
    inputs = [
        [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars] for equation in equations
    ]

    def program(inputs):
        return [
            equation.primitive.bind(*args, **equation.params) for equation, args in zip(equations, inputs, strict=True)
        ]

    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS names only accelerators
        return None
    with jax.default_device(cpu):
        analysis = jax.jit(program).lower(inputs).cost_analysis()
    return round(analysis["flops"] / 2) if analysis and "flops" in analysis else None
