import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from cnnlab.ops import convolve, cross_correlate, depthwise_separable

pytestmark = pytest.mark.device

A = np.array([[1, 2, 0], [3, -1, 4]], np.float32)
TURNED = [[1, 2], [3, 4]]  # not its own rotation


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3), (3, 3)])
@pytest.mark.parametrize("padding", ["valid", "full"])
def test_both_equal_scipys(shape, padding):
    x, kernel = normal(*(7, 6)[: len(shape)]), normal(*shape, seed=1)
    np.testing.assert_allclose(convolve(x, kernel, padding=padding), signal.convolve(x, kernel, padding), atol=1e-5)
    want = signal.correlate(x, kernel, padding)
    np.testing.assert_allclose(cross_correlate(x, kernel, padding=padding), want, atol=1e-5)


def test_2d_convolution_of_odd_kernels_keeps_the_place_as_scipys_does():
    x, kernel = normal(7, 6), normal(3, 5, seed=1)
    want = signal.convolve2d(x, kernel, "same", "symm")
    assert convolve(x, kernel, padding="same").shape == want.shape
    np.testing.assert_allclose(convolve(x, kernel, padding="same")[2:-2, 2:-2], want[2:-2, 2:-2], atol=1e-5)
    want = signal.correlate2d(x, kernel, "same", "wrap")
    np.testing.assert_allclose(cross_correlate(x, kernel, padding="same", border="circular"), want, atol=1e-5)


def test_convolution_flips_the_kernel_and_cross_correlation_does_not():
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    assert convolve(impulse, TURNED).tolist() == [[1, 2], [3, 4]]
    assert cross_correlate(impulse, TURNED).tolist() == [[4, 3], [2, 1]]


def test_full_convolution_commutes_and_is_associative():
    c = [[0, 1, 5], [2, 0, -3]]
    assert (convolve(A, TURNED, padding="full") == convolve(TURNED, A, padding="full")).all()
    first = convolve(convolve(A, TURNED, padding="full"), c, padding="full")
    second = convolve(A, convolve(TURNED, c, padding="full"), padding="full")
    assert (first == second).all()
    assert first.shape == (4, 6)


def test_full_cross_correlation_does_neither():
    c = [[0, 1, 5], [2, 0, -3]]
    swapped = cross_correlate(TURNED, A, padding="full")
    assert (cross_correlate(A, TURNED, padding="full") != swapped).any()
    assert (cross_correlate(A, TURNED, padding="full") == swapped[::-1, ::-1]).all()
    first = cross_correlate(cross_correlate(A, TURNED, padding="full"), c, padding="full")
    second = cross_correlate(A, cross_correlate(TURNED, c, padding="full"), padding="full")
    assert (first != second).any()


