"""Positional encodings of pixels, and a mean with a weight for each position."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class PositionMean(nn.Module):
    """The mean over positions with a learnt weight for every row and every column of each map.

    It maps `[B, H, W, C]` to `[B, C]` and has `(H + W) C` parameters, which start as those of the plain mean. The
    height and width of the input must stay those of the initialisation.

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
    """Computes sines and cosines of each coordinate at frequencies that double.

    For each coordinate p and k = 0 .. L-1 they are `sin(2^k pi p)` and `cos(2^k pi p)`.

    Source: Mildenhall et al., NeRF, ECCV 2020, equation 4. Reason: Tancik et al., Fourier Features Let
    Networks Learn High Frequency Functions in Low Dimensional Domains, NeurIPS 2020.

    Args:
      positions: coordinates `[..., d]` in -1..1; beyond that range the slowest wave repeats.
      frequencies: number of frequencies L, 1 or more.

    Returns:
      The encoding `[..., 2 d L]`: for each coordinate its L sines, then its L cosines.

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
    """Returns the centre of every pixel, `[height, width, 2]`, as (row, column) coordinates in -1..1 across the image.

    >>> pixel_positions(1, 2).tolist()
    [[[0.0, -0.5], [0.0, 0.5]]]
    """
    centres = [(2 * jnp.arange(n) + 1) / n - 1 for n in (height, width)]
    return jnp.stack(jnp.meshgrid(*centres, indexing="ij"), -1)
