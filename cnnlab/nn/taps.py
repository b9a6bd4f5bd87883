"""Taps: functions that observe, and may change, every call of a module in any network, without editing it."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

Around = Callable[[nn.Module, Callable[..., Any], tuple, dict[str, Any]], Any]
"""`(module, call, args, kwargs)` to what the call returns; `call(*args, **kwargs)` runs the module itself."""


def tap(around: Around, *, every_method: bool = False):
    """Returns a context in which each call of a module runs through `around`.

    Args:
      around: the function.
      every_method: whether other methods than `__call__`, `setup` among them, run through it too.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> seen = []
    >>> def look(module, call, args, kwargs):
    ...     seen.append(type(module).__name__)
    ...     return call(*args, **kwargs)
    >>> with tap(look):
    ...     variables = nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 3)))
    >>> seen
    ['Dense']
    """

    def intercept(call, args, kwargs, context):
        if every_method or context.method_name == "__call__":
            return around(context.module, call, args, kwargs)
        return call(*args, **kwargs)

    return nn.intercept_methods(intercept)


def first_input(args: tuple, kwargs: dict[str, Any]) -> Any:
    """Returns the first argument of a module's call, however it was passed; None where there is none."""
    return args[0] if args else next(iter(kwargs.values()), None)
