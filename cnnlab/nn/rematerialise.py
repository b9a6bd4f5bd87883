"""Training with less memory: the backward pass computes the activations inside each layer of a network again."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax


def rematerialised():
    """Makes each layer of a network keep its input alone for the backward pass, within the block.

    The layers are the modules directly inside the network, such as the stages of a ResNet. The backward pass calls each
    of them again to get the activations that its gradients need. The gradients are the same; memory is saved by
    layers that hold several modules, and the time of one more forward pass is the price.

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost, arXiv 1604.06174, 2016.

    >>> import jax.numpy as jnp
    >>> from cnnlab.nn import ConvBlock
    >>> class Two(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x):
    ...         return ConvBlock(4, name="second")(ConvBlock(4, name="first")(x))
    >>> x = jnp.ones((1, 8, 8, 3))
    >>> variables = Two().init(jax.random.key(0), x)
    >>> with rematerialised():
    ...     program = jax.make_jaxpr(lambda variables: Two().apply(variables, x))(variables)
    >>> sum("prevent_cse" in equation.params for equation in program.eqns)
    2
    """
    inside: set[tuple[str, ...]] = set()  # layers that are being called, so that the call below is not caught again

    def layer(call: Callable, arguments: tuple, options: dict[str, Any], context: nn.module.InterceptorContext) -> Any:
        path = context.module.path
        if context.method_name != "__call__" or len(path) != 1 or path in inside:
            return call(*arguments, **options)
        places = [place for place, argument in enumerate(arguments) if isinstance(argument, jax.Array)]

        def again(module: nn.Module, *arrays: jax.Array) -> Any:
            given = dict(zip(places, arrays, strict=True))
            return module(*(given.get(place, argument) for place, argument in enumerate(arguments)), **options)

        inside.add(path)
        try:
            return nn.remat(again)(context.module, *(arguments[place] for place in places))
        finally:
            inside.discard(path)

    return nn.intercept_methods(layer)
