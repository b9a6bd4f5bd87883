"""U-Net: one train step, and an image in windows under MC-Dropout; cnnlab beside PyTorch.

    pip install ".[peers]" && nice python experiments/benchmarks/unet.py [--json] [--widths 16 32] [--record]

The network has four poolings, batch norm, spatial dropout after the bottleneck and on the way up, and two classes. Its
input is RGB noise in float32. The step is one of Adam on the cross-entropy, with 4 images of 256x256 pixels. The image
of 1024x1024 pixels is predicted in windows of 512 with 10 passes each. PyTorch takes the windows that cnnlab plans, and
keeps mean and variance of the part of each window that counts. cnnlab also blends the windows, and writes maps of mean,
variance, entropy and mutual information, a mask and polygons.

The variants run in turns, round by round. Each time is the median of the rounds' medians, without compilation. `ratio`
is the time of the fastest PyTorch divided by cnnlab's: above 1, cnnlab is faster.

On a CPU cnnlab is faster with 32 channels, and slower at the train step with 16.
"""

import functools
import importlib.util
import tempfile
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import OFF, Options, Variants, print_rows, row, take_turns

import cnnlab
from cnnlab.sheets import plan_sheet, predict_sheet
from cnnlab.training import create_optimizer, create_state, train_step

LEARNING_RATE, DROPOUT = 1e-3, 0.1
SPEC = cnnlab.InputSpec((256, 256), channels=3, classes=("ground", "building"))


def network(width: int, depth: int):
    """Returns cnnlab's U-Net."""
    return cnnlab.create_model(
        "unet", num_classes=2, width=width, depth=depth, spatial_dropout=DROPOUT, up="transposed"
    )


def examples(batch: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images in [0, 1] and masks that all variants get."""
    rng = np.random.default_rng(0)
    return rng.random((batch, side, side, 3), np.float32), rng.integers(0, 2, (batch, side, side)).astype(np.int32)


def cnnlab_step(width: int, depth: int, images: np.ndarray, masks: np.ndarray) -> Callable[[], None]:
    """Returns a call of cnnlab's train step."""
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
    """Returns cnnlab's network with its initial weights."""
    net = network(width, depth)
    variables = jax.jit(net.init)(jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    return cnnlab.Trained(variables, net, cnnlab.tasks.Segmentation(), SPEC)


def cnnlab_windows(trained: cnnlab.Trained, image: np.ndarray, tile: int, passes: int) -> Callable[[], None]:
    """Returns a call that predicts a sheet with cnnlab and writes its files."""

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            predict_sheet(trained, image, folder, tile=tile, mc_samples=passes, smallest=50)

    return run


def torch_network(width: int, depth: int):
    """Returns the same network in PyTorch."""
    from torch_networks import UNet

    return UNet(width, 2, depth, DROPOUT)


def torch_variants(make: Callable, width: int, depth: int, images: np.ndarray, *, compiled: bool) -> Variants:
    """Builds a call by `make(network, images)` for PyTorch eager, channels-last and, if asked for, compiled.

    It runs on a GPU if PyTorch has one.
    """
    import torch
    from torch_networks import DEVICE, synchronise

    x = torch.tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(DEVICE)
    last, build = torch.channels_last, lambda: torch_network(width, depth).to(DEVICE)
    variants = {
        "torch eager": make(build(), x),
        "torch channels-last": make(build().to(memory_format=last), x.to(memory_format=last)),
    }
    variants |= {"torch.compile": make(torch.compile(build()), x)} if compiled else {}
    return {name: lambda call=call: (call(), synchronise())[1] for name, call in variants.items()}


def torch_step(model, x, *, masks: np.ndarray) -> Callable[[], None]:
    """Returns a call of PyTorch's train step."""
    import torch

    y = torch.tensor(masks, dtype=torch.int64, device=x.device)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return run


def torch_windows(model, x, *, rows, columns, passes: int) -> Callable[[], None]:
    """Returns the loop that users of PyTorch write: window by window, pass by pass."""
    import torch

    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout2d):
            module.train()

    @torch.inference_mode()
    def run() -> None:
        mean, variance = torch.zeros(2, 2, *x.shape[2:], device=x.device)
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
    recording: Options = OFF,
) -> dict:
    """Times all variants in turns and prints a table with two rows for each width.

    Args:
        json_only: print one JSON object.
        widths: channels of the first block, one network for each.
        depth: number of poolings.
        batch: images of a train step.
        size: height and width of these images in pixels.
        sheet: height and width of the image that is cut into windows, in pixels.
        tile: height and width of the windows in pixels.
        passes: number of MC-Dropout passes.
        rounds: turns of each variant of the train step.
        repeats: steps in a turn.
        sheet_rounds: turns of each variant of the windows, with one prediction in each turn.
        compiled: run `torch.compile` too.
        peers: run PyTorch, where it is installed.
        recording: whether the results are stored.
    """
    images, masks = examples(batch, size)
    image = (255 * examples(1, sheet)[0]).astype(np.uint8)
    peers = peers and importlib.util.find_spec("torch") is not None
    table = []
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
        table.append(row(f"U-Net {width}, train step, {size}x{size}, batch {batch}", times, images=batch))
        times = take_turns(windows, rounds=sheet_rounds, repeats=1, warm=1)
        number = len(rows.starts) * len(columns.starts)
        name = f"U-Net {width}, {sheet}x{sheet} in {number} windows of {rows.tile}x{columns.tile}, {passes} passes"
        table.append(row(name, times, images=1))
    return print_rows(table, as_json=json_only, recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
