"""The kernels of a network's convolutions and dense layers, and how each of them moves over its input."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.nn.apply import Variables, apply
from cnnlab.nn.taps import first_input, tap
from cnnlab.nn.upsampling import TransposedUp


class Kernel(NamedTuple):
    """The kernel of a convolution or a dense layer.

    A transposed convolution is described as the convolution that it transposes, from its output to its input.

    Attributes:
      shape: shape of the parameter: four axes for a convolution, two for a dense layer.
      size: height and width of the maps over which the kernel moves; (1, 1) for a dense layer.
      stride: pixels from one place of the kernel to the next, along height and width.
      dilation: pixels from one weight of the kernel to the next, along height and width.
      groups: number of groups of channels.
      swapped: whether the parameter is `[h, w, C_out, C_in]`, as that of a transposed convolution.
    """

    shape: tuple[int, ...]
    size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    swapped: bool = False

    @property
    def steps(self) -> dict[str, Any]:
        """How the kernel moves: `stride`, `dilation` and `groups` by name."""
        return {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}


def find_kernels(network: nn.Module, variables: Variables, shape: tuple[int, int, int]) -> dict[str, Kernel]:
    """Returns the kernels of a network's convolutions and dense layers by the path of their layer; nothing is computed.

    Layers inside `nn.scan` or `nn.vmap`, whose parameters are stacked, and layers of other classes with kernels of
    their own are left out.

    Args:
      network: any Linen module.
      variables: its variables, of which only the shapes matter.
      shape: height, width and channels of an image.

    >>> from cnnlab.nn import Conv
    >>> network, image = Conv(3, (5, 5), strides=2), jnp.zeros((1, 8, 8, 1))
    >>> find_kernels(network, network.init(jax.random.key(0), image), (8, 8, 1))[""].stride
    (2, 2)
    """
    found: dict[str, Kernel] = {}

    def look(module: nn.Module, call, args, kwargs):
        out = call(*args, **kwargs)
        kernel = module.variables.get("params", {}).get("kernel")
        if kernel is not None and (seen := _kernel(module, kernel.shape, first_input(args, kwargs), out)):
            found["/".join(module.path)] = seen
        return out

    with tap(look):
        jax.eval_shape(lambda v, x: apply(network, v, x), variables, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    return {name: each for name, each in found.items() if kernel_at(variables["params"], name).shape == each.shape}


def kernel_at(params: Any, name: str) -> jax.Array:
    """Returns the kernel of the layer with this path; the path of a network that is one layer is empty."""
    for part in filter(None, name.split("/")):
        params = params[part]
    return params["kernel"]


def _kernel(module: nn.Module, shape: tuple[int, ...], before: jax.Array, after: jax.Array) -> Kernel | None:
    """Describes the kernel of a layer; None for a layer of another class."""
    if isinstance(module, nn.Dense):
        return Kernel(shape)
    if len(shape) != 4 or not isinstance(module, nn.Conv | nn.ConvTranspose | TransposedUp):
        return None
    dilation = _pair(getattr(module, "kernel_dilation", 1))
    if isinstance(module, nn.Conv):
        return Kernel(shape, before.shape[1:3], _pair(module.strides), dilation, module.feature_group_count)
    stride = shape[:2] if isinstance(module, TransposedUp) else _pair(module.strides)
    return Kernel(shape, after.shape[1:3], stride, dilation, swapped=not getattr(module, "transpose_kernel", False))


def _pair(value: int | tuple[int, ...] | None) -> tuple[int, int]:
    """Returns an option of a Flax convolution for height and width."""
    return (value or 1,) * 2 if isinstance(value, int | None) else tuple(value)
