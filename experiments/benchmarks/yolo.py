"""Frames a second of the detectors, from a photo's pixels to its boxes: cnnlab beside PyTorch, one photo at a time.

    pip install ".[peers]" && python experiments/benchmarks/yolo.py [--json] [--network yolo] [--compile] [--record]

`yolo` is the paper's network (24 convolutions, 448 pixels, 7 x 7 cells), and `yolo_small` is one for small data (416
pixels, 13 x 13 cells). Both have two boxes a cell and 20 classes. All variants have the same random weights, start from
uint8 pixels in NumPy and end with boxes in NumPy: forward pass, decoding and suppression. The score threshold lets 20
boxes pass, about as many as a photo with some objects has, and PyTorch's loop gets only these. Before the timing the
logits must agree. The paper's network takes 1.1 GB, and three copies are in memory. `ratio` is the time of the fastest
PyTorch divided by cnnlab's: above 1, cnnlab is faster.

All cores must be free. Beside other work PyTorch's threads wait for each other, and the ratio means nothing. On free
cores both libraries are about as fast.
"""

import copy
import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import OFF, Options, print_rows, row, take_turns

import cnnlab
from cnnlab.trained import logits, outputs

SIZES = {"yolo": 448, "yolo_small": 416}
CANDIDATES = 20  # boxes above the score threshold
CLASSES = tuple(f"class{i}" for i in range(20))


def make(name: str, size: int, images: np.ndarray, **options) -> cnnlab.Trained:
    """Returns a detector with random weights and a score threshold that `CANDIDATES` of its boxes pass."""
    spec = cnnlab.InputSpec((size, size), 3, classes=CLASSES)
    task = cnnlab.tasks.Detection(image_size=(size, size))
    network = cnnlab.create_model(name, num_classes=task.head(spec), **options)
    variables = cnnlab.nn.init(network, images.astype(np.float32), jax.random.key(0))
    cells = cnnlab.jit(outputs)(cnnlab.Trained(variables, network, task, spec), images)
    scores = np.sort((cells["score"] * cells["probs"].max(-1)[..., None]).ravel())
    task = cnnlab.tasks.Detection(
        image_size=(size, size), score_threshold=float(scores[-CANDIDATES - 1 : -CANDIDATES + 1].mean())
    )
    return cnnlab.Trained(variables, network, task, spec)


def peers(trained: cnnlab.Trained, images: np.ndarray, *, compiled: bool) -> dict[str, Callable[[], None]]:
    """Returns PyTorch eager, channels-last and, if asked for, `torch.compile`, on the device that JAX uses.

    Raises:
      ValueError: the twin's logits differ.
    """
    import torch
    from torch_yolo import detector, twin

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    network, task, last = twin(trained.network, trained.variables, trained.spec.size), trained.task, torch.channels_last
    with torch.inference_mode():
        theirs = network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).numpy()
    with jax.default_matmul_precision("highest"):  # on a GPU, TF32 would differ by more
        ours = np.asarray(cnnlab.jit(logits)(trained, images))
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    if not difference < 1e-3:
        raise ValueError(f"the logits of the two networks differ by {difference:.1e} of the largest")
    network = network.to(device)
    reordered = copy.deepcopy(network).to(memory_format=last)
    ways = {
        "torch eager": detector(network, task, device=device),
        "torch channels-last": detector(reordered, task, device=device, layout=last),
    }
    if compiled:
        ways["torch.compile"] = detector(torch.compile(reordered), task, device=device, layout=last)
    return {name: lambda way=way: way(images) and None for name, way in ways.items()}


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    network: tuple[str, ...] = ("yolo", "yolo_small"),
    rounds: int = 5,
    repeats: int = 5,
    size: int | None = None,
    compile: bool = False,
    recording: Options = OFF,
) -> dict:
    """Times all variants in turns and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        network: names of the networks.
        rounds: turns of each variant.
        repeats: photos in a turn.
        size: height and width of the photo in pixels, in place of the network's own.
        compile: time `torch.compile` too, which takes a minute to compile.
        recording: whether the results are stored.
    """
    rows = []
    for name in network:
        side = size or SIZES[name]
        images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
        trained = make(name, side, images)
        variants = {
            "cnnlab": lambda trained=trained, images=images: jax.device_get(cnnlab.predict(trained, images)) and None
        }
        if importlib.util.find_spec("torch"):
            variants |= peers(trained, images, compiled=compile)
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        rows.append(row(f"{name}, {side}x{side}, boxes included", times, images=1))
        rows[-1]["frames_per_second"] = {way: round(1000 / value, 2) for way, value in times.items()}
    return print_rows(rows, as_json=json_only, recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
