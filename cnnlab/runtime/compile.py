"""The outermost jit: the only place that knows compiler options.

XLA takes compiler options on the outermost jit alone, so everything else in the package is a plain function and
the few programs (train step, predict, Monte-Carlo, rows) are compiled here.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from cnnlab.runtime.compile_cache import keep_compilations

# jaxlib 0.10 turns convolutions into YNNPACK fusions on a CPU by default. Without them a 3x3 convolution of
# 128x26x26x32 to 64 channels takes 14.7 ms instead of 78.7 (two cores), its gradients 76 instead of 218. oneDNN's
# matrix products, in the same wheel, are as fast as the default's on average; its convolutions are not in it.
_YNNPACK = "xla_cpu_experimental_ynn_fusion_type"
# A barrier is taken away before operations are fused, which is what it is there to prevent. With barriers kept, round
# the gradients of kernels, a step of ResNet-18 takes 1.55 s instead of 2.0.
_BARRIERS_KEPT = {"xla_disable_hlo_passes": "cse_barrier_expander"}
_WITHOUT = {_YNNPACK: "", **_BARRIERS_KEPT}
# Sums over all positions are faster with them: batch norm of 128x32x32x64 with its gradients takes 20 ms instead of 53
# (torch 30), a step of five separable blocks 304 instead of 1,556; but one of LeNet5, whose sums are small, 9.5, not 8.
_SUMS_ALONE = {_YNNPACK: "LIBRARY_FUSION_TYPE_REDUCE", **_BARRIERS_KEPT}
_LARGE = 1_000_000  # elements of a sum
# LLVM takes vectors of 8 floats where the CPU has such of 16. With these a convolution that is written out
# (`ops/unrolled.py`) takes a third of the time; but LeNet5's forward pass, which has none, 1.0 ms instead of .8.
_WIDE = {"xla_cpu_prefer_vector_width": "512"}

_wide = contextvars.ContextVar("wide", default=False)


def has_wide_vectors() -> bool:
    """Whether the program being traced may have vectors of 16 floats: one of `jit`, on a CPU with AVX-512."""
    return _wide.get()


def with_wide_vectors(fn: Callable) -> Callable:
    """A function for whose sake a program is compiled for vectors of 16 floats, where `has_wide_vectors`."""

    def wants_wide_vectors(*arguments: jax.Array) -> jax.Array:
        return fn(*arguments)

    return jax.jit(wants_wide_vectors)


def _has_avx512() -> bool:
    with contextlib.suppress(OSError):
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    return False


@functools.cache
def compiler_options(large_sums: bool = False, wide: bool = False) -> dict[str, str]:
    """This backend's best compiler options; none where the backend or its version does not know them.

    Args:
      large_sums: whether the program adds up large arrays over all their axes but the last, as batch norm does.
      wide: whether it wants vectors of 16 floats.
    """
    candidates = (_SUMS_ALONE, _WITHOUT) if large_sums else (_WITHOUT,)
    if wide:
        candidates = (*(options | _WIDE for options in candidates), *candidates)
    for options in candidates if jax.default_backend() == "cpu" else ():
        with contextlib.suppress(jax.errors.JaxRuntimeError, ValueError):
            jax.jit(lambda x: x + 1, compiler_options=options).lower(0.0).compile()
            return options
    return {}


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Those of a program and of all within it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _is_large_sum(equation: Any) -> bool:
    if equation.primitive.name != "reduce_sum":
        return False
    summed = equation.invars[0].aval
    return summed.size >= _LARGE and tuple(equation.params["axes"]) == tuple(range(summed.ndim - 1))


def _chosen_options(jaxpr: Any) -> dict[str, str]:
    equations = list(_equations(jaxpr)) if jax.default_backend() == "cpu" else []
    wide = any(equation.params.get("name") == "wants_wide_vectors" for equation in equations)
    return compiler_options(any(map(_is_large_sum, equations)), wide)


def jit(fn: Callable | None = None, **options) -> Callable:
    """`jax.jit` with this backend's best compiler options.

    Called inside another trace (`jit`, `grad`, `lax.scan` ...) it is a plain `jax.jit`, because options belong to
    the outermost program. The backend is asked at the first call, not when the function is decorated; on a CPU that
    call's shapes choose the options.

    Args:
      fn: the function; may be left out to use `jit` as a decorator with options.
      **options: those of `jax.jit`: `static_argnames`, `donate_argnums` ...

    Returns:
      The compiled function. Its `lower` is that of the jitted program, its `cache_size()` counts compilations.

    >>> import jax.numpy as jnp
    >>> float(jit(lambda x: (x * x).sum())(jnp.arange(4.0)))
    14.0
    """
    if fn is None:
        return functools.partial(jit, **options)

    @functools.wraps(fn)
    def widely(*args, **kwargs):
        token = _wide.set(True)
        try:
            return fn(*args, **kwargs)
        finally:
            _wide.reset(token)

    # Two functions, since a trace of one is kept for its next call: within another program, or for other vectors.
    inner = {False: jax.jit(fn, **options), True: jax.jit(widely, **options)}
    chosen: list[Callable] = []

    def outermost(*args, **kwargs) -> Callable:
        if not chosen:
            keep_compilations()
            wide = jax.default_backend() == "cpu" and _has_avx512()
            best = _chosen_options(inner[wide].trace(*args, **kwargs).jaxpr.jaxpr)
            chosen.append(jax.jit(widely if wide else fn, compiler_options=best, **options))
        return chosen[0]

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return inner[has_wide_vectors()](*args, **kwargs)
        try:
            return outermost(*args, **kwargs)(*args, **kwargs)
        except ValueError as error:  # a trace that closes over all arguments shows only here
            if "can only be passed to top-level" not in str(error):
                raise
            return inner[has_wide_vectors()](*args, **kwargs)

    call.lower = lambda *args, **kwargs: outermost(*args, **kwargs).lower(*args, **kwargs)
    call.cache_size = lambda: sum(program._cache_size() for program in chosen)
    return call
