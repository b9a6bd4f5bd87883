"""Augmentation on the device, inside the compiled step: small random shifts."""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is drawn anew for every training example.

    Attributes:
      shift: the image moves by up to this share of its height and width, each drawn uniformly; what enters is black.
    """

    shift: float = 0.0

    def __post_init__(self):
        if not 0 <= self.shift <= 0.5:
            raise ValueError(f"shift must lie in 0..0.5 of the image, found {self.shift}")


def augment(images: jax.Array, key: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Images `[B, H, W, C]`, float32, each moved by its own subpixel shift (bilinear).

    >>> augment(jnp.ones((2, 4, 4, 1)), jax.random.key(0), Augmentation(shift=0.1)).shape
    (2, 4, 4, 1)
    """
    if augmentation.shift == 0:
        return images
    b, h, w, _ = images.shape
    limit = augmentation.shift * jnp.array([h, w])
    offset = jax.random.uniform(key, (b, 2), minval=-1, maxval=1) * limit
    # Bilinear translation is separable: a banded matrix for the rows, one for the columns. Two small matrix
    # products are faster than a gather on every backend.
    return jnp.einsum(
        "bij,bjkc,blk->bilc", _translation(offset[:, 0], h), images, _translation(offset[:, 1], w), optimize=True
    )


def _translation(offset: jax.Array, n: int) -> jax.Array:
    """`[B, n, n]`: row i takes the values at i + offset, linearly between neighbours, zero outside."""
    source = jnp.arange(n)[None, :] + offset[:, None]
    return jnp.maximum(0, 1 - jnp.abs(source[:, :, None] - jnp.arange(n)))
