"""Tests of the building blocks against torch and against values computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import nn
from cnnlab.models.inception import halve
from cnnlab.ops import adaptive_average_pool

X = np.random.default_rng(0).normal(size=(2, 9, 7, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def channels_first(torch, x):
    return torch.tensor(np.asarray(x)).permute(0, 3, 1, 2)


def channels_last(x):
    return x.detach().permute(0, 2, 3, 1).numpy()


def test_batch_norm_keeps_the_running_averages_of_torch(torch):
    theirs, ours = torch.nn.BatchNorm2d(4), nn.BatchNorm(use_running_average=False)
    variables = ours.init(jax.random.key(0), X)
    n = X.size // 4
    for step in range(3):
        x = X * (step + 1) + step
        want = channels_last(theirs(channels_first(torch, x)))
        got, updated = ours.apply(variables, x, mutable=["batch_stats"])
        variables |= updated
        np.testing.assert_allclose(got, want, atol=1e-4)
    np.testing.assert_allclose(variables["batch_stats"]["mean"], theirs.running_mean, rtol=1e-4, atol=1e-5)
    # torch's running variance is the unbiased one. Both start at 1, which after three steps weighs .9 ** 3.
    unbiased = (variables["batch_stats"]["var"] - 0.9**3) * n / (n - 1) + 0.9**3
    np.testing.assert_allclose(unbiased, theirs.running_var, rtol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "dilation"), [(3, 2, 1, 1), (5, 1, 2, 1), (3, 1, 4, 2), (7, 2, 1, 1)]
)
def test_a_convolution_block_is_torchs_convolution_padded_by_half_the_kernel(torch, kernel, stride, groups, dilation):
    options = {"stride": stride, "groups": groups, "dilation": dilation}
    block = nn.ConvBlock(8, (kernel, kernel), norm=False, activation=None, **options)
    got, variables = block.init_with_output(jax.random.key(0), X)
    weight = torch.tensor(np.asarray(variables["params"]["conv"]["kernel"])).permute(3, 2, 0, 1)
    half = dilation * (kernel - 1) // 2
    want = torch.nn.functional.conv2d(channels_first(torch, X), weight, None, stride, half, dilation, groups)
    np.testing.assert_allclose(got, channels_last(want), atol=1e-4)


def test_a_separable_convolution_is_torchs_two(torch):
    got, variables = nn.SeparableConv(6, stride=2).init_with_output(jax.random.key(0), X)
    deep, point = (
        torch.tensor(np.asarray(variables["params"][name]["kernel"])).permute(3, 2, 0, 1)
        for name in ("depthwise", "pointwise")
    )
    convolve = torch.nn.functional.conv2d
    want = convolve(convolve(channels_first(torch, X), deep, None, 2, 1, 1, 4), point)
    np.testing.assert_allclose(got, channels_last(want), atol=1e-5)


def test_a_transposed_up_block_is_torchs_with_the_kernel_turned(torch):
    got, variables = nn.TransposedUp(3).init_with_output(jax.random.key(0), X)
    weight = torch.tensor(np.asarray(variables["params"]["kernel"])[::-1, ::-1].copy()).permute(2, 3, 0, 1)
    want = torch.nn.functional.conv_transpose2d(channels_first(torch, X), weight, None, 2)
    np.testing.assert_allclose(got, channels_last(want), atol=1e-5)


def test_a_resize_up_block_repeats_pixels_before_it_convolves():
    block = nn.ResizeUp(5)
    got, variables = block.init_with_output(jax.random.key(0), X)
    double = X.repeat(2, 1).repeat(2, 2)
    want = nn.ConvBlock(5).apply({name: leaf["conv"] for name, leaf in variables.items()}, double)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_a_map_is_interpolated_as_torch_does_before_or_after_its_1x1_convolution(torch, method):
    got, variables = nn.InterpolatedUp(5, method).init_with_output(jax.random.key(0), X)
    conv = variables["params"]["conv"]
    options = {"align_corners": False} if method == "bilinear" else {}
    double = torch.nn.functional.interpolate(channels_first(torch, X), scale_factor=2, mode=method, **options)
    want = channels_last(double) @ np.asarray(conv["kernel"])[0, 0] + np.asarray(conv["bias"])
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 6), (1, 1), (4, 9), (9, 7), (12, 3)])
def test_adaptive_average_pooling_places_its_windows_as_torch(torch, size):
    want = torch.nn.functional.adaptive_avg_pool2d(channels_first(torch, X), size)
    np.testing.assert_allclose(adaptive_average_pool(X, size), channels_last(want), atol=1e-6)


@pytest.mark.parametrize("side", [2, 3])
@pytest.mark.parametrize("cut", [9, 8, 7, 6])
def test_halving_drops_no_pixel_as_torchs_ceil_mode(torch, side, cut):
    want = torch.nn.functional.max_pool2d(channels_first(torch, X[:, :cut]), side, 2, ceil_mode=True)
    np.testing.assert_array_equal(halve(jnp.asarray(X[:, :cut]), side), channels_last(want))


def test_a_padded_shortcut_takes_every_other_pixel_and_channels_of_zeros():
    block = nn.BasicBlock(6, stride=2, shortcut="pad")
    variables = jax.tree.map(
        jnp.zeros_like, block.init(jax.random.key(0), X)
    )  # zero kernels, so that the output is the shortcut
    want = np.pad(np.maximum(X[:, ::2, ::2], 0), ((0, 0), (0, 0), (0, 0), (0, 2)))
    np.testing.assert_array_equal(block.apply(variables, X), want)


def test_a_block_without_a_shortcut_is_its_two_convolutions():
    block = nn.BasicBlock(6, stride=2, shortcut="none")
    variables = block.init(jax.random.key(0), X)
    first, second = ({name: leaf[part] for name, leaf in variables.items()} for part in ("conv1", "conv2"))
    want = nn.ConvBlock(6).apply(second, nn.ConvBlock(6, stride=2).apply(first, X))
    np.testing.assert_allclose(block.apply(variables, X), want, atol=1e-6)


def test_a_skip_is_cut_to_its_centre():
    joined = nn.concatenate_skip(jnp.zeros((2, 5, 5, 1)), jnp.asarray(X))
    np.testing.assert_array_equal(joined[..., 1:], X[:, 2:7, 1:6])
    with pytest.raises(ValueError, match="found 9x7 for 10x5"):
        nn.concatenate_skip(jnp.zeros((2, 10, 5, 1)), jnp.asarray(X))


def test_kernels_begin_with_the_fan_out_before_batch_norm_and_the_mean_of_both_fans_without():
    x = np.zeros((1, 4, 4, 832), np.float32)
    for norm, fan in ((True, 48), (False, (832 + 48) / 2)):
        kernel = nn.ConvBlock(48, (1, 1), norm=norm).init(jax.random.key(0), x)["params"]["conv"]["kernel"]
        assert float(kernel.std()) == pytest.approx((2 / fan) ** 0.5, rel=0.02)


def test_a_separable_convolution_without_a_stride_is_refused():
    with pytest.raises(ValueError, match="stride must be a whole number of at least 1, found 0"):
        nn.SeparableConv(6, stride=0).init(jax.random.key(0), X)


def test_shortcuts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="unknown shortcut 'padd'; did you mean 'pad'"):
        nn.BasicBlock(4, shortcut="padd").init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="4 in, 2 out"):
        nn.BasicBlock(2, shortcut="pad").init(jax.random.key(0), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": (11, 11), "padding": "VALID"}, "kernel of 11 pixels is larger than its padded input of 9"),
        ({"stride": 0}, "stride must be a whole number of at least 1, found 0"),
        ({"groups": 3}, "3 does not divide 4 input channels"),
        ({"groups": 4, "features": 6}, "4 does not divide 6 output channels"),
        ({"dilation": -1}, "dilation must be a whole number of at least 1, found -1"),
    ],
)
def test_blocks_that_cannot_be_are_refused_with_their_numbers(options, message):
    with pytest.raises(ValueError, match=message):
        nn.ConvBlock(**({"features": 8} | options)).init(jax.random.key(0), X)
