"""Batch norm that stores less for the backward pass."""

import inspect

import flax.linen as nn
import jax


class BatchNorm(nn.BatchNorm):
    """Flax's batch norm with PyTorch's defaults, which stores only its input and statistics for the backward pass.

    The backward pass subtracts the mean again. Flax's own batch norm stores the difference, which is as large as the
    input.

    In Flax the momentum is the weight of the old running average, in PyTorch that of the new value: .9 here is .1
    there. PyTorch's running variance is the unbiased one, n / (n - 1) times this, where n is the number of pixels in
    the batch.

    Source: Ioffe and Szegedy, Batch Normalization, ICML 2015.

    >>> import jax.numpy as jnp
    >>> norm = BatchNorm(use_running_average=False)
    >>> out, variables = norm.init_with_output(jax.random.key(0), jnp.array([[0.0], [2.0]]))
    >>> out.round(3).tolist()
    [[-1.0], [1.0]]
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array, use_running_average: bool | None = None, *, mask: jax.Array | None = None):
        plain = inspect.unwrap(nn.BatchNorm.__call__)  # the method itself, so that taps see one call of this layer

        def norm(module: nn.Module, x: jax.Array) -> jax.Array:
            return plain(module, x, use_running_average, mask=mask)

        if nn.merge_param("use_running_average", self.use_running_average, use_running_average):
            return norm(self, x)
        return nn.remat(norm, policy=lambda primitive, *_, **__: primitive.name == "reduce_sum")(self, x)
