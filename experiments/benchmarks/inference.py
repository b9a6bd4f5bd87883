"""The forward pass of nine networks: cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/inference.py [--json] [--networks lenet5 unet ...]

As `train_step.py`, dropout off, batch norm on its running averages, in PyTorch's inference mode.

Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, 2026-11-21, quiet, for all alike with large pages
(`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), `--rounds 3 --no-compiled`, ms of cnnlab, plain Flax, torch eager, torch
channels-last, the ratio, and the share of the matrix products' rate:

    lenet5           1.9   8.7    2.9    2.6   1.43   .34
    keras_mnist       24    19     24     23    .96   .77
    keras_vgg        145   192    143    102    .70   .56
    separable         52   668    164     69   1.33   .49
    dilated           25    55     22     20    .80   .74
    transposed        53    70     64     40    .76   .51
    unet             197   251    260    163    .83   .74
    resnet18         803  1169    848    910   1.05  1.06
    googlenet        141   249    318    173   1.23  1.02

On two cores of a newer EPYC (AVX-512), 2026-11-22, large pages, `--rounds 2 --no-memory --no-compiled`, likewise, times
scatter by a fifth:

    lenet5           1.5   6.4    3.6    3.8   2.38
    keras_mnist       14   9.6     15     19   1.09
    keras_vgg        110   138    117     59   .54
    separable         55   585     56     39   .72
    dilated           13    26     18     15   1.16
    transposed        49    54     43     31   .63
    unet             144   215    171    111   .77
    resnet18         488   743    575    490   1.00
    googlenet         99   177    313    108   1.09
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
