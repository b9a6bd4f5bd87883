"""Taps: functions that observe or change every call of a module, without editing the network."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

Around = Callable[[nn.Module, Callable[..., Any], tuple, dict[str, Any]], Any]
"""A function of `(module, call, args, kwargs)` that returns the result of the call.

`call(*args, **kwargs)` runs the module itself."""


def tap(around: Around, *, every_method: bool = False):
    """Returns a context in which every call of a module goes through `around`.

    Args:
      around: function that wraps the call.
      every_method: whether other methods than `__call__`, including `setup`, also go through it.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> names = []
    >>> def record(module, call, args, kwargs):
    ...     names.append(type(module).__name__)
    ...     return call(*args, **kwargs)
    >>> with tap(record):
    ...     variables = nn.Dense(2).init(jax.random.key(0), jnp.ones((1, 3)))
    >>> names
    ['Dense']
    """

    def intercept(call, args, kwargs, context):
        if every_method or context.method_name == "__call__":
            return around(context.module, call, args, kwargs)
        return call(*args, **kwargs)

    return nn.intercept_methods(intercept)


def first_input(args: tuple, kwargs: dict[str, Any]) -> Any:
    """Returns the first argument of a module's call, positional or by keyword; None if there are no arguments."""
    return args[0] if args else next(iter(kwargs.values()), None)
