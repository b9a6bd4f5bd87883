"""Images from parameters and their transformations, against NumPy, SciPy and hand arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.features.image_statistics import measured_statistics, natural_statistics
from cnnlab.features.parametrisation import PARAMETRISATIONS, draw_phases, fourier_images, phase_canvas, phase_images
from cnnlab.features.transformations import Transformations, transform, warp_together
from cnnlab.geometry.warp import affine, warp_images

KEY = jax.random.key(0)


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (6, 5), (1, 4)])
def test_fourier_images_are_the_sigmoid_of_numpys_inverse_transform(size):
    h, w = size
    parts = jax.random.normal(KEY, (2, h, w // 2 + 1, 1, 2))
    frequency = np.sqrt(np.fft.fftfreq(h)[:, None] ** 2 + np.fft.rfftfreq(w) ** 2)
    scaled = np.asarray(parts[..., 0, 0] + 1j * parts[..., 0, 1]) / np.maximum(frequency, 1 / max(size))
    canvas = np.fft.irfft2(scaled, size, norm="ortho") / 4
    images = fourier_images(parts, natural_statistics((h, w, 1)), (h, w, 1))
    np.testing.assert_allclose(images[..., 0], 1 / (1 + np.exp(-canvas)), atol=1e-5)


@pytest.mark.parametrize("name", PARAMETRISATIONS)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_parametrisation_gives_images_between_0_and_1_for_any_channels(name, channels):
    shape = (9, 8, channels)
    parameters = 3 * PARAMETRISATIONS[name].draw(KEY, shape)[None]
    images = np.asarray(PARAMETRISATIONS[name].images(parameters, natural_statistics(shape), shape))
    assert images.shape == (1, *shape)
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 1e-4


def test_grey_and_other_channels_have_no_colours_and_three_have_those_of_photos():
    for channels in (1, 2, 4):
        np.testing.assert_array_equal(natural_statistics((4, 4, channels)).colours, np.eye(channels))
    colours = np.asarray(natural_statistics((4, 4, 3)).colours)
    covariance = colours @ colours.T
    np.testing.assert_allclose(covariance[0, 1], (0.26 * 0.27 - 0.02 * 0.05) / (0.26**2 + 2 * 0.27**2), rtol=1e-4)


def test_the_colours_of_examples_have_their_covariance():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(4, 16, 16, 3)) @ np.array([[0.1, 0.1, 0.0], [0.0, 0.02, 0.02], [0.01, 0.0, 0.0]]) + 0.5
    expected = np.cov(mixed.reshape(-1, 3), rowvar=False)
    statistics = measured_statistics(mixed.astype(np.float32), (16, 16))
    product = np.asarray(statistics.colours @ statistics.colours.T, np.float64)
    np.testing.assert_allclose(product / np.trace(product), expected / np.trace(expected), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(statistics.colours, axis=0).max(), 1, rtol=1e-6)


def test_independent_values_become_colours_with_the_covariance_of_the_statistics():
    colours = np.asarray(natural_statistics((1, 1, 3)).colours)
    values = np.random.default_rng(0).normal(size=(100_000, 3))
    np.testing.assert_allclose(np.cov(values @ colours.T, rowvar=False), colours @ colours.T, atol=0.02)


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (6, 5)])
def test_the_magnitude_stays_fixed_whatever_the_phases(size):
    shape = (*size, 2)
    magnitude = natural_statistics(shape).magnitude
    canvas = phase_canvas(5 * draw_phases(KEY, shape)[None], magnitude, shape)
    np.testing.assert_allclose(np.abs(np.fft.rfft2(canvas[0], axes=(0, 1))), magnitude, atol=1e-4)


def test_the_magnitude_of_examples_is_the_mean_of_numpys():
    rng = np.random.default_rng(0)
    images = rng.random((5, 8, 6, 1), np.float32)
    expected = np.abs(np.fft.rfft2(images - images.mean(), axes=(1, 2))).mean(0)
    expected[0, 0] = 0
    np.testing.assert_allclose(measured_statistics(images, (8, 6)).magnitude, expected, atol=1e-4)


def test_phases_without_examples_give_the_contrast_of_photos():
    shape = (32, 32, 3)
    images = phase_images(draw_phases(KEY, shape)[None], natural_statistics(shape), shape)
    assert 0.2 < float(images.std()) < 0.28
    assert abs(float(images.mean()) - 0.5) < 0.03


def test_examples_of_one_colour_give_no_nan():
    statistics = measured_statistics(np.full((2, 4, 4, 3), 0.25, np.float32), (4, 4))
    assert all(np.isfinite(array).all() for array in statistics)
    np.testing.assert_allclose(statistics.mean, 0.25)


def test_jitter_moves_whole_pixels_and_mirrors_the_border():
    image = jnp.arange(1.0, 6.0).reshape(1, 1, 5, 1)
    moved = warp_together(image, affine((1, 5), shift=(2.0, 0.0)))
    assert moved.ravel().tolist() == [2, 1, 1, 2, 3]


def test_jitter_keeps_the_content():
    images = jax.random.uniform(KEY, (3, 12, 12, 2))
    for number in range(5):
        out = np.asarray(transform(images, jax.random.key(number), Transformations(2, 0.0, 0.0)))
        shifts = [(y, x) for y in range(-2, 3) for x in range(-2, 3)]
        inner = [np.roll(images, shift, (1, 2))[:, 2:-2, 2:-2] for shift in shifts]
        assert sum(np.array_equal(out[:, 2:-2, 2:-2], each) for each in inner) == 1


@pytest.mark.parametrize("change", [{"rotation": 20.0}, {"zoom": 1.3}, {"rotation": -8.0, "zoom": 0.9}])
def test_two_passes_agree_with_bilinear_interpolation_inside(change):
    smooth = jax.image.resize(jax.random.uniform(KEY, (2, 8, 8, 1)), (2, 40, 32, 1), "cubic")
    matrix = affine((40, 32), **change)
    bilinear = warp_images(smooth, jnp.broadcast_to(matrix, (2, 2, 3)), fill="edge")
    difference = np.abs(warp_together(smooth, matrix) - bilinear)[:, 9:-9, 9:-9]
    assert difference.max() < 0.02
