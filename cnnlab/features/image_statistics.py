"""Statistics of images on which synthetic images are built: mean, correlation of the colours, and spectrum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data.spec import as_float

_DEVIATION = 0.25  # standard deviation of natural images in [0, 1]
_LEAST = 1e-3  # smallest deviation along a colour axis, as a share of the largest; below it is rounding

# A root of the covariance of ImageNet's colours.
_PHOTOS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class ImageStatistics(NamedTuple):
    """Statistics of images `[H, W, C]` in [0, 1].

    Attributes:
      mean: mean colour, `[C]`.
      colours: `[C, C]`, which turns independent channels into colours whose covariance is `colours @ colours.T`, up to
        a factor. Its longest column has length 1.
      magnitude: mean magnitude of the Fourier coefficients of the independent channels, `[H, W // 2 + 1, C]`; that of
        frequency 0 is 0.
    """

    mean: jax.Array
    colours: jax.Array
    magnitude: jax.Array


def frequencies(h: int, w: int) -> np.ndarray:
    """Returns the frequency of each coefficient of `fft2` in cycles a pixel, `[h, w]`.

    >>> frequencies(1, 4).tolist()
    [[0.0, 0.25, 0.5, 0.25]]
    """
    return np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w))


def natural_statistics(shape: tuple[int, int, int]) -> ImageStatistics:
    """Returns statistics of natural images: the magnitude is inverse to the frequency, and colours are those of photos.

    Without three channels there is no assumption on colours; all channels are independent.

    Source: Field, Relations between the Statistics of Natural Images and the Response Properties of Cortical Cells,
    JOSA A 1987. The colours are those of Lucid, the library of Olah, Mordvintsev and Schubert, Feature Visualization,
    Distill 2017.

    Args:
      shape: height, width and channels of the images.
    """
    h, w, c = shape
    colours = _with_longest_column_1(np.array(_PHOTOS) if c == 3 else np.eye(c))
    inverse = np.divide(1, frequencies(h, w), where=frequencies(h, w) > 0, out=np.zeros((h, w)))
    deviation = np.sqrt((inverse**2).sum()) / (h * w)  # of such images, by Parseval's theorem
    deviation *= np.sqrt((colours**2).sum(1).mean())
    magnitude = inverse[:, : w // 2 + 1, None] * np.full(c, _DEVIATION / max(deviation, 1e-12))
    return _statistics(np.full(c, 0.5), colours, magnitude)


def measured_statistics(images: jax.Array, size: tuple[int, int]) -> ImageStatistics:
    """Measures the statistics of example images, which are resized where they have another size.

    Args:
      images: `[N, H, W, C]`, uint8 or floating point in [0, 1].
      size: height and width of the magnitude in pixels.

    >>> images = jnp.array([[[[0.0], [1.0]]]])
    >>> measured_statistics(images, (1, 2)).magnitude.ravel().tolist()
    [0.0, 1.0]
    """
    images = np.asarray(as_float(images))
    if images.ndim != 4 or not images.size:
        raise ValueError(f"examples must be images [N, H, W, C], found {list(images.shape)}")
    c = images.shape[-1]
    mean = images.mean((0, 1, 2), dtype=np.float64)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(images.reshape(-1, c), rowvar=False, bias=True)))
    deviations = np.sqrt(np.maximum(values[::-1], 0))
    deviations = np.maximum(deviations, max(_LEAST * deviations[0], 1e-12))
    colours = _with_longest_column_1(vectors[:, ::-1] * deviations)
    if images.shape[1:3] != size:
        images = np.asarray(jax.image.resize(images, (len(images), *size, c), "bilinear"))
    independent = (images - mean) @ np.linalg.inv(colours).T
    magnitude = np.abs(np.fft.rfft2(independent, axes=(1, 2))).mean(0)
    magnitude[0, 0] = 0
    return _statistics(mean, colours, magnitude)


def _with_longest_column_1(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix, axis=0).max()


def _statistics(*arrays: np.ndarray) -> ImageStatistics:
    return ImageStatistics(*(jnp.asarray(array, jnp.float32) for array in arrays))
