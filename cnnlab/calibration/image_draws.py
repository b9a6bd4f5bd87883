"""Draws a random number for each image from its pixels, the same one alone and in any batch."""

import jax
import jax.numpy as jnp


def image_draws(images: jax.Array) -> jax.Array:
    """Numbers in 0 <= u < 1, of 24 bits, one an image; other pixels, other numbers, as good as independent.

    Every pixel is mixed with its place by the finaliser of MurmurHash3 (Appleby, 2011), and so is their sum.

    Args:
      images: `[B, H, W, C]`, uint8 or float32.

    Returns:
      `[B]` float32.

    >>> images = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    >>> bool((image_draws(images)[1:] == image_draws(images[1:])).all())
    True
    """
    images = images.reshape(len(images), -1)
    whole = images.astype(jnp.uint32) if images.dtype == jnp.uint8 else images.astype(jnp.float32).view(jnp.uint32)
    place = jnp.arange(images.shape[1], dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    mixed = _mixed(_mixed(whole ^ place).sum(1, dtype=jnp.uint32))
    return (mixed >> 8).astype(jnp.float32) / 2**24


def _mixed(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
