"""A score of whether a map holds for an image that looks the same."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from cnnlab.explain.faithfulness import scale_of


def max_sensitivity(
    explain: Callable[[jax.Array], jax.Array],
    images: jax.Array,
    maps: jax.Array,
    keys: jax.Array,
    *,
    samples: int = 10,
    radius: float = 0.02,
) -> jax.Array:
    """Computes the largest relative change of a map under uniform noise on the image; small is good.

    The change is the norm of the difference of the maps, divided by the norm of the map (by 1 where that is 0).

    Source: Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition 3.1, estimated by
    sampling.

    Args:
      explain: function that computes the maps `[..., B, H, W]` of images `[B, H, W, C]`.
      images: `[B, H, W, C]`, floating point in [0, 1]; noise may take them outside.
      maps: `[..., B, H, W]`, the maps of the images.
      keys: `[B]`, random keys of the noise.
      samples: number of noises.
      radius: largest change of a pixel, as a share of the range [0, 1].

    Returns:
      `[..., B]`.

    >>> images = jnp.zeros((1, 2, 2, 1))
    >>> constant = lambda images: jnp.ones(images.shape[:3])
    >>> max_sensitivity(constant, images, constant(images), jax.random.split(jax.random.key(0), 1)).tolist()
    [0.0]
    """

    def draw(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, images.shape[1:], images.dtype, -radius, radius)

    def change(sample: jax.Array) -> jax.Array:
        noise = jax.vmap(lambda key: draw(jax.random.fold_in(key, sample)))(keys)
        return _relative_change(maps, explain(images + noise))

    return lax.map(change, jnp.arange(samples)).max(0)


def _relative_change(maps: jax.Array, changed: jax.Array) -> jax.Array:
    scale = scale_of(maps)
    below = jnp.linalg.norm(maps / scale, axis=(-2, -1))
    return jnp.linalg.norm((changed - maps) / scale, axis=(-2, -1)) / jnp.where(below > 0, below, 1)
