"""Pseudo-random numbers that depend only on an image's pixels, not on the batch in which it comes."""

import jax
import jax.numpy as jnp


def image_draws(images: jax.Array) -> jax.Array:
    """Computes one pseudo-random number in 0 <= u < 1 per image, with a resolution of 24 bits.

    Different images get practically independent numbers. The finaliser of MurmurHash3 (Appleby, 2011) hashes every
    pixel together with its position, and then the sum of these hashes.

    Args:
      images: `[B, H, W, C]`, uint8 or float32.

    Returns:
      Numbers `[B]`, float32.

    >>> images = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    >>> bool((image_draws(images)[1:] == image_draws(images[1:])).all())
    True
    """
    images = images.reshape(len(images), -1)
    bits = images.astype(jnp.uint32) if images.dtype == jnp.uint8 else images.astype(jnp.float32).view(jnp.uint32)
    positions = jnp.arange(images.shape[1], dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    hashes = _murmur_finaliser(_murmur_finaliser(bits ^ positions).sum(1, dtype=jnp.uint32))
    return (hashes >> 8).astype(jnp.float32) / 2**24


def _murmur_finaliser(x: jax.Array) -> jax.Array:
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
