"""Layer by layer: forward pass, gradient of the image and gradient of the kernel, each beside PyTorch's own three.

    pip install ".[peers]" && python experiments/benchmarks/layers.py [--json] [--layers "3x3, 32 to 64"]

`flax` is the direct convolution under plain `jax.jit`; PyTorch's is the faster of its two memory layouts. `ratio` is
PyTorch's time divided by cnnlab's: above 1, cnnlab is faster.

Measured on two cores of an AMD EPYC, jax 0.10.2, torch 2.13.0, large pages, 2026-11-21, `--rounds 2`, ms of cnnlab /
torch and their ratio: forward, gradient of the image, gradient of the kernel. What is left lies in the gradients where
there are few channels: XLA has no kernel of its own for them, oneDNN (PyTorch's) has. (Before Winograd took the
convolution of 256.)

    5x5, 1 to 6                  1.8/.7    .38   1.6/2.6  1.62   2.0/.4    .21
    3x3, 3 to 32                  15/9.3   .61    27/19    .70    21/6.0   .28
    3x3, 16 to 16                 13/8.7   .67    20/7.1   .36    30/7.0   .23
    3x3, 32 to 32                8.2/6.6   .80    10/7.8   .77    24/11    .45
    3x3, 32 to 64                 19/17    .88    22/16    .76    31/17    .56
    3x3, 64 to 64                 62/47    .77    68/48    .71    80/52    .65
    3x3, 128 to 128               52/43    .83    52/43    .82    62/47    .76
    3x3, 256 to 256              6.6/5.7   .87    11/5.2   .48    11/6.3   .55
    3x3, 512 to 512               49/36    .72    54/35    .63    50/57   1.13
    3x3, 64 to 128, stride 2      28/34   1.24    39/28    .72    43/27    .64
    1x1, 64 to 128, stride 2     8.2/4.3   .52   7.1/8.4  1.19   8.0/4.4   .56
    1x1, 32 to 64                7.9/22   2.74   8.3/8.1   .97    17/5.7   .34
    1x1, 256 to 64               1.6/1.2   .73   2.0/1.4   .70   4.8/1.4   .30
    3x3, 32 to 32, dilation 4    4.2/3.0   .72   5.8/3.4   .59    11/3.9   .37
    3x3, 32 depthwise            4.8/1.7   .35   8.7/2.4   .27    10/2.0   .19
    3x3, 128 depthwise           5.2/2.7   .52   7.9/3.1   .40   7.5/2.4   .32
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from timing import print_rows, row, take_turns

import cnnlab
from cnnlab.ops import lowering


class Layer(NamedTuple):
    """One convolution, padded by (k - 1) / 2 · dilation on every side."""

    image: tuple[int, int, int, int]
    side: int
    outputs: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1


LAYERS: dict[str, Layer] = {
    "5x5, 1 to 6": Layer((128, 28, 28, 1), 5, 6),
    "3x3, 3 to 32": Layer((32, 100, 100, 3), 3, 32),
    "3x3, 16 to 16": Layer((4, 256, 256, 16), 3, 16),
    "3x3, 32 to 32": Layer((4, 128, 128, 32), 3, 32),
    "3x3, 32 to 64": Layer((128, 26, 26, 32), 3, 64),
    "3x3, 64 to 64": Layer((128, 32, 32, 64), 3, 64),
    "3x3, 128 to 128": Layer((128, 16, 16, 128), 3, 128),
    "3x3, 256 to 256": Layer((4, 16, 16, 256), 3, 256),
    "3x3, 512 to 512": Layer((128, 4, 4, 512), 3, 512),
    "3x3, 64 to 128, stride 2": Layer((128, 32, 32, 64), 3, 128, stride=2),
    "1x1, 64 to 128, stride 2": Layer((128, 32, 32, 64), 1, 128, stride=2),
    "1x1, 32 to 64": Layer((32, 64, 64, 32), 1, 64),
    "1x1, 256 to 64": Layer((8, 28, 28, 256), 1, 64),
    "3x3, 32 to 32, dilation 4": Layer((8, 64, 64, 32), 3, 32, dilation=4),
    "3x3, 32 depthwise": Layer((32, 64, 64, 32), 3, 32, groups=32),
    "3x3, 128 depthwise": Layer((32, 32, 32, 128), 3, 128, groups=128),
}
PARTS = ("forward", "image gradient", "kernel gradient")


def arrays(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Image and kernel, the same for everyone."""
    rng = np.random.default_rng(0)
    kernel = (layer.side, layer.side, layer.image[-1] // layer.groups, layer.outputs)
    return rng.normal(size=layer.image).astype(np.float32), rng.normal(size=kernel).astype(np.float32)


def jax_parts(layer: Layer, convolve: Callable, compiler: Callable) -> dict[str, Callable[[], None]]:
    """The three parts, each a program of its own."""
    pad = (layer.side - 1) // 2 * layer.dilation

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolve(
            x,
            kernel,
            (layer.stride,) * 2,
            [(pad, pad)] * 2,
            rhs_dilation=(layer.dilation,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=layer.groups,
        )

    x, kernel = map(jnp.asarray, arrays(layer))
    gradient = jnp.ones(jax.eval_shape(forward, x, kernel).shape)
    programs = {
        "forward": compiler(forward),
        "image gradient": compiler(lambda x, kernel: jax.vjp(lambda x: forward(x, kernel), x)[1](gradient)),
        "kernel gradient": compiler(lambda x, kernel: jax.vjp(lambda k: forward(x, k), kernel)[1](gradient)),
    }
    return {part: lambda call=call: jax.block_until_ready(call(x, kernel)) for part, call in programs.items()}


def torch_parts(layer: Layer, *, last: bool) -> dict[str, Callable[[], None]]:
    """The three parts by PyTorch's own operations, channels first or last."""
    import torch

    x, kernel = (torch.tensor(a) for a in arrays(layer))
    layout = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    x, kernel = x.permute(0, 3, 1, 2).contiguous(**layout), kernel.permute(3, 2, 0, 1).contiguous(**layout)
    pad = (layer.side - 1) // 2 * layer.dilation
    options = ([layer.stride] * 2, [pad] * 2, [layer.dilation] * 2, False, [0, 0], layer.groups)
    gradient = torch.ones_like(torch.ops.aten.convolution(x, kernel, None, *options)).contiguous(**layout)

    def back(*wanted: bool) -> None:
        torch.ops.aten.convolution_backward(gradient, x, kernel, None, *options, wanted)

    return {
        "forward": lambda: torch.ops.aten.convolution(x, kernel, None, *options),
        "image gradient": lambda: back(True, False, False),
        "kernel gradient": lambda: back(False, True, False),
    }


def main(
    layers: tuple[str, ...] = tuple(LAYERS),
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 5,
    seconds: float = 0.1,
    peers: bool = True,
) -> dict:
    """Times the parts of every layer in turn and prints a table.

    Args:
        layers: names of rows.
        json_only: print one JSON object instead.
        rounds: turns of each variant.
        seconds: of a turn.
        peers: run PyTorch too.
    """
    rows = []
    for name in layers:
        layer = LAYERS[name]
        ways = {
            "cnnlab": jax_parts(layer, lowering.convolution, cnnlab.jit),
            "flax": jax_parts(layer, lax.conv_general_dilated, jax.jit),
        }
        if peers:
            ways |= {
                f"torch channels {'last' if last else 'first'}": torch_parts(layer, last=last) for last in (False, True)
            }
        for part in PARTS:
            times = take_turns({way: parts[part] for way, parts in ways.items()}, rounds=rounds, seconds=seconds)
            rows.append(row(f"{name}: {part}", times, images=layer.image[0]))
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
