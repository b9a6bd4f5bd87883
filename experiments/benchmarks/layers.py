"""Layer by layer: forward pass, gradient of the image and gradient of the kernel, each beside PyTorch's own three.

    pip install ".[peers]" && python experiments/benchmarks/layers.py [--json] [--layers "3x3, 32 to 64"]

`flax` is the direct convolution under plain `jax.jit`; PyTorch's is the faster of its two memory layouts. `ratio` is
PyTorch's time divided by cnnlab's: above 1, cnnlab is faster.

Measured on two cores of an AMD EPYC (AVX-512), jax 0.10.2, torch 2.13.0, large pages, 2026-11-22, `--rounds 2`, ms of
cnnlab / torch and their ratio: forward, gradient of the image, gradient of the kernel. What is left lies where there
are few channels and in depthwise kernels: XLA has no kernel of its own for them, oneDNN (PyTorch's) has.

    5x5, 1 to 6                    .8/.8   .97   1.3/1.3   .99     .8/.3   .35
    3x3, 3 to 32                 9.7/3.9   .40     11/10   .97    14/5.0   .36
    3x3, 16 to 16                 12/6.1   .51   9.2/3.6   .39    23/3.9   .17
    3x3, 32 to 32                4.6/3.0   .66   4.4/2.8   .63    12/4.2   .35
    3x3, 32 to 64                 10/7.8   .76    13/8.5   .66     20/11   .54
    3x3, 64 to 64                  22/26  1.16     21/34  1.62     31/27   .89
    3x3, 128 to 128                17/20  1.18     32/21   .66     22/26  1.21
    3x3, 256 to 256              4.2/2.8   .65   4.9/2.8   .57   3.0/3.2  1.06
    3x3, 512 to 512                22/22  1.03     20/20  1.02     15/31  2.07
    3x3, 64 to 128, stride 2       18/14   .76     31/15   .47     28/17   .61
    1x1, 64 to 128, stride 2     5.1/2.9   .57   4.7/6.0  1.26   6.8/2.7   .39
    1x1, 32 to 64                6.9/3.6   .53   2.9/2.3   .78   4.6/2.4   .53
    1x1, 256 to 64                1.1/.5   .47     .9/.5   .54    2.1/.6   .27
    3x3, 32 to 32, dilation 4    2.6/1.5   .58   4.3/1.5   .35   5.7/1.6   .29
    3x3, 32 depthwise            4.0/1.5   .38   9.8/1.8   .18    15/1.2   .08
    3x3, 128 depthwise           3.8/1.1   .28   7.6/2.2   .28   8.5/1.5   .18
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
    gradient = jax.random.normal(jax.random.key(0), jax.eval_shape(forward, x, kernel).shape)
    programs = {  # the gradient is an argument: of a constant, the compiler would compute a part beforehand
        "forward": compiler(lambda x, kernel, _: forward(x, kernel)),
        "image gradient": compiler(lambda x, kernel, g: jax.vjp(lambda x: forward(x, kernel), x)[1](g)),
        "kernel gradient": compiler(lambda x, kernel, g: jax.vjp(lambda k: forward(x, k), kernel)[1](g)),
    }
    return {part: lambda call=call: jax.block_until_ready(call(x, kernel, gradient)) for part, call in programs.items()}


def torch_parts(layer: Layer, *, last: bool) -> dict[str, Callable[[], None]]:
    """The three parts by PyTorch's own operations, channels first or last."""
    import torch

    x, kernel = (torch.tensor(a) for a in arrays(layer))
    layout = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    x, kernel = x.permute(0, 3, 1, 2).contiguous(**layout), kernel.permute(3, 2, 0, 1).contiguous(**layout)
    pad = (layer.side - 1) // 2 * layer.dilation
    options = ([layer.stride] * 2, [pad] * 2, [layer.dilation] * 2, False, [0, 0], layer.groups)
    gradient = torch.randn_like(torch.ops.aten.convolution(x, kernel, None, *options)).contiguous(**layout)

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
