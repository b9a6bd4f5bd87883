"""One transposed convolution, 3x3 with stride 2, the three ways: what the zeros and the matrix cost.

    pip install ".[peers]" && python experiments/benchmarks/transposed_convolution.py [--json] [--size 8]

All ways give the same image (`cnnlab.ops.transposed_convolution`). `cnnlab` is the default, the gradient of the
cross-correlation; the others are its peers: the convolution of the input with zeros inserted, the product with the
connectivity matrix, made from the kernel each time or beforehand, and torch's `conv_transpose2d` where it is installed.
`ratio` is the fastest peer's time divided by cnnlab's: above 1, cnnlab is faster.

Multiply-adds an image by arithmetic, for the default 8x8x16 to 16x16x8: 73,728 by the gradient, 294,912 with the zeros
(stride² times as many), 2,097,152 with the matrix, which holds 8 MB. At 64x64x16 the matrix would hold 34 GB: leave it
out with --no-matrix.
"""

import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from timing import report, take_turns

import cnnlab
from cnnlab.ops import connectivity_matrix, transposed_convolution

OPTIONS = {"stride": 2, "padding": "same", "extra": 1}


def timed(function: Callable, *arrays: jax.Array) -> Callable[[], None]:
    """A call that waits for its result."""
    program = cnnlab.jit(function)
    return lambda: jax.block_until_ready(program(*arrays))


def ways(x: jax.Array, kernel: jax.Array, *, matrix: bool) -> dict[str, Callable[[], None]]:
    """Each way as a compiled program of input and kernel."""

    def by(way: str) -> Callable[[], None]:
        return timed(lambda x, kernel: transposed_convolution(x, kernel, **OPTIONS, way=way), x, kernel)

    found = {"cnnlab": by("gradient"), "zeros": by("zeros")}
    if matrix:
        size = [2 * side for side in x.shape[1:3]]
        ready = connectivity_matrix(kernel, size, stride=2, padding="same")
        flat = x.reshape(len(x), -1)
        found |= {"matrix": by("matrix"), "matrix, ready": timed(lambda x, w: x @ w.T, flat, ready)}
    return found


def torch_way(x: jax.Array, kernel: jax.Array) -> dict[str, Callable[[], None]]:
    """PyTorch's own, channels first."""
    import torch

    image = torch.tensor(np.asarray(x)).permute(0, 3, 1, 2).contiguous()
    weight = torch.tensor(np.asarray(kernel)).permute(3, 2, 0, 1).contiguous()

    def run() -> None:
        torch.nn.functional.conv_transpose2d(image, weight, stride=2, padding=1, output_padding=1)

    return {"torch": run}


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 15,
    repeats: int = 20,
    batch: int = 16,
    size: int = 8,
    channels: int = 16,
    matrix: bool = True,
) -> dict:
    """Times all ways in turn and prints a table.

    Args:
        json_only: print one JSON object instead.
        rounds: turns of each.
        repeats: calls in a turn.
        batch: images.
        size: height and width of the input in pixels; the output's are twice as large.
        channels: of the input; the output has half as many.
        matrix: time the matrix too, whose size grows with the fourth power of `size`.
    """
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(batch, size, size, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels // 2, channels)), jnp.float32)
    variants = ways(x, kernel, matrix=matrix)
    if importlib.util.find_spec("torch"):
        variants |= torch_way(x, kernel)
    name = f"transposed convolution 3x3, {batch}x{size}x{size}x{channels} to {2 * size}x{2 * size}x{channels // 2}"
    return report(name, take_turns(variants, rounds=rounds, repeats=repeats), images=batch, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
