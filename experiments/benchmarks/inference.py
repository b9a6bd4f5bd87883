"""The forward pass of nine networks: cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/inference.py [--json] [--networks lenet5 unet ...]

As `train_step.py`, dropout off, batch norm on its running averages, in PyTorch's inference mode.

Measured where, when and with the options that `train_step.py` was, in its columns:

    lenet5          1.2    4.1    2.1    2.8  1.67   .27    266    22
    keras_mnist      12    8.1     13     14  1.09   .77    246    60
    keras_vgg        57    105    102     53   .93   .72    453   177
    separable        28    356     61     37  1.31   .46    460   117
    dilated          14     53     19     16  1.12   .66    231    91
    transposed       33     80     41     23   .71   .42    395   178
    unet             99    157    189     96   .96   .75    924   309
    resnet18        325    645    613    461  1.42  1.34   1046   300
    googlenet        86    151    267     93  1.08   .85   1599   145
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from networks import Row, Ways, torch_ways
from timing import Comparison, compare

import cnnlab
from cnnlab.ops import lowering


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
        with lowering.as_defined():
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
