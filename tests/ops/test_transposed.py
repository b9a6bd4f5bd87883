import numpy as np
import pytest

from cnnlab.ops import convolve, cross_correlate, transposed_convolution

WAYS = ["gradient", "zeros", "matrix"]
CASES = [
    # x [..., W', K] or [..., H', W', K], kernel, options
    ((2, 4, 3), (3, 2, 3), {"stride": 2}),
    ((2, 4, 6), (4, 2, 6), {"stride": 3, "padding": 1, "dilation": 2, "groups": 2, "extra": 2}),
    ((2, 3, 4, 6), (3, 2, 1, 6), {"stride": (2, 3), "padding": (1, 0), "extra": (1, 0), "groups": 3}),
    ((1, 3, 4, 2), (3, 3, 4, 2), {"dilation": (2, 1), "padding": 2}),
    ((1, 5, 5, 2), (1, 2, 3, 2), {"stride": 2, "extra": 1}),
]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("x", "kernel", "options"), CASES)
def test_all_ways_equal_torchs_transposed_convolution(x, kernel, options, way):
    torch = pytest.importorskip("torch")
    x, kernel = normal(*x), normal(*kernel, seed=1)
    function = {3: torch.nn.functional.conv_transpose1d, 4: torch.nn.functional.conv_transpose2d}[x.ndim]
    named = {("output_padding" if name == "extra" else name): value for name, value in options.items()}
    weight = torch.tensor(np.moveaxis(kernel, (-1, -2), (0, 1)))
    want = np.moveaxis(function(torch.tensor(np.moveaxis(x, -1, 1)), weight, **named).numpy(), 1, -1)
    np.testing.assert_allclose(transposed_convolution(x, kernel, way=way, **options), want, atol=2e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("padding", "extra"), [("valid", (1, 1)), ("same", (0, 1)), ("full", (1, 1)), ([(0, 1), (4, 2)], (0, 1))]
)
def test_it_is_the_transpose_whatever_the_padding(padding, extra, way):
    image, kernel = normal(9, 8), normal(4, 3, seed=1)
    forward = cross_correlate(image, kernel, stride=2, padding=padding)
    x = normal(*forward.shape, seed=2)
    back = transposed_convolution(x, kernel, stride=2, padding=padding, extra=extra, way=way)
    assert back.shape == image.shape
    np.testing.assert_allclose((forward * x).sum(), (image * back).sum(), rtol=1e-5)  # <Wᵀh, x> = <h, Wx>


def test_with_stride_1_it_is_the_full_convolution():
    x, kernel = normal(2, 5), normal(2, 3, seed=1)
    np.testing.assert_allclose(transposed_convolution(x, kernel), convolve(x, kernel, padding="full"), atol=1e-6)


def test_same_padding_with_all_that_the_stride_leaves_over_doubles_an_image():
    x = normal(1, 5, 7, 2)
    for side in (2, 3, 4):
        kernel = normal(side, side, 3, 2)
        assert transposed_convolution(x, kernel, stride=2, padding="same", extra=1).shape == (1, 10, 14, 3)


WRONG = [
    ((4, 4, 3), (3, 3, 5, 2), {}, r"transposed kernel \(3, 3, 5, 2\) reads 2 channels, but x has 3"),
    ((4, 4, 3), (3, 3, 5, 3), {"groups": 2}, "2 does not divide 3 output channels"),
    ((4,), (3,), {"stride": 0}, "stride must be a whole number of at least 1, found 0"),
    ((4,), (3,), {"stride": 2, "extra": 2}, "extra must lie in 0 <= extra < stride 2, found 2"),
    ((1,), (3,), {"padding": (2,)}, r"padding \(2, 2\) removes all 3 pixels"),
    ((4,), (3,), {"way": "zero"}, "unknown way 'zero'; did you mean 'zeros'"),
]


@pytest.mark.parametrize(("x", "kernel", "options", "message"), WRONG)
def test_messages_contain_the_name_and_the_number(x, kernel, options, message):
    with pytest.raises(ValueError, match=message):
        transposed_convolution(np.ones(x), np.ones(kernel), **options)
