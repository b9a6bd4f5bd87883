"""The outermost jit: the only place that knows compiler options.

XLA takes compiler options on the outermost jit alone, so everything else in the package is a plain function and
the few programs (train step, predict, Monte-Carlo, rows) are compiled here.
"""

import contextlib
import functools
from collections.abc import Callable

import jax

from cnnlab.compile_cache import keep_compilations

# jaxlib 0.10 turns convolutions into YNNPACK fusions on a CPU by default. Without them a 3x3 convolution of
# 128x26x26x32 to 64 channels takes 14.7 ms instead of 78.7 (two cores), its gradients 76 instead of 218. Sums over
# positions are faster with them: the statistics of 128x32x32x64 take 2.6 ms instead of 25.6, batch norm with its
# gradients 20 instead of 53 (torch 30).
_CPU_OPTIONS = (
    {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"},
    {"xla_cpu_experimental_ynn_fusion_type": ""},
)


@functools.cache
def compiler_options() -> dict[str, str]:
    """This backend's best compiler options; none where the backend or its version does not know them."""
    for options in _CPU_OPTIONS if jax.default_backend() == "cpu" else ():
        with contextlib.suppress(jax.errors.JaxRuntimeError, ValueError):
            jax.jit(lambda x: x + 1, compiler_options=options).lower(0.0).compile()
            return options
    return {}


def jit(fn: Callable | None = None, **options) -> Callable:
    """`jax.jit` with this backend's best compiler options.

    Called inside another trace (`jit`, `grad`, `lax.scan` ...) it is a plain `jax.jit`, because options belong to
    the outermost program. The backend is asked at the first call, not when the function is decorated.

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
    nested = jax.jit(fn, **options)

    @functools.cache
    def outermost() -> Callable:
        keep_compilations()
        return jax.jit(fn, compiler_options=compiler_options(), **options)

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs))):
            return nested(*args, **kwargs)
        try:
            return outermost()(*args, **kwargs)
        except ValueError as error:  # a trace that closes over all arguments shows only here
            if "can only be passed to top-level" not in str(error):
                raise
            return nested(*args, **kwargs)

    call.lower = lambda *args, **kwargs: outermost().lower(*args, **kwargs)
    call.cache_size = lambda: outermost()._cache_size()
    return call
