"""MC-Dropout, 50 passes: cnnlab beside the loop that PyTorch's users write, in one run.

    pip install ".[peers]" && python experiments/benchmarks/mc_dropout.py [--json] [--rounds 7]

One row a network, batch 128 at 28x28: LeNet5 and the lecture's Keras network with dropout in the head alone, the Keras
network with spatial dropout after its last convolution, and LeNet5 with it after each, so that a convolution follows.
`passes` is cnnlab's time in multiples of one of its own deterministic passes, `ratio` the fastest peer's time divided
by cnnlab's. The peers: a loop that runs the whole network 50 times with its dropout on and keeps running sums of the
probabilities and their squares; baal and torch-uncertainty, where they are installed, as they come (both repeat the
batch 50 times in memory).
Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, 2026-11-21, in three runs: LeNet5 3.5-5.9 ms (1.5-2.0
passes), ratio 37-39; Keras network 25-31 ms (1.1-1.2), 37-46; with spatial dropout 33-57 ms (1.6-2.2), 22-31; there
baal 2.1.0 took 3,016 ms and torch-uncertainty 0.13.0 2,868 where cnnlab took 37 (of the Keras network with dropout in
the head 2,232 and 2,276 where it took 28). On 2026-11-22 in a fourth run, large pages, `--rounds 2`: 1.6, 1.2 and 1.5
passes, ratios 32, 40 and 32; LeNet5 with spatial dropout after each convolution 125 ms, 32.5 passes, ratio 1.94. In a
fifth, on two cores of a newer EPYC (AVX-512): 3.3, 17, 30 and 77 ms, 1.5, 1.0, 1.9 and 28.9 passes, ratios 39, 50, 31
and 2.7; baal took 383, 2,548, 2,950 and 219, torch-uncertainty 188, 2,313, 2,131 and 206. In a seventh, there, with
large pages kept: 3.8, 16, 21 and 40 ms, 2.9 (twenty times longer: 2.1), 1.2, 1.6 and 28.5 passes, ratios 25, 38, 30 and
2.3. In an eighth, there, 2026-11-23, `--rounds 4`, passes at a time by the patches of convolutions too: 3.1, 13, 22 and
30 ms, 2.4, 1.0, 1.5 and 24 passes, ratios 33, 50, 35 and 4.0; with two chunk sizes beside each other in one run, the
last takes 25 ms instead of 42. Memory rises by 26 to 42 MB above what the process held before. An image of LeNet5 is
416,520 multiply-adds, 10,920 of them behind its first dropout: 50 passes have 2.3 times the work of one, and their
matrix products alone take .44 ms where one pass takes 1.0.

torch-uncertainty imports torchvision, whose wheel is built for CUDA: beside a CPU build of PyTorch, install it by
`pip install --no-deps torchvision==0.28.0`. baal asks for Jupyter, and is not in the extra: `pip install --no-deps
baal==2.1.0`, then `pip install "structlog<23" h5py`.
"""

import contextlib
import importlib.util
from collections.abc import Callable
from typing import Annotated, Any

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
    "LeNet5, spatial dropout": ("lenet5", {"spatial_dropout": 0.25}),
}


def images(batch: int = BATCH) -> np.ndarray:
    """The same for everyone."""
    return np.random.default_rng(0).random((batch, 28, 28, 1), np.float32)


def cnnlab_calls(
    model: str, options: dict, *, batch: int = BATCH, passes: int = PASSES
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Many passes, and one without dropout."""
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
    """The same network in PyTorch."""
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
    """The loop over the whole network, and the libraries that are installed, each as it comes."""
    import torch
    from torch_networks import DEVICE, synchronise

    def made() -> torch.nn.Module:
        return torch_network(model, options).to(DEVICE)

    network = made()
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

        wrapper = ModelWrapper(patch_module(made().eval(), inplace=False), TrainingArgs())
        calls["baal"] = of_samples(lambda: wrapper.predict_on_batch(x, passes), 2)
    with contextlib.suppress(ImportError):
        from torch_uncertainty.methods import mc_dropout

        sampler = mc_dropout(made(), num_estimators=passes).eval()
        calls["torch-uncertainty"] = of_samples(lambda: sampler(x).reshape(passes, batch, -1), 0)
    each = {name: torch.inference_mode()(call) for name, call in calls.items()}
    return {name: lambda call=call: (call(), synchronise())[1] for name, call in each.items()}


def _import_torchvision() -> None:
    """One that was built for another PyTorch asks for two operators, which are never called here: they are declared."""
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
) -> dict:
    """Times every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        rounds: turns of every variant.
        repeats: calls in a turn.
        peers: time PyTorch too, and the two libraries, where they are installed.
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
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
