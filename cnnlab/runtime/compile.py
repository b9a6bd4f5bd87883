"""A `jit` that sets compiler options; the only module that knows them.

XLA accepts compiler options only for the outermost `jit`. So the package consists of plain functions, and only its few
programs (training step, prediction, MC-Dropout, rows) use this `jit`.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from cnnlab.runtime import memory
from cnnlab.runtime.compile_cache import keep_compilations

# On a CPU jaxlib 0.10 turns convolutions into YNNPACK fusions by default, which are slower than XLA's own convolutions.
_YNNPACK = "xla_cpu_experimental_ynn_fusion_type"
# By default XLA removes optimization barriers before it fuses operations, which the barriers should prevent. Barriers
# around the gradients of kernels make training steps faster.
_KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}
_WITHOUT = {_YNNPACK: "", **_KEEP_BARRIERS}
# YNNPACK is faster for large sums over all positions, as in batch norm, but slower for small sums.
_SUMS_ALONE = {_YNNPACK: "LIBRARY_FUSION_TYPE_REDUCE", **_KEEP_BARRIERS}
_LARGE = 1_000_000  # elements of a sum
# LLVM prefers vectors of 8 floats on a CPU that has vectors of 16. The wider vectors make unrolled convolutions
# (`kernels/unrolled.py`) faster, but other programs can be slower.
_WIDE = {"xla_cpu_prefer_vector_width": "512"}

_wide = contextvars.ContextVar("wide", default=False)


def has_wide_vectors() -> bool:
    """Returns whether the current program may use vectors of 16 floats: `jit` compiles it for a CPU with AVX-512."""
    return _wide.get()


def with_wide_vectors(fn: Callable) -> Callable:
    """Marks a function so that `jit` compiles its program for vectors of 16 floats; see `has_wide_vectors`."""

    def wants_wide_vectors(*arguments: jax.Array) -> jax.Array:
        return fn(*arguments)

    return jax.jit(wants_wide_vectors)


def _has_avx512() -> bool:
    with contextlib.suppress(OSError):
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    return False


@functools.cache
def compiler_options(large_sums: bool = False, wide: bool = False) -> dict[str, str]:
    """Returns the best compiler options of the backend; empty if the backend or its version does not support them.

    Args:
      large_sums: whether the program sums large arrays over all axes but the last, as batch norm does.
      wide: whether the program benefits from vectors of 16 floats.
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
    """Yields the equations of a jaxpr and of all jaxprs inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def _is_large_sum(equation: Any) -> bool:
    """Returns whether an equation sums a large array over all axes but the last."""
    if equation.primitive.name != "reduce_sum":
        return False
    summed = equation.invars[0].aval
    return summed.size >= _LARGE and tuple(equation.params["axes"]) == tuple(range(summed.ndim - 1))


def _chosen_options(jaxpr: Any) -> dict[str, str]:
    """Chooses the compiler options of a program."""
    equations = list(_equations(jaxpr)) if jax.default_backend() == "cpu" else []
    wide = any(equation.params.get("name") == "wants_wide_vectors" for equation in equations)
    return compiler_options(any(map(_is_large_sum, equations)), wide)


def jit(fn: Callable | None = None, **options) -> Callable:
    """Compiles a function like `jax.jit`, with the best compiler options of the backend.

    Inside another trace (`jit`, `grad`, `lax.scan` ...) it acts as a plain `jax.jit`, because only the outermost
    program has options. It queries the backend at the first call, not at decoration; on a CPU the shapes of this call
    determine the options.

    Args:
      fn: function to compile; leave it out to use `jit` as a decorator with options.
      **options: options of `jax.jit`: `static_argnames`, `donate_argnums` ...

    Returns:
      The compiled function. Its `lower` lowers the program ahead of time; its `cache_size()` counts compilations.

    >>> import jax.numpy as jnp
    >>> float(jit(lambda x: (x * x).sum())(jnp.arange(4.0)))
    14.0
    """
    if fn is None:
        return functools.partial(jit, **options)

    @functools.wraps(fn)
    def with_wide(*args, **kwargs):
        token = _wide.set(True)
        try:
            return fn(*args, **kwargs)
        finally:
            _wide.reset(token)

    # JAX caches the trace of a function, but the trace depends on the width of vectors. Hence there are two functions.
    inner = {False: jax.jit(fn, **options), True: jax.jit(with_wide, **options)}
    chosen: list[Callable] = []

    def outermost(*args, **kwargs) -> Callable:
        if not chosen:
            keep_compilations()
            wide = jax.default_backend() == "cpu" and _has_avx512()
            best = _chosen_options(inner[wide].trace(*args, **kwargs).jaxpr.jaxpr)
            chosen.append(jax.jit(with_wide if wide else fn, compiler_options=best, **options))
        return chosen[0]

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return inner[has_wide_vectors()](*args, **kwargs)
        try:
            with contextlib.nullcontext() if chosen else memory.freed():
                return outermost(*args, **kwargs)(*args, **kwargs)
        except ValueError as error:  # JAX reports a surrounding trace only here if all arguments are constants
            if "can only be passed to top-level" not in str(error):
                raise
            return inner[has_wide_vectors()](*args, **kwargs)

    call.lower = lambda *args, **kwargs: outermost(*args, **kwargs).lower(*args, **kwargs)
    call.cache_size = lambda: sum(program._cache_size() for program in chosen)
    return call
