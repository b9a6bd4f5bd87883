"""MC-Dropout, 50 passes: cnnlab beside the loop that PyTorch's users write, in one run.

    pip install ".[peers]" && python experiments/benchmarks/mc_dropout.py [--json] [--rounds 7]

One row a network, batch 128 at 28x28: LeNet5 and the lecture's Keras network with dropout in the head alone, and the
Keras network with spatial dropout after its convolutions. `passes` is cnnlab's time in multiples of one of its own
deterministic passes, `ratio` the PyTorch loop's time divided by cnnlab's. The loop runs the whole network 50 times with
its dropout on and keeps running sums of the probabilities and their squares.
Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, 2026-11-21, quiet: LeNet5 3.5 ms (1.5 passes), ratio 37;
Keras network 24.7 ms (1.2), 37; with spatial dropout 190 ms (9.4), 4.9.
"""

import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from timing import print_rows, row, take_turns

import cnnlab

BATCH, PASSES = 128, 50
NETWORKS = {
    "LeNet5, head": ("lenet5", {"dropout": 0.5}),
    "Keras network, head": ("keras_mnist", {"conv_dropout": 0.0}),
    "Keras network, spatial dropout": ("keras_mnist", {"spatial": True}),
}


def images() -> np.ndarray:
    """The same for everyone."""
    return np.random.default_rng(0).random((BATCH, 28, 28, 1), np.float32)


def cnnlab_calls(model: str, options: dict) -> tuple[Callable[[], None], Callable[[], None]]:
    """50 passes, and one without dropout."""
    network, x = cnnlab.create_model(model, num_classes=10, **options), jnp.asarray(images())
    spec = cnnlab.InputSpec((28, 28), classes=tuple("0123456789"))
    variables = network.init(jax.random.key(0), x)
    trained = cnnlab.Trained(variables, network, cnnlab.tasks.Classification(), spec)
    key = jax.random.key(1)
    return (
        lambda: jax.block_until_ready(cnnlab.mc_predict(trained, x, key=key, num_samples=PASSES)),
        lambda: jax.block_until_ready(cnnlab.predict(trained, x)),
    )


def torch_loop(model: str, options: dict) -> Callable[[], None]:
    """The whole network, 50 times."""
    import torch

    layers = torch.nn
    if model == "lenet5":
        network = layers.Sequential(
            *(layers.Conv2d(1, 6, 5, padding=2), layers.ReLU(), layers.MaxPool2d(2)),
            *(layers.Conv2d(6, 16, 5), layers.ReLU(), layers.MaxPool2d(2), layers.Flatten()),
            *(layers.Linear(400, 120), layers.ReLU(), layers.Dropout(0.5)),
            *(layers.Linear(120, 84), layers.ReLU(), layers.Dropout(0.5), layers.Linear(84, 10)),
        )
    else:
        network = layers.Sequential(
            *(layers.Conv2d(1, 32, 3), layers.ReLU(), layers.Conv2d(32, 64, 3), layers.ReLU(), layers.MaxPool2d(2)),
            *([layers.Dropout2d(0.25)] if options.get("spatial") else []),
            *(layers.Flatten(), layers.Linear(9216, 128), layers.ReLU(), layers.Dropout(0.5), layers.Linear(128, 10)),
        )
    x = torch.tensor(images()).permute(0, 3, 1, 2).contiguous()

    def run() -> None:
        network.train()  # these networks have no batch norm, so this switches dropout alone
        total = squares = 0
        with torch.inference_mode():
            for _ in range(PASSES):
                probs = torch.softmax(network(x), -1)
                total, squares = total + probs, squares + probs**2
            mean = total / PASSES
            _ = squares / PASSES - mean**2

    return run


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 7,
    repeats: int = 3,
    peers: bool = True,
) -> dict:
    """Times every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        rounds: turns of every variant.
        repeats: calls in a turn.
        peers: time PyTorch too, where it is installed.
    """
    rows = []
    for name, (model, options) in NETWORKS.items():
        many, once = cnnlab_calls(model, options)
        variants = {"cnnlab": many, "one pass": once}
        if peers and importlib.util.find_spec("torch"):
            variants["torch loop"] = torch_loop(model, options)
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        passes = round(times["cnnlab"] / times["one pass"], 2)
        rows.append(row(name, times, images=BATCH, own=("cnnlab", "one pass")) | {"passes": passes})
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
