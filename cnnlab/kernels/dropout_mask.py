"""Dropout as a pure function, with a mask from a hash that the compiler fuses into the multiplication."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# A hash is much cheaper than `jax.random.bernoulli`. The masks are most of the cost of dropout in a dense head.


def random_words(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Draws independent uniform 32-bit words: hashes the position of each entry with 64 random bits from the key.

    The hash consists of two rounds of multiplications and xor-shifts, in which each bit of the input affects all bits
    of the output. It is random enough for masks, but not for cryptography. Each word depends only on the key and its
    position, so the result does not depend on the number of devices or chunks.

    Source: C. Wellons, Prospecting for Hash Functions, 2018: the multipliers of triple32 and lowbias32.

    Args:
      key: a JAX key of any kind.
      shape: shape of the result, with fewer than 2^32 entries.

    Returns:
      A uint32 array of this shape.
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    x = lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape) + first
    for shift, multiplier in ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB)):
        x = (x ^ (x >> shift)) * jnp.uint32(multiplier)
    x = x ^ (x >> 14) ^ second
    for shift, multiplier in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> shift)) * jnp.uint32(multiplier)
    return x ^ (x >> 16)


def drop(x: jax.Array, key: jax.Array, rate: float, *, shared: tuple[int, ...] = ()) -> jax.Array:
    """Sets entries to 0 with probability `rate` and divides the others by `1 - rate`, which keeps the mean.

    Source: Srivastava et al., Dropout, JMLR 15, 2014.

    Args:
      x: an array of any shape.
      key: random key of the mask.
      rate: probability in 0..1; it is rounded to a multiple of 2^-32.
      shared: axes along which the mask is constant: `(1, 2)` drops whole feature maps of `[B, H, W, C]`.

    Raises:
      ValueError: the rate lies outside 0..1.

    >>> out = drop(jnp.ones(1000), jax.random.key(0), 0.25)
    >>> sorted({round(float(v), 4) for v in out})
    [0.0, 1.3333]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"the dropout rate must lie in 0..1, found {rate}")
    if rate in (0, 1):
        return x if rate == 0 else jnp.zeros_like(x)
    axes = {axis % x.ndim for axis in shared}
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    mask = random_words(key, shape) >= jnp.uint32(min(round(rate * 2**32), 2**32 - 1))
    return x * jnp.where(mask, 1 / (1 - rate), 0).astype(x.dtype)
