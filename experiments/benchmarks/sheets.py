"""MC-Dropout over a whole sheet: seconds and peak memory of cnnlab in windows and of PyTorch on the whole image.

    pip install ".[peers]" && python experiments/benchmarks/sheets.py [--json] [--height 3000] [--width 6288] [--record]

The network halves and doubles the size twice, with a skip at each size and spatial dropout at the smallest, and has two
classes. Each variant runs in its own process, so that its peak memory is its own. Compilation counts, and so does
cnnlab's writing of all maps and polygons. The PyTorch loop runs the whole network once for each pass on the whole image
and keeps running sums of the probabilities and their squares. `ratio` is its time divided by cnnlab's.

cnnlab needs a fraction of the loop's memory.
"""

import importlib.util
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, NamedTuple

import numpy as np
import tyro
from timing import OFF, Options, print_rows, row

import cnnlab
from cnnlab.sheets import predict_sheet


class Work(NamedTuple):
    """Sheet, passes and network of the comparison; sizes are in pixels."""

    height: int
    width: int
    samples: int
    features: int
    tile: int


def sheet(work: Work) -> np.ndarray:
    """Draws dark strokes on noisy paper, `[H, W, 1]` uint8."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(180, 256, (work.height, work.width, 1), np.uint8)
    pixels[::40] = pixels[:, ::60] = 30
    return pixels


def by_windows(work: Work) -> None:
    """Predicts the sheet in windows with cnnlab, and writes maps and polygons."""
    import jax

    network = cnnlab.create_model("encoder_decoder", num_classes=2, features=work.features)
    spec = cnnlab.InputSpec((256, 256), classes=("paper", "stroke"))
    variables = jax.jit(network.init)(jax.random.key(0), np.zeros((1, 64, 64, 1), np.float32))
    trained = cnnlab.Trained(variables, network, cnnlab.tasks.Segmentation(), spec)
    with tempfile.TemporaryDirectory() as folder:
        predict_sheet(trained, sheet(work), folder, tile=work.tile, mc_samples=work.samples, smallest=50)


def torch_whole(work: Work) -> None:
    """Predicts the whole image by the loop that users of PyTorch write."""
    import torch
    from torch import nn

    def block(inputs: int, outputs: int) -> nn.Sequential:
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs).eval(), nn.ReLU(inplace=True))

    class Network(nn.Module):
        def __init__(self, n: int):
            super().__init__()
            self.down1, self.down2, self.bottom = block(1, n), block(n, 2 * n), block(2 * n, 4 * n)
            self.drop = nn.Dropout2d(0.1)  # stays in training mode, unlike the normalisations
            self.up2, self.up1, self.head = block(6 * n, 2 * n), block(3 * n, n), nn.Conv2d(n, 2, 1)
            self.pool, self.twice = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)

        def forward(self, x):
            full = self.down1(x)
            half = self.down2(self.pool(full))
            x = self.drop(self.bottom(self.pool(half)))
            x = self.up2(torch.cat([self.twice(x), half], 1))
            return self.head(self.up1(torch.cat([self.twice(x), full], 1)))

    network = Network(work.features)
    x = torch.from_numpy(sheet(work)[..., 0].astype(np.float32) / 255)[None, None]
    x = nn.functional.pad(x, (0, -work.width % 4, 0, -work.height % 4), mode="replicate")
    total = squares = 0
    with torch.inference_mode():
        for _ in range(work.samples):
            probs = torch.softmax(network(x), 1)
            total, squares = total + probs, squares + probs**2
        mean = total / work.samples
        _ = squares / work.samples - mean**2


def measure(run: Callable[[Work], None], work: Work) -> tuple[float, float]:
    """Runs a variant and returns its seconds and the peak memory of the process in MB."""
    started = time.perf_counter()
    run(work)
    seconds = time.perf_counter() - started
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    height: int = 3000,
    width: int = 6288,
    samples: int = 30,
    features: int = 16,
    tile: int = 512,
    peers: bool = True,
    recording: Options = OFF,
) -> dict:
    """Measures both libraries and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        height: height of the sheet in pixels.
        width: width of the sheet in pixels.
        samples: number of MC-Dropout passes.
        features: channels of the network at full size.
        tile: height and width of cnnlab's windows in pixels.
        peers: measure PyTorch too, where it is installed.
        recording: whether the results are stored.
    """
    work = Work(height, width, samples, features, tile)
    variants = {"cnnlab": by_windows}
    if peers and importlib.util.find_spec("torch"):
        variants["torch, whole image"] = torch_whole
    costs = {}
    for name, run in variants.items():
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            costs[name] = pool.submit(measure, run, work).result()
    times = {name: 1000 * seconds for name, (seconds, _) in costs.items()}
    fields = row(f"{height}x{width}, {samples} passes", times, images=1)
    fields["peak_mb"] = {name: round(peak) for name, (_, peak) in costs.items()}
    if not json_only:
        print("peak memory: " + ", ".join(f"{name} {peak:,} MB" for name, peak in fields["peak_mb"].items()))
    return print_rows([fields], as_json=json_only, title="sheet", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
