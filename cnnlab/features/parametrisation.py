"""Parametrisations of synthetic images: pixels, Fourier coefficients, and phases with a fixed magnitude.

A parametrisation is a pair of functions: one draws the parameters of an image, the other turns parameters into images
in [0, 1]. The parameters describe independent channels, which `ImageStatistics.colours` turns into colours. Without
this step an optimum in RGB has colours that no photo has. A grey image has one channel, and its matrix is 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.features.image_statistics import ImageStatistics, frequencies

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""

_START = 0.01  # standard deviation of the first parameters
_EDGE = 1e-2  # distance of a mean colour from 0 and 1, where a sigmoid is infinite
_FOURIER_GAIN = 0.25


class Parametrisation(NamedTuple):
    """A way to describe images by parameters.

    Attributes:
      draw: function of a key and the shape `(H, W, C)` that returns the parameters of one image.
      images: function of the parameters of several images, their statistics and the shape that returns
        `[B, H, W, C]` in [0, 1].
      learning_rate: step of Adam that suits the parameters.
    """

    draw: Callable[[jax.Array, Shape], jax.Array]
    images: Callable[[jax.Array, ImageStatistics, Shape], jax.Array]
    learning_rate: float


def draw_pixels(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws pixels near 0, `[H, W, C]`."""
    return _START * jax.random.normal(key, shape)


def pixel_images(pixels: jax.Array, statistics: ImageStatistics, shape: Shape) -> jax.Array:
    """Returns images `[B, H, W, C]` whose pixels are the sigmoid of independent parameters, in decorrelated colours."""
    return _squash(pixels, statistics)


def draw_spectrum(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws Fourier coefficients near 0: real and imaginary parts `[H, W // 2 + 1, C, 2]`."""
    h, w, c = shape
    return _START * jax.random.normal(key, (h, w // 2 + 1, c, 2))


def fourier_images(spectrum: jax.Array, statistics: ImageStatistics, shape: Shape) -> jax.Array:
    """Returns images `[B, H, W, C]` from scaled Fourier coefficients, so that a step changes coarse structure most.

    A coefficient is divided by its frequency, as in natural images. The image is the sigmoid of the inverse transform.

    Source: Olah, Mordvintsev and Schubert, Feature Visualization, Distill 2017, section "Preconditioning and
    parameterization".

    Args:
      spectrum: real and imaginary parts of the unscaled coefficients, `[B, H, W // 2 + 1, C, 2]`.
      statistics: mean and colours.
      shape: shape of an image.
    """
    h, w, _ = shape
    scale = 1 / np.maximum(frequencies(h, w), 1 / max(h, w))[:, : w // 2 + 1, None]
    coefficients = scale * jax.lax.complex(spectrum[..., 0], spectrum[..., 1])
    canvas = jnp.fft.irfft2(coefficients, (h, w), axes=(1, 2), norm="ortho")
    return _squash(_FOURIER_GAIN * canvas, statistics)


def draw_phases(key: jax.Array, shape: Shape) -> jax.Array:
    """Draws phases in -pi..pi, `[H, W // 2 + 1, C]`."""
    h, w, c = shape
    return jax.random.uniform(key, (h, w // 2 + 1, c), minval=-jnp.pi, maxval=jnp.pi)


def phase_images(phases: jax.Array, statistics: ImageStatistics, shape: Shape) -> jax.Array:
    """Returns images `[B, H, W, C]` with a fixed magnitude of each Fourier coefficient; parameters are their phases.

    The values are clipped to [0, 1].

    Source: Fel et al., Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization,
    NeurIPS 2023 (arXiv 2306.06805), section 3.2.

    Args:
      phases: `[B, H, W // 2 + 1, C]`.
      statistics: mean, colours and magnitude.
      shape: shape of an image.
    """
    colours = phase_canvas(phases, statistics.magnitude, shape) @ statistics.colours.T
    return jnp.clip(statistics.mean + colours, 0, 1)


def phase_canvas(phases: jax.Array, magnitude: jax.Array, shape: Shape) -> jax.Array:
    """Returns independent channels `[B, H, W, C]` with these phases and this magnitude of Fourier coefficients.

    The columns of frequency 0 and of the highest frequency hold each coefficient twice, once conjugated. Of such a pair
    the difference of the phases counts.
    """
    h, w, _ = shape
    conjugate = jnp.roll(phases[:, ::-1], 1, 1)
    column = np.arange(w // 2 + 1)[:, None]
    paired = (column == 0) | (2 * column == w)
    phases = jnp.where(paired, phases - conjugate, phases)
    coefficients = magnitude * jax.lax.complex(jnp.cos(phases), jnp.sin(phases))
    return jnp.fft.irfft2(coefficients, (h, w), axes=(1, 2))


def _squash(canvas: jax.Array, statistics: ImageStatistics) -> jax.Array:
    """Adds the mean colour and correlation of the channels to values around 0, and maps them to [0, 1]."""
    mean = jax.scipy.special.logit(jnp.clip(statistics.mean, _EDGE, 1 - _EDGE))
    return jax.nn.sigmoid(mean + jnp.matmul(canvas, statistics.colours.T, precision=jax.lax.Precision.HIGHEST))


PARAMETRISATIONS = {
    "fourier": Parametrisation(draw_spectrum, fourier_images, 0.05),
    "pixels": Parametrisation(draw_pixels, pixel_images, 0.05),
    "maco": Parametrisation(draw_phases, phase_images, 0.1),
}
"""All parametrisations by name."""
