"""One train step (Adam) of nine networks: cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/train_step.py [--json] [--networks lenet5 unet ...]

Everyone trains the same network on the same images with the same optimizer, each way in a process of its own. They take
turns, round by round, so that a noisy moment hits them all; each figure is the median of the rounds' medians, warm,
compile time left out and told apart. `ratio` is the best PyTorch time divided by cnnlab's: above 1, cnnlab is faster.
`matrix_share` is the rate of cnnlab's multiply-adds (three times those of the forward pass) over that of a product of
two 2048² matrices.

Measured on two cores of an AMD EPYC (AVX-512), jax 0.10.2, torch 2.13.0, 2026-11-23, for all alike with large pages
(`GLIBC_TUNABLES=glibc.malloc.hugetlb=1`), `--rounds 3 --no-compiled`, ms of cnnlab, plain Flax, torch eager, torch
channels-last, the ratio, the share of the matrix products' rate, and peak MB above the imports of cnnlab and of torch
channels-last. Times scatter by a fifth there from run to run, some by more: in the next one `transposed` took 102 ms, a
ratio of .75, and `separable` 142, .80.

    lenet5          4.4     14    5.5    6.2  1.25   .16    251   111
    keras_mnist      55    179     62     60  1.10   .36    291   237
    keras_vgg       223    808    276    220   .99   .40    608   527
    separable       139   1290    155    106   .76   .20    801   510
    dilated          54     71     46     37   .67   .37    267   242
    transposed      147    357    103     75   .51   .20    473   362
    unet            364    752    368    274   .75   .43   1401   716
    resnet18       1268   2693   1951   1615  1.27   .73   2276  1090
    googlenet       286    824    464    320  1.12   .55   2366   657

On two cores of an Intel Xeon (2.6 GHz, AVX-512, AMX) the same day, likewise:

    lenet5          5.6     19    6.8    6.6  1.18   .20    212   116
    keras_mnist      74    207     77     73   .98   .43    268   245
    keras_vgg       286   1150    330    269   .94   .49    650   536
    separable       204   1988    226    154   .75   .21    824   417
    dilated          82    154     56     55   .67   .39    276   237
    transposed      151    686    132    101   .67   .31    511   372
    unet            572   1486    492    396   .69   .44   1396   710
    resnet18       1895   4387   2086   2010  1.06   .78   2257  1073
    googlenet       484   1076    609    422   .87   .51   2238   644

`torch.compile` was the best of PyTorch for U-Net alone on 2026-11-21, by a twentieth, and took more than six minutes
for GoogLeNet.

What is left is in 3x3 kernels of 16 to 32 channels at full size: 4x256x256x16 to 16 takes 10 ms where torch takes 4,
its kernel's gradient 18 where torch takes 5. Products of shifted images, of windows, of blocks of a row, of strips and
of parts of the batch, Winograd, and the four orders of a product's operands, are no faster than the direct one. Written
out in multiply-adds with vectors of 16 floats (`ops/unrolled.py`), in six passes over the image, it takes two thirds of
the time alone and as long as before within U-Net, where each pass finds the cache emptied; so does its kernel's
gradient, added up by blocks of pixels. Of U-Net's 400 ms, profiled, convolutions' own kernels take half, products 55,
batch norm's sums 43, turning images for kernels' gradients 40. XLA's options for XNNPACK and oneDNN change nothing: the
wheel has their products, not their convolutions. Nor do its schedulers; without its newer emitters of fusions the step
takes a twentieth longer, with fusions of several outputs almost twice the time.
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
from cnnlab.kernels import dispatch
from cnnlab.training import create_optimizer, create_state, train_step

LEARNING_RATE = 1e-3


def cnnlab_step(row: Row) -> Callable[[], None]:
    """The package as it is: its step, its network, its compiler options."""
    return calls(*train_program(row, cnnlab.jit))


def flax_step(row: Row) -> Callable[[], None]:
    """Plain Flax under plain `jax.jit`."""

    def as_defined(step: Callable, **options: Any) -> Callable:
        def plain(*arguments: Any) -> Any:
            with dispatch.as_defined():
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
        labels = torch.tensor(row.data()[1], dtype=torch.int64, device=images.device)
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
