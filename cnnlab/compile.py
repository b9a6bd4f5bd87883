"""The outermost jit: the only place that knows compiler options.

XLA takes compiler options on the outermost jit alone, so everything else in the package is a plain function and
the few programs (train step, predict, Monte-Carlo, rows) are compiled here.
"""

import functools
from collections.abc import Callable, Sequence

import jax

# jaxlib 0.10 turns convolutions into YNNPACK fusions on a CPU by default. Without them a 3x3 convolution of
# 128x26x26x32 to 64 channels takes 14.7 ms instead of 78.7 (two cores), its gradients 76 instead of 218.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


@functools.cache
def compiler_options() -> dict[str, str]:
    """This backend's best compiler options; none where the backend or its version does not know them."""
    if jax.default_backend() != "cpu":
        return {}
    try:
        jax.jit(lambda x: x + 1, compiler_options=_CPU_OPTIONS).lower(0.0).compile()
    except (jax.errors.JaxRuntimeError, ValueError):
        return {}
    return _CPU_OPTIONS


def jit(
    fn: Callable | None = None,
    *,
    static_argnames: str | Sequence[str] = (),
    donate_argnums: int | Sequence[int] = (),
) -> Callable:
    """`jax.jit` with this backend's best compiler options.

    Called inside another trace (`jit`, `grad`, `lax.scan` ...) it is a plain `jax.jit`, because options belong to
    the outermost program. The backend is asked at the first call, not when the function is decorated.

    Args:
      fn: the function; may be left out to use `jit` as a decorator with options.
      static_argnames: as in `jax.jit`.
      donate_argnums: as in `jax.jit`.

    Returns:
      The compiled function. Its `lower` is that of the jitted program.

    >>> import jax.numpy as jnp
    >>> float(jit(lambda x: (x * x).sum())(jnp.arange(4.0)))
    14.0
    """
    if fn is None:
        return functools.partial(jit, static_argnames=static_argnames, donate_argnums=donate_argnums)
    plain = functools.partial(jax.jit, fn, static_argnames=static_argnames, donate_argnums=donate_argnums)

    @functools.cache
    def nested() -> Callable:
        return plain()

    @functools.cache
    def outermost() -> Callable:
        return plain(compiler_options=compiler_options())

    @functools.wraps(fn)
    def call(*args, **kwargs):
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        return (nested() if traced else outermost())(*args, **kwargs)

    call.lower = lambda *args, **kwargs: outermost().lower(*args, **kwargs)
    call.cache_size = lambda: outermost()._cache_size()
    return call
