"""U-Net: one train step, and an image in windows under MC-Dropout; cnnlab beside PyTorch in one run.

    pip install ".[peers]" && nice python experiments/benchmarks/unet.py [--json] [--widths 16 32] [--compiled]

Four poolings, batch norm, maps dropped after the bottleneck and on the way up, two classes; RGB noise, float32. The
step: Adam on cross-entropy, 256x256 pixels, batch 4. The windows: 1024x1024 pixels in windows of 512, 10 passes each;
PyTorch takes the windows that cnnlab plans and keeps mean and variance where a window counts. cnnlab also blends the
windows, and writes maps of mean, variance, entropy and mutual information, a mask and polygons.
The variants take turns, round by round; each figure is the median of the rounds' medians, warm, compile time left out.
`ratio` is the best PyTorch time divided by cnnlab's: above 1, cnnlab is faster.

Measured on two quiet cores of an AMD EPYC (AVX-512), jax 0.10.2, torch 2.13.0, 2026-11-22, large pages for all,
`--widths 16 --rounds 3 --sheet-rounds 1`, of cnnlab, torch eager and channels-last: the step 404, 518, 316 ms (ratio
.78), the windows 8.1, 11.9, 7.0 s (.86). On an older EPYC, 2026-11-21: 872, 687, 533 ms (.61), 13.9, 20.8, 15.6 s
(1.12). On two cores of an Intel Xeon (2.6 GHz, AVX-512), 2026-11-23, `--widths 16 32` and the rest likewise: width 16
689, 470, 376 ms (.55), 8.9, 14.6, 10.6 s (1.19); width 32 1419, 1641, 1600 ms (1.13), 26.9, 53.1, 39.1 s (1.45).
"""

import functools
import importlib.util
import tempfile
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import Variants, print_rows, row, take_turns

import cnnlab
from cnnlab.sheets import plan_sheet, predict_sheet
from cnnlab.training import create_optimizer, create_state, train_step

LEARNING_RATE, DROPOUT = 1e-3, 0.1
SPEC = cnnlab.InputSpec((256, 256), channels=3, classes=("ground", "building"))


def network(width: int, depth: int):
    """cnnlab's U-Net."""
    return cnnlab.create_model("unet", num_classes=2, width=width, depth=depth, spatial_dropout=DROPOUT)


