"""Random keys that depend on an image's pixels, so that an image draws the same numbers alone and in any batch."""

import jax
import jax.numpy as jnp

from cnnlab.calibration.image_draws import image_draws
from cnnlab.data.spec import as_float


def image_keys(images: jax.Array, key: jax.Array) -> jax.Array:
    """Returns a random key for each image.

    Args:
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1]. They are compared at 16 bits, so bytes and the same
        fractions have equal keys, however the division was rounded.
      key: random key.

    Returns:
      `[B]` keys. Equal images have equal keys.

    >>> images = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    >>> keys, alone = image_keys(images, jax.random.key(1)), image_keys(images[1:], jax.random.key(1))
    >>> bool((keys[1:] == alone).all()), bool(keys[0] == keys[1])
    (True, False)
    """
    rounded = jnp.round(as_float(images) * 65535)
    numbers = (image_draws(rounded) * 2**24).astype(jnp.uint32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, numbers)
