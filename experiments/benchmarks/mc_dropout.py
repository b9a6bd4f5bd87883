"""MC-Dropout with 50 passes: cnnlab beside the loop that users of PyTorch write.

    pip install ".[peers]" && python experiments/benchmarks/mc_dropout.py [--json] [--rounds 7] [--record]

There is one row for each network, with a batch of 128 images of 28x28: LeNet5 and the lecture's first Keras network
with dropout in the head alone, the Keras network with spatial dropout after its last convolution, and LeNet5 with
spatial dropout after each convolution, so that a convolution follows the dropout. `passes` is cnnlab's time in
multiples of one of its own deterministic passes. `ratio` is the time of the fastest peer divided by cnnlab's. The first
peer is a loop that runs the whole network 50 times with its dropout on and keeps running sums of the probabilities and
their squares. The others are baal and torch-uncertainty where they are installed, as they come; both repeat the batch
50 times in memory.

Where no convolution follows the dropout, 50 passes of cnnlab cost about as much as one or two single passes. Where one
follows, they cost many, but fewer than a loop over the whole network.

torch-uncertainty imports torchvision, whose wheel is built for CUDA. Beside a CPU build of PyTorch, install it by
`pip install --no-deps torchvision==0.28.0`. baal requires Jupyter and is not in the extra. Install it by `pip install
--no-deps baal==2.1.0`, then `pip install "structlog<23" h5py`.
"""

import contextlib
import importlib.util
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from timing import OFF, Options, print_rows, row, take_turns

import cnnlab

BATCH, PASSES = 128, 50
NETWORKS = {
    "LeNet5, head": ("lenet5", {"dropout": 0.5}),
    "Keras network, head": ("keras_mnist", {"conv_dropout": 0.0}),
    "Keras network, spatial dropout": ("keras_mnist", {"spatial": True}),
    "LeNet5, spatial dropout": ("lenet5", {"spatial_dropout": 0.25}),
}


def images(batch: int = BATCH) -> np.ndarray:
    """Returns the images that all variants get."""
    return np.random.default_rng(0).random((batch, 28, 28, 1), np.float32)


def cnnlab_calls(
    model: str, options: dict, *, batch: int = BATCH, passes: int = PASSES
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Returns a call of many passes and a call of one pass without dropout."""
    network, x = cnnlab.create_model(model, num_classes=10, **options), jnp.asarray(images(batch))
    spec = cnnlab.InputSpec((28, 28), classes=tuple("0123456789"))
    variables = network.init(jax.random.key(0), x)
    trained = cnnlab.Trained(variables, network, cnnlab.tasks.Classification(), spec)
    key = jax.random.key(1)
    return (
        lambda: jax.block_until_ready(cnnlab.mc_predict(trained, x, key=key, num_samples=passes)),
        lambda: jax.block_until_ready(cnnlab.predict(trained, x)),
    )


def torch_network(model: str, options: dict) -> Any:
    """Returns the same network in PyTorch."""
    from torch import nn

    if model == "lenet5":
        maps, units = nn.Dropout2d(options.get("spatial_dropout", 0.0)), nn.Dropout(options.get("dropout", 0.0))
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), maps),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), maps, nn.Flatten()),
            *(nn.Linear(400, 120), nn.ReLU(), units),
            *(nn.Linear(120, 84), nn.ReLU(), units, nn.Linear(84, 10)),
        )
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *([nn.Dropout2d(0.25)] if options.get("spatial") else []),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )


def torch_calls(
    model: str, options: dict, *, batch: int = BATCH, passes: int = PASSES
) -> dict[str, Callable[[], None]]:
    """Returns the calls of the loop over the whole network and of the libraries that are installed."""
    import torch
    from torch_networks import DEVICE, synchronise

    def build() -> torch.nn.Module:
        return torch_network(model, options).to(DEVICE)

    network = build()
    x = torch.tensor(images(batch)).permute(0, 3, 1, 2).contiguous().to(DEVICE)

    def loop() -> None:
        network.train()  # these networks have no batch norm, so this switches dropout alone
        total = squares = 0
        for _ in range(passes):
            probs = torch.softmax(network(x), -1)
            total, squares = total + probs, squares + probs**2
        mean = total / passes
        _ = squares / passes - mean**2

    def of_samples(sample: Callable[[], Any], axis: int) -> Callable[[], None]:
        def run() -> None:
            probs = torch.softmax(sample(), 1 if axis else -1)
            _ = probs.mean(axis), probs.var(axis, correction=0)

        return run

    calls = {"torch loop": loop}
    _import_torchvision()
    with contextlib.suppress(ImportError):
        from baal.bayesian.dropout import patch_module
        from baal.modelwrapper import ModelWrapper, TrainingArgs

        wrapper = ModelWrapper(patch_module(build().eval(), inplace=False), TrainingArgs())
        calls["baal"] = of_samples(lambda: wrapper.predict_on_batch(x, passes), 2)
    with contextlib.suppress(ImportError):
        from torch_uncertainty.methods import mc_dropout

        sampler = mc_dropout(build(), num_estimators=passes).eval()
        calls["torch-uncertainty"] = of_samples(lambda: sampler(x).reshape(passes, batch, -1), 0)
    each = {name: torch.inference_mode()(call) for name, call in calls.items()}
    return {name: lambda call=call: (call(), synchronise())[1] for name, call in each.items()}


def _import_torchvision() -> None:
    """Imports torchvision; one built for another PyTorch needs two operators, which are declared and never called."""
    import torch

    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 7,
    repeats: int = 3,
    peers: bool = True,
    recording: Options = OFF,
) -> dict:
    """Times every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        rounds: turns of every variant.
        repeats: calls in a turn.
        peers: time PyTorch and the two libraries too, where they are installed.
        recording: whether the results are stored.
    """
    rows = []
    for name, (model, options) in NETWORKS.items():
        many, once = cnnlab_calls(model, options)
        variants = {"cnnlab": many, "one pass": once}
        if peers and importlib.util.find_spec("torch"):
            variants |= torch_calls(model, options)
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        passes = round(times["cnnlab"] / times["one pass"], 2)
        rows.append(row(name, times, images=BATCH, own=("cnnlab", "one pass")) | {"passes": passes})
    return print_rows(rows, as_json=json_only, title=f"MC-Dropout, {PASSES} passes", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
