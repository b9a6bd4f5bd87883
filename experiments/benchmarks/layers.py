"""Layer by layer: forward pass, gradient of the image and gradient of the kernel, each beside PyTorch's own three.

    pip install ".[peers]" && python experiments/benchmarks/layers.py [--json] [--layers "3x3, 32 to 64"]

`flax` is the direct convolution under plain `jax.jit`; PyTorch's is the faster of its two memory layouts. `ratio` is
PyTorch's time divided by cnnlab's: above 1, cnnlab is faster.

Measured on two cores of an AMD EPYC (AVX-512), jax 0.10.2, torch 2.13.0, large pages, 2026-11-23, `--rounds 2`, ms of
cnnlab / torch and their ratio: forward, gradient of the image, gradient of the kernel. What is left lies where there
are few channels and in depthwise kernels: XLA has no kernel of its own for them, oneDNN (PyTorch's) has.

    5x5, 1 to 6                   .6/.5   .72   2.1/1.4   .67    1.8/.3   .15
    3x3, 3 to 32                 9.5/10  1.10  10.0/8.5   .85    13/4.3   .33
    3x3, 16 to 16               7.4/3.4   .46   7.1/3.4   .48    15/3.4   .22
    3x3, 32 to 32               3.8/2.7   .71   5.2/2.8   .54    12/3.4   .29
    3x3, 32 to 64                10/8.6   .82    13/8.3   .66     19/11   .59
    3x3, 64 to 64                 21/23  1.10     18/23  1.29     29/27   .92
    3x3, 128 to 128               14/20  1.40     14/21  1.56     18/25  1.43
    3x3, 256 to 256             3.3/2.5   .76   3.5/2.5   .70   2.0/2.9  1.46
    3x3, 512 to 512               14/21  1.52     18/19  1.06     14/23  1.67
    3x3, 64 to 128, stride 2      16/12   .80     23/14   .61     30/16   .53
    1x1, 64 to 128, stride 2    5.6/2.4   .43   6.4/5.0   .79   5.7/2.1   .36
    1x1, 32 to 64               3.8/3.2   .85   1.8/2.1  1.20   5.9/2.3   .38
    1x1, 256 to 64               1.0/.5   .47     .7/.5   .65    1.4/.5   .37
    3x3, 32 to 32, dilation 4   2.3/1.3   .59   3.3/1.4   .43   5.3/1.6   .30
    3x3, 32 depthwise            5.1/.8   .15   4.7/1.2   .25   7.0/1.1   .15
    3x3, 128 depthwise           4.3/.8   .20   4.1/1.6   .39   5.9/1.4   .24
    7x7, 96 depthwise           5.8/1.4   .24   4.6/1.2   .25    9.2/10  1.12
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
from cnnlab.kernels import dispatch


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
    "7x7, 96 depthwise": Layer((8, 56, 56, 96), 7, 96, groups=96),
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
            "cnnlab": jax_parts(layer, dispatch.convolution, cnnlab.jit),
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