def examples(batch: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The same images in [0, 1] and masks for everyone."""
    rng = np.random.default_rng(0)
    return rng.random((batch, side, side, 3), np.float32), rng.integers(0, 2, (batch, side, side)).astype(np.int32)


def cnnlab_step(width: int, depth: int, images: np.ndarray, masks: np.ndarray) -> Callable[[], None]:
    """The package's train step."""
    batch = {"image": jax.device_put(images), "mask": jax.device_put(masks)}
    optimizer, net = create_optimizer(cnnlab.Optimizer(learning_rate=LEARNING_RATE), 1000), network(width, depth)
    options = {"network": net, "task": cnnlab.tasks.Segmentation(), "optimizer": optimizer, "key": jax.random.key(1)}
    program = cnnlab.jit(functools.partial(train_step, **options), donate_argnums=0)
    state = create_state(net, optimizer, images[:1], jax.random.key(0))

    def run() -> None:
        nonlocal state
        state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def untrained(width: int, depth: int) -> cnnlab.Trained:
    """cnnlab's network with its first weights."""
    net = network(width, depth)
    variables = jax.jit(net.init)(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    return cnnlab.Trained(variables, net, cnnlab.tasks.Segmentation(), SPEC)


def cnnlab_windows(trained: cnnlab.Trained, image: np.ndarray, tile: int, passes: int) -> Callable[[], None]:
    """A sheet as the package predicts it, into files."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            predict_sheet(trained, image, folder, tile=tile, mc_samples=passes, smallest=50)

    return run


def torch_network(width: int, depth: int):
    """The same network in PyTorch."""
    from torch_networks import UNet

    return UNet(width, 2, depth, DROPOUT)


def torch_variants(make: Callable, width: int, depth: int, images: np.ndarray, *, compiled: bool) -> Variants:
    """What `make` makes of network and images `[B, C, H, W]`: eager, channels-last and, if asked for, compiled."""
    import torch

    x = torch.tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    last = torch.channels_last
    variants = {
        "torch eager": make(torch_network(width, depth), x),
        "torch channels-last": make(torch_network(width, depth).to(memory_format=last), x.to(memory_format=last)),
    }
    return variants | ({"torch.compile": make(torch.compile(torch_network(width, depth)), x)} if compiled else {})


def torch_step(model, x, *, masks: np.ndarray) -> Callable[[], None]:
    """PyTorch's train step."""
    import torch

    y, optimizer = torch.tensor(masks, dtype=torch.int64), torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return run


def torch_windows(model, x, *, rows, columns, passes: int) -> Callable[[], None]:
    """The loop that PyTorch's users write: window by window, pass by pass."""
    import torch

    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.train()

    @torch.inference_mode()
    def run() -> None:
        mean, variance = torch.zeros(2, 2, *x.shape[2:])
        for i, top in enumerate(rows.starts):
            for j, left in enumerate(columns.starts):
                (a, b), (c, d) = rows.used(i), columns.used(j)
                window, total, squares = x[:, :, top : top + rows.tile, left : left + columns.tile], 0, 0
                for _ in range(passes):
                    probs = torch.softmax(model(window), 1)[0, :, a - top : b - top, c - left : d - left]
                    total, squares = total + probs, squares + probs**2
                mean[:, a:b, c:d] = total / passes
                variance[:, a:b, c:d] = squares / passes - (total / passes) ** 2

    return run


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    widths: tuple[int, ...] = (16, 32),
    depth: int = 4,
    batch: int = 4,
    size: int = 256,
    sheet: int = 1024,
    tile: int = 512,
    passes: int = 10,
    rounds: int = 5,
    repeats: int = 3,
    sheet_rounds: int = 3,
    compiled: bool = False,
    peers: bool = True,
) -> dict:
    """Times all variants in turn and prints a table of two rows a width.

    Args:
        json_only: print one JSON object instead.
        widths: channels of the first block, one network each.
        depth: poolings.
        batch: images of a train step.
        size: their height and width in pixels.
        sheet: height and width of the image that is cut into windows.
        tile: height and width of these.
        passes: with dropout on.
        rounds: turns of each variant at train steps.
        repeats: steps in a turn.
        sheet_rounds: turns of each variant at the windows, which are predicted once in each.
        compiled: run `torch.compile` too.
        peers: run PyTorch, where it is installed.
    """
    images, masks = examples(batch, size)
    image = (255 * examples(1, sheet)[0]).astype(np.uint8)
    peers = peers and importlib.util.find_spec("torch") is not None
    told = []
    for width in widths:
        trained = untrained(width, depth)
        rows, columns = plan_sheet(trained, (sheet, sheet), tile=tile, sampled=True)
        steps = {"cnnlab": cnnlab_step(width, depth, images, masks)}
        windows = {"cnnlab": cnnlab_windows(trained, image[0], tile, passes)}
        if peers:
            step = functools.partial(torch_step, masks=masks)
            loop = functools.partial(torch_windows, rows=rows, columns=columns, passes=passes)
            steps |= torch_variants(step, width, depth, images, compiled=compiled)
            windows |= torch_variants(loop, width, depth, image / np.float32(255), compiled=compiled)
        times = take_turns(steps, rounds=rounds, repeats=repeats)
        told.append(row(f"U-Net {width}, train step, {size}x{size}, batch {batch}", times, images=batch))
        times = take_turns(windows, rounds=sheet_rounds, repeats=1, warm=1)
        number = len(rows.starts) * len(columns.starts)
        name = f"U-Net {width}, {sheet}x{sheet} in {number} windows of {rows.tile}x{columns.tile}, {passes} passes"
        told.append(row(name, times, images=1))
    return print_rows(told, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
