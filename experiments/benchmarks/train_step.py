"""One train step (Adam) of nine networks: cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/train_step.py [--json] [--networks lenet5 unet ...]

Everyone trains the same network on the same images with the same optimizer. The variants take turns, round by round,
so that a noisy moment hits them all; each figure is the median of the rounds' medians, warm, compile time left out and
told apart. `ratio` is the best PyTorch time divided by cnnlab's: above 1, cnnlab is faster. `matrix_share` is the rate
of cnnlab's multiply-adds (three times those of the forward pass) over that of a product of two 2048² matrices.

Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, 2026-11-21, quiet, for all alike with large pages
(`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), `--rounds 2 --no-compiled`, ms of cnnlab, plain Flax, torch eager, torch
channels-last, the ratio, and the share of the matrix products' rate:

    lenet5          10.2    23     11     11   1.08   .19
    keras_mnist       96   220    100     98   1.02   .57
    keras_vgg        431  1093    404    359    .83   .56
    separable        232  2290    293    202    .87   .32
    dilated           97   135     94     77    .79   .57
    transposed       177   451    161    126    .71   .45
    unet             720  1514    665    581    .81   .60
    resnet18        3863  5885   2974   2642    .68   .65
    googlenet        682  1216    789    531    .78   .62

On two cores of a newer EPYC (AVX-512), 2026-11-22, large pages, `--rounds 2 --no-memory --no-compiled`, ms of cnnlab,
plain Flax, torch eager, channels-last, and the ratio, in brackets that of a run before; times scatter by a fifth there:

    lenet5           6.0    28    9.0    9.3   1.49
    keras_mnist       59   188     90     85   1.43
    keras_vgg        377  1100    316    313   .83 (1.02)
    separable        200  2426    228    156   .78 (.63)
    dilated           94    93     67     55   .59
    transposed       174   454    132    103   .59
    unet             597  1075    524    407   .68
    resnet18        2210  4521   2050   2134   .93 (.90)
    googlenet        630  1085    596    432   .69

Before the gradients of kernels stood apart (`forms.apart`) and Winograd took groups of images, ResNet-18 took 2,307 ms
there, a ratio of .59. `torch.compile` was then the best of PyTorch for U-Net alone (314 ms of 331), and takes more than
six minutes for GoogLeNet.

What is left is in the gradients of 3x3 kernels of 16 to 32 channels at full size: 4x256x256x16 to 16 takes 18 ms where
torch takes 5. Products of shifted images, of windows, of blocks of a row, of strips and of parts of the batch, and the
four orders of a product's operands, are no faster than the direct one.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from networks import Row, Ways, torch_ways
from timing import Comparison, compare

import cnnlab
from cnnlab.ops import lowering
from cnnlab.training import create_optimizer, create_state, train_step

LEARNING_RATE = 1e-3


def cnnlab_step(row: Row) -> Callable[[], None]:
    """The package as it is: its step, its network, its compiler options."""
    return calls(*train_program(row, cnnlab.jit))


def flax_step(row: Row) -> Callable[[], None]:
    """Plain Flax under plain `jax.jit`."""

    def as_defined(step: Callable, **options: Any) -> Callable:
        def plain(*arguments: Any) -> Any:
            with lowering.as_defined():
                return step(*arguments)

        return jax.jit(plain, **options)

    return calls(*train_program(row, as_defined))


def train_program(row: Row, compiler: Callable) -> tuple[Callable, Any, dict[str, jax.Array]]:
    """The step, to be called with the state and the batch that are returned with it; it takes the state's memory."""
    images, labels = row.data()
    batch = {"image": jnp.asarray(images), "mask" if row.pixels else "label": jnp.asarray(labels)}
    optimizer = create_optimizer(cnnlab.Optimizer(learning_rate=LEARNING_RATE), 1000)
    step = functools.partial(
        train_step, network=row.network, task=row.task(), optimizer=optimizer, key=jax.random.key(1)
    )
    state = create_state(row.network, optimizer, images[:1], jax.random.key(0))
    return compiler(step, donate_argnums=0), state, batch


def calls(program: Callable, state: Any, batch: dict[str, jax.Array]) -> Callable[[], None]:
    """One step a call, waited for."""

    def run() -> None:
        nonlocal state
        state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def torch_steps(*, compiled: bool) -> Ways:
    """PyTorch eager, channels-last and `torch.compile`."""
    import torch

    def step(row: Row, network: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
        labels = torch.tensor(row.data()[1], dtype=torch.int64)
        optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()

        return run

    return torch_ways(step, compiled=compiled)


def main(options: tyro.conf.OmitArgPrefixes[Comparison]) -> dict:
    """Times all variants of every network in turn and prints a table."""
    return compare(__file__, {"cnnlab": cnnlab_step, "flax": flax_step}, torch_steps, options, passes=3)


if __name__ == "__main__":
    tyro.cli(main)