CASES = [
    # axes, channels in and out, kernel, options of torch
    (1, (4, 6), (3,), {"stride": 2, "dilation": 2, "groups": 2, "padding": 3}),
    (1, (3, 3), (4,), {"groups": 3, "padding": 2, "padding_mode": "circular"}),
    (1, (2, 5), (4,), {"padding": "same"}),
    (2, (4, 6), (3, 2), {"stride": (2, 1), "dilation": (1, 3), "groups": 2, "padding": (1, 2)}),
    (2, (3, 5), (4, 3), {"padding": "same", "dilation": (2, 1)}),
    (2, (1, 2), (4, 2), {"padding": "same"}),
    (2, (3, 2), (3, 3), {"padding": 1, "padding_mode": "replicate"}),
    (2, (3, 2), (5, 3), {"stride": 2, "padding": (2, 1), "padding_mode": "reflect"}),
    (2, (3, 2), (5, 3), {"padding": (2, 1), "padding_mode": "circular"}),
]


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize(("axes", "channels", "sides", "options"), CASES)
def test_cross_correlation_equals_torchs_convolution(axes, channels, sides, options):
    torch = pytest.importorskip("torch")
    x, kernel = (
        normal(2, *(9, 8)[:axes], channels[0]),
        normal(*sides, channels[0] // options.get("groups", 1), channels[1]),
    )
    layer = (torch.nn.Conv1d, torch.nn.Conv2d)[axes - 1](*channels, sides, bias=False, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(np.moveaxis(kernel, (-1, -2), (0, 1))))
        want = np.moveaxis(layer(torch.tensor(np.moveaxis(x, -1, 1))).numpy(), 1, -1)
    border = {"replicate": "edge"}.get(layer.padding_mode, layer.padding_mode)
    options = {name: value for name, value in options.items() if name != "padding_mode"}
    got = cross_correlate(x, kernel, border=border, **options)
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_a_plain_kernel_equals_the_one_of_one_channel_and_takes_any_axes_before():
    x, kernel = normal(2, 3, 7, 6), normal(3, 2, seed=1)
    options = {"padding": [(0, 2), 1], "stride": 2, "border": "edge"}
    want = convolve(x[..., None], kernel[..., None, None], **options)[..., 0]
    assert (convolve(x, kernel, **options) == want).all()
    assert (convolve(x[1, 2], kernel, **options) == want[1, 2]).all()


@pytest.mark.parametrize(("border", "mode"), [("edge", "edge"), ("reflect", "reflect"), ("circular", "wrap")])
def test_borders_repeat_as_numpys_even_where_the_padding_is_wider_than_the_signal(border, mode):
    x, kernel = normal(3), normal(5, seed=1)
    want = np.convolve(np.pad(x, 4, mode), kernel, "valid")
    np.testing.assert_allclose(convolve(x, kernel, padding="full", border=border), want, atol=1e-5)


def test_depthwise_separable_equals_torchs_two_layers():
    torch = pytest.importorskip("torch")
    x, deep, point = normal(2, 7, 6, 3), normal(3, 3, 1, 6, seed=1), normal(1, 1, 6, 4, seed=2)
    nchw = torch.tensor(x).permute(0, 3, 1, 2)
    middle = torch.nn.functional.conv2d(nchw, torch.tensor(deep).permute(3, 2, 0, 1), stride=2, padding=1, groups=3)
    want = torch.nn.functional.conv2d(middle, torch.tensor(point).permute(3, 2, 0, 1)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(depthwise_separable(x, deep, point, stride=2, padding=1), want, atol=2e-5)


def test_bytes_do_not_overflow():
    assert cross_correlate(np.full(3, 200, np.uint8), np.full(2, 3, np.uint8)).tolist() == [1200, 1200]


def test_convolution_compiles_maps_and_differentiates():
    x, kernel = jnp.asarray(normal(5, 4, 6, 2)), jnp.asarray(normal(3, 3, 2, 3, seed=1))
    mapped = jax.jit(jax.vmap(lambda x: convolve(x, kernel, padding="same")))(x)
    np.testing.assert_allclose(mapped, convolve(x, kernel, padding="same"), atol=1e-5)
    # The sum of a full convolution is the product of the sums.
    slope = jax.grad(lambda x: convolve(x, kernel, padding="full").sum())(x)
    np.testing.assert_allclose(slope, np.broadcast_to(kernel.sum((0, 1, 3)), x.shape), atol=1e-4)


WRONG = [
    ((5, 5, 3), (3, 3, 2, 4), {}, r"kernel \(3, 3, 2, 4\) reads 2 channels in each of 1 groups, but x has 3"),
    ((5, 5, 4), (3, 3, 2, 4), {"groups": 3}, "3 does not divide 4 input channels"),
    ((5, 5, 4), (3, 3, 2, 5), {"groups": 2}, "2 does not divide 5 output channels"),
    ((5, 5, 4), (3, 3, 2, 4), {"groups": 0}, "groups must be a whole number of at least 1, found 0"),
    ((5, 5), (6, 1), {}, "kernel of 6 pixels is larger than its padded input of 5"),
    ((5,), (3,), {"dilation": 3}, r"kernel of 7 pixels \(side 3, dilation 3\) is larger than its padded input of 5"),
    ((5,), (3,), {"stride": 0}, "stride must be a whole number of at least 1, found 0"),
    ((5, 5), (3, 3), {"stride": (1, -2)}, "stride must be a whole number of at least 1, found -2"),
    ((5,), (3,), {"stride": 1.5}, "stride must be a whole number of at least 1, found 1.5"),
    ((5,), (3,), {"dilation": 0}, "dilation must be a whole number of at least 1, found 0"),
    (
        (5, 5),
        (3, 3),
        {"stride": (1, 1, 1)},
        r"stride must be a single value or one value for each of 2 axes, found \(1, 1, 1\)",
    ),
    ((5,), (3,), {"padding": -1}, "padding must be a whole number of at least 0, found -1"),
    ((5,), (3,), {"padding": "SAME"}, "padding must be 'valid', 'same', 'full' or numbers, found 'SAME'"),
    ((5,), (3,), {"padding": [(1, 1, 1)]}, r"padding of an axis must be one number or \(before, after\)"),
    ((5,), (3,), {"border": "mirror"}, "border must be one of 'zeros', 'edge', 'reflect', 'circular', found 'mirror'"),
    ((5, 5), (3, 3, 1, 2), {}, r"x must have 3 axes or more for a kernel \(3, 3, 1, 2\), found \(5, 5\)"),
    ((5, 5), (1, 1, 1, 1, 1), {}, r"kernel must be \[w\], \[h, w\], .* found the shape \(1, 1, 1, 1, 1\)"),
    ((5,), (0,), {}, "kernel must be a whole number of at least 1, found 0"),
]


@pytest.mark.parametrize(("x", "kernel", "options", "message"), WRONG)
def test_messages_contain_the_name_and_the_number(x, kernel, options, message):
    with pytest.raises(ValueError, match=message):
        convolve(np.ones(x), np.ones(kernel), **options)
