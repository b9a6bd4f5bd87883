"""Feature visualisation: cnnlab beside Lucent.

    pip install ".[peers]" && pip install --no-deps torch-lucent==0.1.8 kornia==0.4.1
    python experiments/benchmarks/features.py [--json] [--units 64] [--side 64] [--record]

Both libraries visualise all 64 units of the last of four convolutions with the same weights, one image a unit, as Fourier
coefficients with decorrelated colours, through random shifts, magnifications and rotations. Lucent gets all units in one
batch, which is faster than one by one, and computes no gradients of the weights.

The first row is the time of a few steps on one thread, warm. The second row is the time of all 128 steps on all cores,
cold: a new process, without stored programs, with compilation. Each library runs in its own process. `ratio` is Lucent's
time divided by cnnlab's: above 1, cnnlab is faster.

Without Lucent there are only cnnlab's times. Lucent imports IPython and torchvision; where they are missing, a stand-in
takes their place, because nothing here calls them.
"""

import contextlib
import importlib.util
import json
import os
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import flax.linen as nn
import jax
import numpy as np
import tyro
from timing import OFF, Options, print_rows, process, row

import cnnlab
from cnnlab.features import visualise

sys.path.append(str(Path(__file__).parents[2] / "tests" / "peers"))  # torchvision_stub.py is there

FEATURES = (32, 32, 64, 64)
LAYER = f"conv{len(FEATURES)}"

Call = Callable[[int], None]
"""A function that takes so many steps."""


class Small(nn.Module):
    """Four 3x3 convolutions with ReLU, and a max pooling after the second one."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, features in enumerate(FEATURES, 1):
            x = cnnlab.nn.Conv(features, (3, 3), padding="SAME", name=f"conv{i}")(x)
            if i < len(FEATURES):
                x = nn.relu(x)
            if i == 2:
                x = cnnlab.nn.max_pool(x, (2, 2), strides=(2, 2))
        return x.mean((1, 2))


def trained_network(side: int) -> cnnlab.Trained:
    """Returns cnnlab's network with random weights."""
    variables = jax.jit(Small().init)(jax.random.key(0), np.zeros((1, side, side, 3), np.float32))
    spec = cnnlab.InputSpec((side, side), 3, classes=tuple(map(str, range(FEATURES[-1]))))
    return cnnlab.Trained(variables, Small(), cnnlab.tasks.Classification(), spec)


def torch_network(side: int):
    """Returns the same network with the same weights in PyTorch."""
    import torch

    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for i, (inputs, outputs) in enumerate(zip((3, *FEATURES), FEATURES, strict=False), 1):
                self.add_module(f"conv{i}", torch.nn.Conv2d(inputs, outputs, 3, padding=1))

        def forward(self, x):
            for i in range(1, len(FEATURES) + 1):
                x = getattr(self, f"conv{i}")(x)
                if i < len(FEATURES):
                    x = torch.nn.functional.relu(x)
                if i == 2:
                    x = torch.nn.functional.max_pool2d(x, 2)
            return x.mean((2, 3))

    twin = Twin().eval().requires_grad_(False)
    for name, arrays in trained_network(side).variables["params"].items():
        layer = getattr(twin, name)
        layer.weight.copy_(torch.tensor(np.asarray(arrays["kernel"]).transpose(3, 2, 0, 1).copy()))
        layer.bias.copy_(torch.tensor(np.asarray(arrays["bias"])))
    return twin


def cnnlab_call(units: int, side: int) -> Call:
    """Returns a function that runs cnnlab."""
    trained = trained_network(side)
    return lambda steps: visualise(trained, layer=LAYER, units=range(units), steps=steps) and None


def lucent_call(units: int, side: int) -> Call:
    """Returns a function that runs Lucent with all units in one batch."""
    from torchvision_stub import stubbed_torchvision

    for name in ("IPython", "IPython.display"):
        if importlib.util.find_spec("IPython") is None:
            sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["IPython"].display = sys.modules["IPython.display"]
    with stubbed_torchvision():
        from lucent.optvis import objectives, param, render
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = torch_network(side).to("cuda" if torch.cuda.is_available() else "cpu")
    objective = objectives.Objective.sum([objectives.channel(LAYER, i, batch=i) for i in range(units)])
    options = {"preprocess": False, "progress": False, "show_image": False, "fixed_image_size": side}

    def run(steps: int) -> None:
        render.render_vis(network, objective, lambda: param.image(side, batch=units), thresholds=(steps,), **options)

    return run


LIBRARIES = {"cnnlab": cnnlab_call, "lucent": lucent_call}


def serve(library: str, units: int, side: int, threads: int | None) -> None:
    """Takes as many steps as each line of standard input says, and prints the milliseconds."""
    if threads is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # before a library starts its threads
    jax.config.update("jax_enable_compilation_cache", False)
    call = LIBRARIES[library](units, side)
    for line in sys.stdin:
        started = time.perf_counter()
        call(int(line))
        print(json.dumps({"ms": 1000 * (time.perf_counter() - started)}), flush=True)


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    units: int = FEATURES[-1],
    side: int = 64,
    steps: int = 128,
    warm_steps: int = 4,
    rounds: int = 3,
    peers: bool = True,
    alone: str | None = None,
    threads: int | None = None,
    recording: Options = OFF,
) -> dict | None:
    """Times the visualisation of a layer and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        units: number of units.
        side: height and width of the images in pixels.
        steps: steps of the cold run.
        warm_steps: steps of a warm run.
        rounds: warm runs of each library.
        peers: run Lucent too, where it is installed.
        alone: run this library as each line of standard input says, and print the times.
        threads: number of cores of `alone`; by default all.
        recording: whether the results are stored.
    """
    if alone is not None:
        return serve(alone, units, side, threads)
    names = [name for name in LIBRARIES if name == "cnnlab" or (peers and importlib.util.find_spec(name))]
    sizes = ("--units", str(units), "--side", str(side))
    with contextlib.ExitStack() as stack:
        ask = {}
        for name in names:
            options = (*sizes, "--alone", name, "--threads", "1")
            ask[name] = stack.enter_context(process(__file__, *options, name=f"{name} on one thread"))
            ask[name](warm_steps)
        times = [{name: call(warm_steps)["ms"] for name, call in ask.items()} for _ in range(rounds)]
    warm = {name: statistics.median(turn[name] for turn in times) for name in names}
    cold = {}
    for name in names:
        with process(__file__, *sizes, "--alone", name, name=f"{name}, cold") as call:
            cold[name] = call(steps)["ms"]
    what = f"{units} units at {side}x{side}"
    rows = [
        row(f"{what}, {warm_steps} steps, one thread, warm", warm, images=units),
        row(f"{what}, {steps} steps, cold", cold, images=units),
    ]
    return print_rows(rows, as_json=json_only, title="features", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
