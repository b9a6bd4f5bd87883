"""One LeNet5 train step (28x28, batch 128, Adam): cnnlab beside plain Flax and PyTorch's three ways, in one run.

    pip install ".[peers]" && python experiments/benchmarks/train_step.py [--json] [--rounds 15]

Everyone trains the same network on the same images with the same optimizer. The variants take turns, round by round,
so that a noisy moment hits them all; each figure is the median of the rounds' medians, warm, compile time left out.
`ratio` is the best PyTorch time divided by cnnlab's: above 1, cnnlab is faster.

Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, 2026-11-21, quiet: cnnlab 5.0-5.1 ms, plain Flax
23-24, torch eager 5.9-6.0, channels-last 6.0-6.4, torch.compile 9.8-10.0: ratio 1.16-1.19 in four runs. A fifth, on a
machine just then busy, gave 8.8 against 7.5: .85; both cores must be free.
"""

import functools
from collections.abc import Callable
from typing import Annotated

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from timing import report, take_turns

import cnnlab
from cnnlab.training import create_optimizer, create_state, train_step

BATCH = 128
LEARNING_RATE = 1e-3


def data() -> tuple[np.ndarray, np.ndarray]:
    """The same images and labels for everyone."""
    rng = np.random.default_rng(0)
    return rng.random((BATCH, 28, 28, 1), np.float32), rng.integers(0, 10, BATCH).astype(np.int32)


def cnnlab_step() -> Callable[[], None]:
    """The package as it is: its step, its network, its compiler options."""
    return _jax_step(cnnlab.create_model("lenet5", num_classes=10), cnnlab.jit)


class PlainLeNet5(nn.Module):
    """LeNet5 as one would write it in Flax."""

    @nn.compact
    def __call__(self, x):
        x = nn.max_pool(nn.relu(nn.Conv(6, (5, 5), padding=2)(x)), (2, 2), (2, 2))
        x = nn.max_pool(nn.relu(nn.Conv(16, (5, 5), padding="VALID")(x)), (2, 2), (2, 2))
        x = x.reshape(len(x), -1)
        return nn.Dense(10)(nn.relu(nn.Dense(84)(nn.relu(nn.Dense(120)(x)))))


def flax_step() -> Callable[[], None]:
    """Plain Flax under plain `jax.jit`."""
    return _jax_step(PlainLeNet5(), jax.jit)


def _jax_step(network: nn.Module, compiler: Callable) -> Callable[[], None]:
    images, labels = data()
    batch = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
    optimizer = create_optimizer(cnnlab.Optimizer(learning_rate=LEARNING_RATE), 1000)
    task = cnnlab.tasks.Classification()
    step = functools.partial(train_step, network=network, task=task, optimizer=optimizer, key=jax.random.key(1))
    program = compiler(step, donate_argnums=0)
    state = create_state(network, optimizer, images, jax.random.key(0))

    def run() -> None:
        nonlocal state
        state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def torch_steps() -> dict[str, Callable[[], None]]:
    """PyTorch eager, channels-last and `torch.compile`."""
    import torch

    images, labels = data()
    x = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
    y = torch.tensor(labels, dtype=torch.int64)

    def network() -> torch.nn.Module:
        layers = torch.nn
        return layers.Sequential(
            layers.Conv2d(1, 6, 5, padding=2),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Conv2d(6, 16, 5),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Flatten(),
            layers.Linear(400, 120),
            layers.ReLU(),
            layers.Linear(120, 84),
            layers.ReLU(),
            layers.Linear(84, 10),
        )

    def step(model: torch.nn.Module, x: torch.Tensor) -> Callable[[], None]:
        optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

        return run

    last = torch.channels_last
    return {
        "torch eager": step(network(), x),
        "torch channels-last": step(network().to(memory_format=last), x.to(memory_format=last)),
        "torch.compile": step(torch.compile(network()), x),
    }


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 15,
    repeats: int = 20,
    peers: bool = True,
) -> dict:
    """Times all variants in turn and prints a table.

    Args:
        json_only: print one JSON object instead.
        rounds: turns of each variant.
        repeats: steps in a turn.
        peers: run PyTorch too.
    """
    variants = {"cnnlab": cnnlab_step(), "flax": flax_step()} | (torch_steps() if peers else {})
    times = take_turns(variants, rounds=rounds, repeats=repeats)
    return report("lenet5 train step, 28x28, batch 128", times, images=BATCH, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
