"""Reading strips: a train step with the CTC loss beside PyTorch's on the same network, and strips a second.

    pip install ".[peers]" && python experiments/benchmarks/sequence.py [--json] [--batch 64] [--width 208] [--record]

Both train the network `reader` on the same strips and strings with Adam; the variants run in turns. `ratio` is the time
of the fastest PyTorch divided by cnnlab's: above 1, cnnlab is faster. The second row is the time of `cnnlab.predict`,
which reads greedily and aligns the string, beside PyTorch's network with the most probable symbol of each frame alone;
`strips_per_second` is that of cnnlab. The goals are a ratio of 1 for the step, and 1,000 strips a second on two cores.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from timing import OFF, Options, print_rows, row, take_turns

import cnnlab
from cnnlab import nn as cnn
from cnnlab.models import create_model
from cnnlab.training import create_optimizer, create_state, train_step

SYMBOLS, LENGTH, RATE = 11, 10, 1e-3


def own_step(images: np.ndarray, text: np.ndarray) -> Callable[[], None]:
    """Returns a call of cnnlab's train step."""
    network, optimizer = create_model("reader", num_classes=SYMBOLS), create_optimizer(cnnlab.Optimizer(), 1000)
    state = create_state(network, optimizer, images[:1], jax.random.key(0))
    options = {"network": network, "task": cnnlab.tasks.Sequence(), "optimizer": optimizer, "key": jax.random.key(1)}
    program = cnnlab.jit(functools.partial(train_step, **options), donate_argnums=0)
    batch = {"image": jnp.asarray(images), "text": jnp.asarray(text)}

    def run() -> None:
        nonlocal state
        state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def own_reading(images: np.ndarray) -> Callable[[], None]:
    """Returns a call of `cnnlab.predict`."""
    network = create_model("reader", num_classes=SYMBOLS)
    variables = cnn.init(network, jnp.asarray(images[:1]), jax.random.key(0))
    spec = cnnlab.InputSpec(images.shape[1:3], classes=tuple("0123456789"))
    trained = cnnlab.Trained(variables, network, cnnlab.tasks.Sequence(), spec)
    return lambda: jax.block_until_ready(cnnlab.predict(trained, images)) and None


def torch_network():
    """Builds the network `reader` in PyTorch, with the same layers and numbers of parameters."""
    import torch
    from torch import nn

    def block(c: int, k: int, kernel: tuple[int, int], **options) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(c, k, kernel, bias=False, **options), nn.BatchNorm2d(k), nn.ReLU())

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            stages = [(1, 8, (2, 2)), (8, 32, (2, 2)), (32, 64, (2, 1))]
            layers = [(block(c, k, (3, 3), padding=1), nn.MaxPool2d(pool)) for c, k, pool in stages]
            self.stages = nn.Sequential(*(layer for pair in layers for layer in pair), block(64, 128, (3, 1)))
            self.dilated = nn.ModuleList(block(128, 128, (1, 3), padding=(0, d), dilation=(1, d)) for d in (1, 2))
            self.dropout, self.head = nn.Dropout(0.1), nn.Conv2d(128, SYMBOLS, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.dropout(self.stages(x))
            for layer in self.dilated:
                x = x + layer(x)
            return self.head(self.dropout(x))[:, :, 0].transpose(1, 2)

    return Reader()


def torch_calls(images: np.ndarray, text: np.ndarray) -> tuple[dict[str, Callable], dict[str, Callable]]:
    """Returns the calls of PyTorch's train step and prediction, eager and channels-last, if it is installed."""
    if not importlib.util.find_spec("torch"):
        return {}, {}
    import torch

    labels, lengths = torch.tensor(np.where(text < 0, 0, text)).long(), torch.tensor((text >= 0).sum(1))
    steps, readings = {}, {}
    for name, layout in (("torch", torch.contiguous_format), ("torch, channels last", torch.channels_last)):
        network = torch_network().to(memory_format=layout)
        x = torch.tensor(images.transpose(0, 3, 1, 2) / 255, dtype=torch.float32).contiguous(memory_format=layout)
        optimizer = torch.optim.Adam(network.parameters(), RATE)

        def step(network=network, x=x, optimizer=optimizer) -> None:
            network.train()
            optimizer.zero_grad(set_to_none=True)
            log_probs = network(x).log_softmax(-1).transpose(0, 1)
            frames = torch.full((len(x),), len(log_probs))
            loss = torch.nn.functional.ctc_loss(log_probs, labels, frames, lengths, blank=SYMBOLS - 1, reduction="none")
            loss.mean().backward()
            optimizer.step()

        def read(network=network, x=x) -> None:
            network.eval()
            with torch.inference_mode():
                network(x).softmax(-1).argmax(-1)

        steps[name], readings[name] = step, read
    return steps, readings


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    batch: int = 64,
    width: int = 208,
    rounds: int = 7,
    repeats: int = 5,
    recording: Options = OFF,
) -> dict:
    """Times both libraries in turns and prints a table or JSON.

    Args:
        json_only: print one JSON object only.
        batch: number of strips.
        width: width of the strips in pixels.
        rounds: turns of each variant.
        repeats: calls in a turn.
        recording: whether the results are stored.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (batch, 28, width, 1)).astype(np.uint8)
    text = rng.integers(0, SYMBOLS - 1, (batch, LENGTH)).astype(np.int32)
    text[np.arange(LENGTH) >= rng.integers(1, LENGTH + 1, (batch, 1))] = -1
    steps, readings = torch_calls(images, text)
    rows = []
    for name, variants in (
        ("reader, train step with CTC", {"cnnlab": own_step(images, text)} | steps),
        ("reader, greedy reading", {"cnnlab": own_reading(images)} | readings),
    ):
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        speed = {"strips_per_second": round(1000 * batch / times["cnnlab"])}
        rows.append(row(name, times, images=batch) | speed)
    return print_rows(rows, as_json=json_only, title="strings", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
