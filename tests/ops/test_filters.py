import numpy as np
import pytest
from scipy import ndimage

from cnnlab.ops import FILTERS, apply_filter, filters

IMAGE = np.random.default_rng(0).random((2, 9, 8, 3)).astype(np.float32)


def test_sobel_equals_scipys_derivatives():
    for name, axis in (("sobel_x", 2), ("sobel_y", 1)):
        want = [
            ndimage.sobel(plane, axis - 1, mode="nearest") for image in IMAGE for plane in np.moveaxis(image, -1, 0)
        ]
        got = np.moveaxis(np.asarray(apply_filter(IMAGE, name)), -1, 1).reshape(-1, 9, 8)
        np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 5, 21])
def test_box_blur_of_any_odd_size_equals_scipys(size):
    want = ndimage.uniform_filter(IMAGE, (1, size, size, 1), mode="nearest")
    np.testing.assert_allclose(apply_filter(IMAGE, filters.box(size)), want, atol=1e-5)


def test_gaussian_of_a_given_deviation_equals_scipys():
    want = ndimage.gaussian_filter(IMAGE, (0, 1.5, 1.5, 0), radius=(0, 4, 4, 0), mode="nearest")
    np.testing.assert_allclose(apply_filter(IMAGE, filters.gaussian(9, 1.5)), want, atol=1e-5)


def test_binomial_weights_have_the_deviation_they_claim():
    for size in (2, 3, 8):
        weights = filters.gaussian(size).sum(0)
        place = np.arange(size) - (size - 1) / 2
        assert (weights * place**2).sum() == pytest.approx((size - 1) / 4)


@pytest.mark.parametrize(
    ("name", "total"),
    [(n, 1) for n in ("box", "gaussian", "emboss", "sharpen")] + [(n, 0) for n in ("sobel_x", "sobel_y", "edge")],
)
def test_a_flat_image_keeps_its_value_or_gives_none(name, total):
    flat = np.full((5, 4, 1), 0.5)
    np.testing.assert_allclose(apply_filter(flat, name), total * flat, atol=1e-6)


def test_the_edge_filter_is_nine_times_the_pixel_less_its_neighbourhood():
    want = 9 * (IMAGE - ndimage.uniform_filter(IMAGE, (1, 3, 3, 1), mode="nearest"))
    np.testing.assert_allclose(apply_filter(IMAGE, "edge"), want, atol=1e-5)


def test_a_flip_turns_emboss_and_sobel_around_and_leaves_the_others():
    turned = {name for name, kernel in FILTERS.items() if (kernel != kernel[::-1, ::-1]).any()}
    assert turned == {"sobel_x", "sobel_y", "emboss"}


def test_messages_contain_the_name_and_the_number():
    with pytest.raises(ValueError, match="unknown filter 'sobel'; did you mean 'sobel_"):
        apply_filter(IMAGE, "sobel")
    with pytest.raises(ValueError, match=r"found \(9, 8\) and \(3, 3\)"):
        apply_filter(IMAGE[0, ..., 0], "box")
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, found 0"):
        filters.box(0)
    with pytest.raises(ValueError, match="sigma must be above 0, found -1"):
        filters.gaussian(3, -1)
