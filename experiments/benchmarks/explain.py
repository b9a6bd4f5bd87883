"""Maps of explanations: cnnlab beside captum and pytorch-grad-cam, and the time of a verdict.

    pip install ".[peers]" && python experiments/benchmarks/explain.py [--json] [--methods grad_cam ...] [--record]

There is one row for each method and network: LeNet5 with 64 images of 28x28, and ResNet-18 with 16 images of 224x224.
All libraries explain the same classes by the same architecture, whose weights are random. They run in turns, round by
round, each in its own process, because the threads of one would slow down another. The first calls, which compile, do
not count. `ratio` is the time of the peer divided by cnnlab's: above 1, cnnlab is faster. captum covers one window at a
time by default; a second row lets it cover several. It integrates as many steps at a time as it covers windows there,
because all at once need too much memory at 224x224.

The last row is the time of eight methods with all scores of the verdict, for 16 images of 28x28. No peer has them all.

Peers that are not installed are left out. pytorch-grad-cam imports torchvision, whose wheel is built for CUDA; where it
is missing, a stand-in takes its place.
"""

import contextlib
import importlib.util
import json
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import tyro
from timing import OFF, Options, median_ms, print_rows, process, row, take_turns

import cnnlab
from cnnlab.explain import METHODS, SCORES, explain

sys.path.append(str(Path(__file__).parents[2] / "tests" / "peers"))  # torchvision_stub.py is there


class Case(NamedTuple):
    """A network and its images.

    Attributes:
      model: name of the network in cnnlab.
      twin: name of its twin in `torch_networks.py`, and its arguments.
      layer: place of the twin's layer whose class activation maps are computed: cnnlab's default layer.
      shape: height, width and channels of an image.
      batch: number of images.
      steps: steps of integrated gradients.
      window: side of the covered window; two of them overlap by half.
      together: windows that captum covers at a time in its second row.
    """

    model: str
    twin: tuple[Any, ...]
    layer: int
    shape: tuple[int, int, int]
    batch: int
    steps: int
    window: int
    together: int


CASES = {
    "LeNet5": Case("lenet5", ("lenet5",), 3, (28, 28, 1), 64, 50, 4, 16),
    "ResNet-18": Case("resnet18", ("resnet18", "photo"), -3, (224, 224, 3), 16, 20, 64, 4),
}
CAPTUM = {
    "saliency": "Saliency",
    "input_x_gradient": "InputXGradient",
    "integrated_gradients": "IntegratedGradients",
    "guided_backpropagation": "GuidedBackprop",
    "deconvolution": "Deconvolution",
    "occlusion": "Occlusion",
}
GRAD_CAM = {
    "grad_cam": "GradCAM",
    "hires_cam": "HiResCAM",
    "grad_cam_plus_plus": "GradCAMPlusPlus",
    "layer_cam": "LayerCAM",
    "eigen_cam": "EigenCAM",
}
"""Names of cnnlab's methods in the two libraries."""
TOGETHER = "occlusion, several windows"
"""Name of the second row of occlusion."""
JUDGED = (*GRAD_CAM, "saliency", "input_x_gradient", "guided_backpropagation")
"""Methods whose maps are judged."""


def images_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and classes that all variants get."""
    rng = np.random.default_rng(0)
    return rng.random((case.batch, *case.shape), np.float32), rng.integers(0, 10, case.batch)


def trained_network(case: Case) -> cnnlab.Trained:
    """Returns cnnlab's network with random weights."""
    network = cnnlab.create_model(case.model, num_classes=10)
    spec = cnnlab.InputSpec(case.shape[:2], case.shape[2], classes=tuple("0123456789"))
    variables = jax.jit(network.init)(jax.random.key(0), np.zeros((1, *case.shape), np.float32))
    return cnnlab.Trained(variables, network, cnnlab.tasks.Classification(), spec)


