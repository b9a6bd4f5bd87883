"""The forward pass of nine networks: cnnlab beside plain Flax and PyTorch's three ways.

    pip install ".[peers]" && python experiments/benchmarks/inference.py [--json] [--networks lenet5 ...] [--record]

It measures as `train_step.py` does, with dropout off, batch norm on its running averages, and PyTorch in its inference
mode.

On a CPU cnnlab is about as fast as the fastest PyTorch: faster for some networks, slower for others.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from networks import Row, Ways, torch_ways
from timing import OFF, Comparison, Options, compare

import cnnlab
from cnnlab.kernels import dispatch


def cnnlab_pass(row: Row) -> Callable[[], None]:
    """Returns a call of cnnlab's `predict`."""
    images, variables = _inputs(row)
    spec = cnnlab.InputSpec(row.size[:2], channels=row.size[2], classes=tuple("0123456789"))
    trained = cnnlab.Trained(variables, row.network, row.task(), spec)
    return lambda: jax.block_until_ready(cnnlab.predict(trained, images))


def flax_pass(row: Row) -> Callable[[], None]:
    """Returns a call of plain Flax under plain `jax.jit`."""
    images, variables = _inputs(row)

    @jax.jit
    def plain(variables: Any, images: jax.Array) -> jax.Array:
        with dispatch.as_defined():
            return jax.nn.softmax(row.network.apply(variables, images))

    return lambda: jax.block_until_ready(plain(variables, images))


def _inputs(row: Row) -> tuple[jax.Array, Any]:
    """Returns images and parameters; these are drawn by NumPy, because a program that draws them takes memory too."""
    images = jnp.asarray(row.data()[0])
    draw = np.random.default_rng(0).random

    def parameter(shape: jax.ShapeDtypeStruct) -> np.ndarray:
        return draw(shape.shape, np.float32) * 2 / math.prod(shape.shape[:-1])  # activations keep their size

    shapes = jax.eval_shape(row.network.init, jax.random.key(0), images[:1])
    return images, jax.device_put(jax.tree.map(parameter, shapes))


def torch_passes(*, compiled: bool) -> Ways:
    """Returns the calls of PyTorch eager, channels-last and `torch.compile`."""
    import torch

    def once(_: Row, network: torch.nn.Module, images: torch.Tensor) -> Callable[[], None]:
        network.eval()
        return torch.inference_mode()(lambda: (torch.softmax(network(images), 1), None)[1])

    return torch_ways(once, compiled=compiled)


def main(options: tyro.conf.OmitArgPrefixes[Comparison], recording: Options = OFF) -> dict:
    """Times all variants of every network in turns and prints a table or JSON."""
    own = {"cnnlab": cnnlab_pass, "flax": flax_pass}
    return compare(__file__, own, torch_passes, options, passes=1, title="inference", recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
