"""Positional encodings of pixels, and means with a weight per position."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class PositionMean(nn.Module):
    """The mean over positions with a learnt weight for every row and every column of each map: `(H + W) C` parameters.

    It starts as the plain mean. `[B, H, W, C]` to `[B, C]`; height and width must stay those of the initialisation.

    >>> x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    >>> mean = PositionMean()
    >>> mean.apply(mean.init(jax.random.key(0), x), x).tolist()
    [[3.0, 4.0]]
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        _, h, w, c = x.shape
        rows = self.param("rows", nn.initializers.constant(1 / h), (h, 1, c))
        columns = self.param("columns", nn.initializers.constant(1 / w), (1, w, c))
        return (x * (rows * columns).astype(x.dtype)).sum((1, 2))


def positional_encoding(positions: jax.Array, frequencies: int) -> jax.Array:
    """Sines and cosines of each coordinate at doubling frequencies: `sin(2^k pi p), cos(2^k pi p)`, k = 0 .. L-1.

    Source: Mildenhall et al., NeRF, ECCV 2020, equation 4; why it is needed: Tancik et al., Fourier Features Let
    Networks Learn High Frequency Functions in Low Dimensional Domains, NeurIPS 2020.

    Args:
      positions: `[..., d]`, in -1..1, beyond which the slowest wave repeats.
      frequencies: L, 1 or more.

    Returns:
      `[..., 2 d L]`: for each coordinate its L sines, then its L cosines.

    Raises:
      ValueError: `frequencies` is below 1.

    >>> [round(float(wave), 4) for wave in positional_encoding(jnp.array([1 / 6]), 1)]
    [0.5, 0.866]
    """
    if frequencies < 1:
        raise ValueError(f"frequencies must be 1 or more, found {frequencies}")
    angles = jnp.pi * 2.0 ** jnp.arange(frequencies) * positions[..., None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1).reshape(*positions.shape[:-1], -1)


def pixel_positions(height: int, width: int) -> jax.Array:
    """Returns the centre of every pixel as (row, column), -1..1 across the image: `[height, width, 2]`.

    >>> pixel_positions(1, 2).tolist()
    [[[0.0, -0.5], [0.0, 0.5]]]
    """
    centres = [(2 * jnp.arange(n) + 1) / n - 1 for n in (height, width)]
    return jnp.stack(jnp.meshgrid(*centres, indexing="ij"), -1)