def cnnlab_calls(case: Case) -> dict[str, Callable[[], None]]:
    """Returns a call of each method."""
    images, classes = images_of(case)
    images, trained = jax.device_put(images), trained_network(case)
    options = {"integrated_gradients": {"steps": case.steps}}
    options["occlusion"] = {"window": case.window, "stride": case.window // 2}

    def call(name: str) -> Callable[[], None]:
        extra = options.get(name, {})
        return lambda: jax.block_until_ready(METHODS[name].explain(trained, images, classes, **extra))

    return {name: call(name) for name in (*CAPTUM, *GRAD_CAM)} | {TOGETHER: call("occlusion")}


def captum_calls(case: Case) -> dict[str, Callable[[], None]]:
    """Returns a call of each of captum's methods."""
    import captum.attr
    import torch

    network, images, classes = _torch_case(case)
    channels = case.shape[-1]
    window, stride = (channels, case.window, case.window), (channels, case.window // 2, case.window // 2)
    covering = {"sliding_window_shapes": window, "strides": stride, "baselines": 0}
    options = {"occlusion": covering, TOGETHER: covering | {"perturbations_per_eval": case.together}}
    options["integrated_gradients"] = {"n_steps": case.steps, "internal_batch_size": case.together * case.batch}

    def call(name: str, peer: str) -> Callable[[], None]:
        method, extra = getattr(captum.attr, peer)(network), options.get(name, {})
        context = torch.inference_mode() if peer == "Occlusion" else torch.enable_grad()
        return context(lambda: method.attribute(images, target=classes, **extra))

    return {name: call(name, peer) for name, peer in (CAPTUM | {TOGETHER: "Occlusion"}).items()}


def grad_cam_calls(case: Case) -> dict[str, Callable[[], None]]:
    """Returns a call of each of pytorch-grad-cam's methods."""
    from torchvision_stub import stubbed_torchvision

    with stubbed_torchvision():
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    def call(peer: str) -> Callable[[], None]:
        network, images, classes = _torch_case(case)  # its own network, because an object keeps hooks in it
        method = getattr(pytorch_grad_cam, peer)(network, target_layers=[network[case.layer]])
        chosen = [ClassifierOutputTarget(k) for k in classes]
        return lambda: method(input_tensor=images, targets=chosen)

    return {name: call(peer) for name, peer in GRAD_CAM.items()}


def _torch_case(case: Case) -> tuple[Any, Any, Any]:
    import torch
    import torch_networks

    name, *arguments = case.twin
    images, classes = images_of(case)
    network = getattr(torch_networks, name)(*arguments).eval().to(torch_networks.DEVICE)
    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(torch_networks.DEVICE)
    return network, images, torch.tensor(classes).to(torch_networks.DEVICE)


LIBRARIES = {"cnnlab": cnnlab_calls, "captum": captum_calls, "pytorch-grad-cam": grad_cam_calls}
"""Functions of a case that return a call of each method, by library."""
METHODS_OF = {"cnnlab": (*CAPTUM, TOGETHER, *GRAD_CAM), "captum": (*CAPTUM, TOGETHER), "pytorch-grad-cam": (*GRAD_CAM,)}


def serve(calls: Mapping[str, Callable[[], None]]) -> None:
    """Runs a method as often as each line of standard input says, and prints the time of a call."""
    for line in sys.stdin:
        name, repeats = json.loads(line)
        print(json.dumps({"ms": median_ms(calls[name], repeats)}), flush=True)


def compare_methods(
    network: str, methods: Sequence[str], libraries: Sequence[str], *, rounds: int, seconds: float, batch: int
) -> Iterator[dict]:
    """Yields a row for each method, with the times of the libraries that have it."""
    with contextlib.ExitStack() as stack:
        ask = {}
        for library in libraries:
            options = ("--networks", network, "--batch", str(batch), "--alone", library)
            ask[library] = stack.enter_context(process(__file__, *options, name=f"{library} of {network}"))
        for name in methods:
            turns = {each: turn_of(call, name, seconds) for each, call in ask.items() if name in METHODS_OF[each]}
            times = [{each: turn() for each, turn in turns.items()} for _ in range(rounds)]
            medians = {each: statistics.median(turn[each] for turn in times) for each in turns}
            yield row(f"{name.replace('_', ' ')}, {network}", medians, images=batch)


def turn_of(ask: Callable[[str], dict], name: str, seconds: float) -> Callable[[], float]:
    """Returns a function that measures the milliseconds of a call over some seconds; the first call compiles."""
    ask(json.dumps([name, 1]))
    repeats = max(1, round(1000 * seconds / ask(json.dumps([name, 1]))["ms"]))
    return lambda: ask(json.dumps([name, repeats]))["ms"]


def verdict_call(case: Case, methods: tuple[str, ...], scores: tuple[str, ...]) -> Callable[[], None]:
    """Returns a call that explains images by each method, and judges the maps by all scores."""
    images, classes = images_of(case)
    images, trained = jax.device_put(images), trained_network(case)

    def run() -> None:
        for name in methods:
            jax.block_until_ready(explain(name, trained, images, classes, verdict=scores))

    return run


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    networks: tuple[str, ...] = tuple(CASES),
    methods: tuple[str, ...] = METHODS_OF["cnnlab"],
    scores: tuple[str, ...] = tuple(SCORES),
    rounds: int = 5,
    seconds: float = 0.5,
    batch: int | None = None,
    peers: bool = True,
    alone: str | None = None,
    recording: Options = OFF,
) -> dict | None:
    """Times every method on every network and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        networks: networks that are explained.
        methods: methods that are compared.
        scores: scores of the verdict; none for no verdict.
        rounds: turns of each variant.
        seconds: length of a turn.
        batch: number of images; by default 64 and 16.
        peers: run captum and pytorch-grad-cam too, where they are installed.
        alone: run this library as each line of standard input says, and print the times.
        recording: whether the results are stored.
    """
    warnings.filterwarnings(
        "ignore", category=UserWarning
    )  # maps of random networks may be zero; captum names its hooks
    cases = {name: CASES[name]._replace(batch=batch or CASES[name].batch) for name in networks}
    if alone is not None:
        return serve(LIBRARIES[alone](cases[networks[0]]))
    packages = {"captum": "captum", "pytorch-grad-cam": "pytorch_grad_cam"}
    installed = [name for name, package in packages.items() if peers and importlib.util.find_spec(package)]
    rows = []
    for network, case in cases.items():
        libraries, options = ("cnnlab", *installed), {"rounds": rounds, "seconds": seconds, "batch": case.batch}
        for each in compare_methods(network, methods, libraries, **options):
            rows.append(each)
            print(f"{each['name']}: {each['ms']} {each['ratio']}", file=sys.stderr, flush=True)
    if scores:
        case = CASES["LeNet5"]._replace(batch=batch or 16)
        judged = tuple(name for name in JUDGED if name in methods)
        times = take_turns({"cnnlab": verdict_call(case, judged, scores)}, rounds=rounds, repeats=1)
        name = f"verdict, {len(judged)} methods and {len(scores)} scores, LeNet5"
        own = row(name, times, images=len(judged) * case.batch)
        rows.append(own | {"skipped": "no peer has all scores"})
    return print_rows(rows, as_json=json_only, title="explain", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
