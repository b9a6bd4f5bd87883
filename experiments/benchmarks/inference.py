"""The forward pass of nine networks: cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/inference.py [--json] [--networks lenet5 unet ...]

As `train_step.py`, dropout off, batch norm on its running averages, in PyTorch's inference mode.

Measured where, when and with the options that `train_step.py` was, in its columns; `googlenet` alone took 66 ms right
after, a ratio of 1.16, and 69, 1.21, before:

    lenet5          1.2    4.9    2.4    2.5  1.98   .20    269    22
    keras_mnist      12    8.4     12     14  1.01   .57    305    66
    keras_vgg        44    100    113     52  1.18   .70    498   177
    separable        22    324     49     26  1.22   .44    456   173
    dilated          11     39     19    9.6   .85   .62    230    88
    transposed       22     37     35     23  1.03   .46    404   125
    unet             80    118    137     88  1.11   .69    911   277
    resnet18        240    540    490    449  1.87  1.34   1013   313
    googlenet       110    170    236     91   .82   .49   1639   161

On the Intel Xeon:

    lenet5          2.0    6.0    3.0    2.7  1.38   .20    271    28
    keras_mnist      17     13     19     16   .92   .66    245    73
    keras_vgg        74    156    115     69   .94   .66    449   203
    separable        34    395     77     52  1.52   .45    453   118
    dilated          17     47     14     24   .82   .65    220    86
    transposed       37     54     43     31   .83   .45    376   168
    unet            132    214    183    118   .89   .67    908   269
    resnet18        449    824    613    607  1.35  1.15   1001   278
    googlenet       124    173    261    132  1.07   .70   1618   159
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from networks import Row, Ways, torch_ways
from timing import Comparison, compare

import cnnlab
from cnnlab.kernels import dispatch


def cnnlab_pass(row: Row) -> Callable[[], None]:
    """The package's predict."""
    images, variables = _inputs(row)
    spec = cnnlab.InputSpec(row.size[:2], channels=row.size[2], classes=tuple("0123456789"))
    trained = cnnlab.Trained(variables, row.network, row.task(), spec)
    return lambda: jax.block_until_ready(cnnlab.predict(trained, images))


def flax_pass(row: Row) -> Callable[[], None]:
    """Plain Flax under plain `jax.jit`."""
    images, variables = _inputs(row)

    @jax.jit
    def plain(variables: Any, images: jax.Array) -> jax.Array:
        with dispatch.as_defined():
            return jax.nn.softmax(row.network.apply(variables, images))

    return lambda: jax.block_until_ready(plain(variables, images))


def _inputs(row: Row) -> tuple[jax.Array, Any]:
    images = jnp.asarray(row.data()[0])
    return images, row.network.init(jax.random.key(0), images[:1])


def torch_passes(*, compiled: bool) -> Ways:
    """PyTorch eager, channels-last and `torch.compile`."""
    import torch

    def once(_: Row, network: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
        network.eval()
        return torch.inference_mode()(lambda: (torch.softmax(network(images), 1), None)[1])

    return torch_ways(once, compiled=compiled)


def main(options: tyro.conf.OmitArgPrefixes[Comparison]) -> dict:
    """Times all variants of every network in turn and prints a table."""
    return compare(__file__, {"cnnlab": cnnlab_pass, "flax": flax_pass}, torch_passes, options, passes=1)


if __name__ == "__main__":
    tyro.cli(main)
