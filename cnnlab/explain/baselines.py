"""Maps that know nothing about the network: a map worth showing scores better than they do."""

import jax
import jax.numpy as jnp

from cnnlab.explain.image_keys import image_keys
from cnnlab.ops.filters import apply_filter


def random_maps(images: jax.Array, key: jax.Array) -> jax.Array:
    """Returns a map of independent random numbers, uniform in [0, 1), for each image.

    Args:
      images: `[B, H, W, C]`; an image has the same map alone and in any batch, another image has another map.
      key: random key.

    Returns:
      `[B, H, W]`.

    >>> random_maps(jnp.zeros((2, 4, 6, 3)), jax.random.key(0)).shape
    (2, 4, 6)
    """
    return jax.vmap(lambda key: jax.random.uniform(key, images.shape[1:3]))(image_keys(images, key))


def edge_maps(images: jax.Array) -> jax.Array:
    """Computes the strength of the edges of each image: the Sobel magnitude of the mean over its channels.

    Args:
      images: `[B, H, W, C]`, floating point.

    Returns:
      `[B, H, W]`, 0 or more.

    >>> ramp = jnp.tile(jnp.arange(4.0)[:, None], (1, 3, 1, 3))
    >>> edge_maps(ramp)[0, 1].tolist()
    [4.0, 8.0, 8.0, 4.0]
    """
    grey = images.mean(-1, keepdims=True)
    return jnp.hypot(apply_filter(grey, "sobel_x"), apply_filter(grey, "sobel_y"))[..., 0]
