"""The penalty of orthogonal convolutional networks: the losses of kernels, added to the loss of a training step."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from cnnlab.errors import unknown
from cnnlab.losses.orthogonality import orthogonality
from cnnlab.nn.apply import Variables
from cnnlab.nn.frozen import is_trained
from cnnlab.nn.kernels import find_kernels, kernel_at
from cnnlab.training.step import Penalty


def orthogonal_penalty(
    network: nn.Module,
    variables: Variables,
    shape: tuple[int, int, int],
    *,
    weight: float,
    layers: Sequence[str] = (),
) -> Penalty | None:
    """Returns the function from parameters to `weight` times the sum of `losses.orthogonality` over kernels.

    Args:
      network: any Linen module.
      variables: its variables, of which only the shapes matter.
      shape: height, width and channels of an image.
      weight: weight of the sum; None is returned for 0.
      layers: names of convolutions or dense layers, or of modules that contain some; by default all convolutions.

    Raises:
      ValueError: there is no such layer, or there are no convolutions.
    """
    if not weight:
        return None
    kernels = find_kernels(network, variables, shape)
    for name in layers:
        if not any(is_trained(layer.split("/"), [name]) for layer in kernels):
            raise unknown("orthogonal layer", name, kernels, "Set --training.orthogonal-layers.")
    chosen = {
        name: kernel
        for name, kernel in kernels.items()
        if (is_trained(name.split("/"), layers) if layers else len(kernel.shape) == 4)
    }
    if not chosen:
        dense = f", such as {next(iter(kernels))}" if kernels else ""
        raise ValueError(
            f"{type(network).__name__} has no convolution to make orthogonal; leave --training.orthogonality out, or "
            f"name dense layers by --training.orthogonal-layers{dense}"
        )

    def penalty(params: Any) -> jax.Array:
        total = 0.0
        for name, kernel in chosen.items():
            values = kernel_at(params, name)
            total += orthogonality(values.swapaxes(-1, -2) if kernel.swapped else values, **kernel.steps)
        return weight * total

    return penalty
