"""The networks that the benchmarks compare, in cnnlab, with the names of their twins in `torch_networks.py`.

Plain Flax is the same network without fast convolutions (`cnnlab.kernels.dispatch.as_defined`) under plain `jax.jit`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import cnnlab
from cnnlab.nn import BatchNorm, Conv, ConvBlock, SeparableConv, TransposedUp

SEPARABLE = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
DILATIONS = (1, 1, 2, 4, 8, 1)
UP = (64, 32, 16)


class Separable(nn.Module):
    """A convolution and then depthwise-separable ones, each with batch norm and ReLU, as in MobileNet."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        x = ConvBlock(32)(x, use_running_average=use_running_average)
        for width, stride in SEPARABLE:
            x = SeparableConv(width, stride=stride)(x)
            x = nn.relu(BatchNorm(use_running_average)(x))
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


class Dilated(nn.Module):
    """Convolutions with growing dilation at full size, as in dense prediction."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        for dilation in DILATIONS:
            x = ConvBlock(32, dilation=dilation)(x, use_running_average=use_running_average)
        return Conv(self.num_classes, (1, 1))(x)


class Transposed(nn.Module):
    """A decoder: transposed convolutions that double the size, each followed by a 3x3 convolution."""

    num_classes: int = 10

    @nn.compact
    def __call__(self, x: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        for width in UP:
            x = ConvBlock(width)(nn.relu(TransposedUp(width)(x)), use_running_average=use_running_average)
        return Conv(self.num_classes, (1, 1))(x)


class Row(NamedTuple):
    """A network, its input and its twin in PyTorch.

    Attributes:
      network: module with 10 classes.
      size: height, width and channels of an image.
      batch: number of images.
      twin: function name and arguments in `torch_networks.py`.
      pixels: whether every pixel has a class.
    """

    network: nn.Module
    size: tuple[int, int, int]
    batch: int
    twin: tuple[Any, ...]
    pixels: bool = False

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images and labels that all variants get."""
        rng = np.random.default_rng(0)
        images = rng.random((self.batch, *self.size), np.float32)
        if not self.pixels:
            return images, rng.integers(0, 10, self.batch).astype(np.int32)
        shape = jax.eval_shape(self.network.init_with_output, jax.random.key(0), images)[0].shape
        return images, rng.integers(0, 10, shape[:-1]).astype(np.int32)

    def task(self) -> Any:
        return cnnlab.tasks.Segmentation() if self.pixels else cnnlab.tasks.Classification()

    def torch_network(self) -> Any:
        import torch_networks

        name, *arguments = self.twin
        return getattr(torch_networks, name)(*arguments)


Ways = Mapping[str, Callable[[Row], Callable[[], None]]]  # functions by name that build the call to time for a row


def _model(name: str, **options: Any) -> nn.Module:
    return cnnlab.create_model(name, num_classes=10, **options)


ROWS: dict[str, Row] = {
    "lenet5": Row(_model("lenet5"), (28, 28, 1), 128, ("lenet5",)),
    "keras_mnist": Row(_model("keras_mnist"), (28, 28, 1), 128, ("keras_mnist",)),
    "keras_vgg": Row(_model("keras_vgg"), (100, 100, 3), 32, ("keras_vgg",)),
    "separable": Row(Separable(), (64, 64, 3), 32, ("separable", SEPARABLE)),
    "dilated": Row(Dilated(), (64, 64, 3), 8, ("dilated", 32, DILATIONS), pixels=True),
    "transposed": Row(Transposed(), (16, 16, 128), 16, ("transposed", UP, 128), pixels=True),
    "unet": Row(_model("unet", width=16, up="transposed"), (256, 256, 3), 4, ("UNet", 16, 10), pixels=True),
    "resnet18": Row(_model("resnet18", stem="small"), (32, 32, 3), 128, ("resnet18",)),
    "googlenet": Row(_model("googlenet"), (224, 224, 3), 8, ("googlenet",)),
}
"""Networks by name, the quick ones first."""

LARGE = {"resnet50": Row(_model("resnet50", dtype=jnp.bfloat16), (224, 224, 3), 128, ("resnet50",))}
"""Networks for accelerators."""


def torch_ways(call: Callable[[Row, Any, Any], Callable[[], None]], *, compiled: bool) -> Ways:
    """Returns PyTorch eager, channels-last and, if asked for, `torch.compile`, each as `call(row, network, images)`."""
    import torch
    from torch_networks import DEVICE, synchronise

    def way(prepare: Callable[[Any], Any] = lambda network: network, **layout: Any) -> Callable[[Row], Callable]:
        def build(row: Row) -> Callable[[], None]:
            images = torch.tensor(row.data()[0]).permute(0, 3, 1, 2).contiguous().to(DEVICE, **layout)
            run = call(row, prepare(row.torch_network().to(DEVICE, **layout)), images)
            return lambda: (run(), synchronise())[1]

        return build

    ways = {"torch eager": way(), "torch channels-last": way(memory_format=torch.channels_last)}
    return ways | ({"torch.compile": way(torch.compile)} if compiled else {})
