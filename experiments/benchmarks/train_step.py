"""One train step (Adam) of nine networks: cnnlab beside plain Flax and PyTorch's three ways.

    pip install ".[peers]" && python experiments/benchmarks/train_step.py [--json] [--networks lenet5 ...] [--record]

All variants train the same network on the same images with the same optimizer, each in its own process. They run in
turns, round by round, so that a noisy moment affects all of them. Each time is the median of the rounds' medians;
compile time is reported separately. `ratio` is the time of the fastest PyTorch divided by cnnlab's: above 1, cnnlab is
faster. `matrix_share` is the rate of cnnlab's multiply-adds (three times those of the forward pass) divided by that of
a product of two 2048² matrices. `GLIBC_TUNABLES=glibc.malloc.hugetlb=1` gives all variants large pages.

On a CPU cnnlab is faster than plain Flax for all networks and faster than PyTorch for some of them. It is slower where
3x3 convolutions have few channels at full size. There no other way to compute the convolution is faster within the
whole network: products of shifted images, windows, blocks of a row, strips or parts of the batch, Winograd, and
multiply-adds written out for the processor's vectors. XLA's options for its libraries and schedulers do not help
either.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from networks import Row, Ways, torch_ways
from timing import OFF, Comparison, Options, compare

import cnnlab
from cnnlab.kernels import dispatch
from cnnlab.training import create_optimizer, create_state, train_step

LEARNING_RATE = 1e-3


def cnnlab_step(row: Row) -> Callable[[], None]:
    """Returns a call of cnnlab's own train step, with its network and compiler options."""
    return calls(*train_program(row, cnnlab.jit))


def flax_step(row: Row) -> Callable[[], None]:
    """Returns a call of a step of plain Flax under plain `jax.jit`."""

    def as_defined(step: Callable, **options: Any) -> Callable:
        def plain(*arguments: Any) -> Any:
            with dispatch.as_defined():
                return step(*arguments)

        return jax.jit(plain, **options)

    return calls(*train_program(row, as_defined))


def train_program(row: Row, compiler: Callable) -> tuple[Callable, Any, dict[str, jax.Array]]:
    """Returns a compiled train step, its state and its batch; the step donates the state's memory."""
    images, labels = row.data()
    batch = {"image": jnp.asarray(images), "mask" if row.pixels else "label": jnp.asarray(labels)}
    optimizer = create_optimizer(cnnlab.Optimizer(learning_rate=LEARNING_RATE), 1000)
    step = functools.partial(
        train_step, network=row.network, task=row.task(), optimizer=optimizer, key=jax.random.key(1)
    )
    state = create_state(row.network, optimizer, images[:1], jax.random.key(0))
    return compiler(step, donate_argnums=0), state, batch


def calls(program: Callable, state: Any, batch: dict[str, jax.Array]) -> Callable[[], None]:
    """Returns a call that takes one step and waits for it."""

    def run() -> None:
        nonlocal state
        state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def torch_steps(*, compiled: bool) -> Ways:
    """Returns the calls of PyTorch eager, channels-last and `torch.compile`."""
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


def main(options: tyro.conf.OmitArgPrefixes[Comparison], recording: Options = OFF) -> dict:
    """Times all variants of every network in turns and prints a table or JSON."""
    own = {"cnnlab": cnnlab_step, "flax": flax_step}
    return compare(__file__, own, torch_steps, options, passes=3, title="train step", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
