"""Class probabilities of windows in every pass, with one dropout mask for all windows of a pass."""

import functools
from collections.abc import Callable, Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.nn.taps import first_input, tap
from cnnlab.runtime.compile import jit
from cnnlab.runtime.devices import data_mesh, replicate, shard
from cnnlab.trained import Trained, outputs
from cnnlab.uncertainty.dropout import is_active, met_dropout, sampled_logits
from cnnlab.uncertainty.hoist import hoist
from cnnlab.uncertainty.monte_carlo import fitting_chunk


@jit(static_argnames=("num_samples",))
def sample_tiles(trained: Trained, tiles: jax.Array, key: jax.Array, *, num_samples: int | None) -> jax.Array:
    """Computes the class probabilities of every pixel of a batch of windows in every pass.

    The dropout masks depend only on the pass, because `vmap` maps over the windows but not over the key. In each pass
    all windows therefore use the same sampled network, and two windows agree where they see the same pixels.

    Args:
      trained: a network with its task and variables.
      tiles: windows `[B, H, W, C]`, uint8 or floats in [0, 1].
      key: random key; pass t draws its masks from `fold_in(key, t)`.
      num_samples: number T of passes; None predicts once without dropout.

    Returns:
      Probabilities `[B, T, H, W, k]`, float32.

    Raises:
      ValueError: `num_samples` is a number but no dropout is active, or the task has no class probabilities.
    """
    if num_samples is None:
        return _probs(outputs(trained, tiles), trained)[:, None]

    def sample_tile(tile: jax.Array) -> jax.Array:
        with met_dropout(trained.network) as visit:

            def draw(key: jax.Array) -> jax.Array:
                forward = functools.partial(sampled_logits, key=key, visit=visit)
                return _probs(outputs(trained, tile[None], forward=forward), trained)[0]

            late, largest = hoist(draw, key)
        passes = jnp.arange(num_samples)
        return jax.lax.map(lambda t: late(jax.random.fold_in(key, t)), passes, batch_size=fitting_chunk(largest))

    return jax.vmap(sample_tile)(tiles)


def _probs(arrays: dict[str, jax.Array], trained: Trained) -> jax.Array:
    if "probs" not in arrays:
        raise ValueError(f"sheets need a task with class probabilities, {type(trained.task).__name__} has {[*arrays]}")
    return arrays["probs"]


def predictor(trained: Trained, key: jax.Array, *, num_samples: int | None) -> Callable:
    """Returns a function that maps windows `[h, w, C]` to probabilities `[T, h, w, k]`, one window per device."""
    mesh = data_mesh(jax.local_devices())
    trained, key = replicate((trained, key), mesh) if mesh.size > 1 else (trained, key)

    def start(batch: list[np.ndarray]) -> tuple[int, jax.Array]:
        filled = np.stack(batch + batch[-1:] * (mesh.size - len(batch)))
        tiles = shard({"image": filled}, mesh)["image"]
        return len(batch), sample_tiles(trained, tiles, key, num_samples=num_samples)

    def run(windows: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        waiting = None
        for batch in _batches(windows, mesh.size):
            running = start(batch)  # the devices compute it while the previous batch is blended
            if waiting is not None:
                yield from _fetch(*waiting)
            waiting = running
        if waiting is not None:
            yield from _fetch(*waiting)

    return run


def _fetch(number: int, samples: jax.Array) -> Iterator[np.ndarray]:
    yield from np.asarray(samples)[:number]


def _batches(windows: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    batch = []
    for window in windows:
        batch.append(window)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def drops_pixels(trained: Trained, tile: int) -> bool:
    """Returns whether a dropout layer draws a mask of single pixels, which overlapping windows cannot share.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import TASKS
    >>> net, spec = create_model("encoder_decoder", num_classes=2), InputSpec((32, 32))
    >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
    >>> drops_pixels(Trained(variables, net, TASKS["segmentation"](), spec), 32)
    False
    """
    draws = []

    def look(module: nn.Module, call, args, kwargs):
        if is_active(module):
            shape = first_input(args, kwargs).shape
            sizes = [n for axis, n in enumerate(shape) if axis not in {a % len(shape) for a in module.broadcast_dims}]
            draws.append(len(shape) == 4 and len(sizes) > 1 and any(n > 1 for n in sizes[1:-1]))
        return call(*args, **kwargs)

    images = jax.ShapeDtypeStruct((1, tile, tile, trained.spec.channels), jnp.float32)
    with tap(look):
        jax.eval_shape(lambda t, x: outputs(t, x), trained, images)
    return any(draws)
