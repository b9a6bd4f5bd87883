import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import linalg

from cnnlab.ops import backpropagate, connectivity_matrix, convolve, cross_correlate, im2col


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_im2col_holds_torchs_windows_and_times_the_kernel_is_its_convolution():
    torch = pytest.importorskip("torch")
    x, kernel = normal(2, 7, 6, 3), normal(3, 2, 3, 4, seed=1)
    nchw, options = torch.tensor(x).permute(0, 3, 1, 2), {"stride": 2, "padding": 1, "dilation": (2, 1)}
    columns = im2col(x, (3, 2), **options)
    want = torch.nn.functional.unfold(nchw, (3, 2), **options).numpy()  # [B, C h w, windows]
    np.testing.assert_array_equal(
        columns, np.moveaxis(want.reshape(2, 3, 6, -1), (3, 2), (1, 2)).reshape(columns.shape)
    )
    out = torch.nn.functional.conv2d(nchw, torch.tensor(kernel).permute(3, 2, 0, 1), **options)
    product = (columns @ kernel.reshape(-1, 4)).reshape(2, 3, 4, 4)
    np.testing.assert_allclose(product, out.permute(0, 2, 3, 1), atol=1e-5)


def test_one_axis_gives_a_toeplitz_matrix():
    want = linalg.toeplitz([1, 2, 3, 0, 0], [1, 0, 0])
    np.testing.assert_array_equal(connectivity_matrix([1, 2, 3], (5,)), want)


def test_two_axes_give_blocks_of_toeplitz_matrices():
    top, bottom, none = linalg.toeplitz([1, 2, 0], [1, 0]), linalg.toeplitz([3, 4, 0], [3, 0]), np.zeros((3, 2))
    want = np.block([[top, none], [bottom, top], [none, bottom]])
    np.testing.assert_array_equal(connectivity_matrix([[1, 2], [3, 4]], (3, 3)), want)


@pytest.mark.parametrize(
    ("size", "kernel", "options"),
    [
        ((8,), (3, 2, 4), {"stride": 2, "padding": "same"}),
        ((5, 4), (3, 2, 2, 6), {"stride": (2, 1), "padding": "full", "dilation": (1, 2), "groups": 2}),
        ((5, 4), (3, 3, 2, 3), {"padding": 1, "border": "reflect"}),
    ],
)
def test_its_transpose_times_the_input_is_the_cross_correlation(size, kernel, options):
    kernel = normal(*kernel)
    x = normal(*size, kernel.shape[-2] * options.get("groups", 1), seed=1)
    matrix = connectivity_matrix(kernel, size, **options)
    np.testing.assert_allclose(matrix.T @ x.ravel(), cross_correlate(x, kernel, **options).ravel(), atol=1e-5)


@pytest.mark.parametrize(
    ("x", "kernel", "options"),
    [
        ((3, 9, 2), (4, 2, 3), {"stride": 3, "padding": "same"}),
        ((3, 7, 6, 2), (3, 2, 2, 4), {"stride": (2, 1), "padding": [(1, 0), (2, 2)], "dilation": (1, 2)}),
        ((2, 8, 8, 1), (3, 3, 1, 2), {"stride": 4}),
    ],
)
def test_backpropagation_with_weight_decay_equals_the_gradient(x, kernel, options):
    x, kernel = jnp.asarray(normal(*x)), jnp.asarray(normal(*kernel, seed=1))
    out = cross_correlate(x, kernel, **options)
    target = normal(*out.shape, seed=2)

    def loss(x, kernel):
        return 0.5 * ((cross_correlate(x, kernel, **options) - target) ** 2).sum() + 0.05 * (kernel**2).sum()

    got = backpropagate(x, kernel, out - target, weight_decay=0.1, **options)
    for ours, want in zip(got, jax.grad(loss, (0, 1))(x, kernel), strict=True):
        np.testing.assert_allclose(ours, want, atol=1e-4)


def test_backpropagation_equals_the_gradient_of_xlas_own_convolution():
    x, kernel, error = normal(2, 6, 5, 3), normal(3, 3, 3, 4, seed=1), normal(2, 3, 3, 4, seed=2)

    def layer(x, kernel):
        return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    want = jax.vjp(layer, x, kernel)[1](jnp.asarray(error))
    for ours, theirs in zip(backpropagate(x, kernel, error, stride=2, padding=[(0, 1), (1, 1)]), want, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_plain_gradients_are_a_correlation_with_the_error_and_a_full_convolution_of_it():
    x, kernel, error = normal(6, 5), normal(3, 2, seed=1), normal(4, 4, seed=2)
    got = backpropagate(x, kernel, error)
    np.testing.assert_allclose(got.kernel, cross_correlate(x, error), atol=1e-5)
    np.testing.assert_allclose(got.x, convolve(error, kernel, padding="full"), atol=1e-5)
    matrix = connectivity_matrix(kernel, (6, 5))
    np.testing.assert_allclose(got.x.ravel(), matrix @ error.ravel(), atol=1e-5)
    dense = np.outer(x, error)  # hΔᵀ, the gradient of every connection; those of a weight are summed
    assert got.kernel[2, 1] == pytest.approx(
        dense[connectivity_matrix(np.eye(6)[[5]].reshape(3, 2), (6, 5)) == 1].sum()
    )


def test_a_step_down_the_gradient_with_decay_shrinks_a_kernel_that_sees_no_error():
    x, kernel = normal(6), normal(3, seed=1)
    step = kernel - 0.1 * backpropagate(x, kernel, np.zeros(4), weight_decay=0.5).kernel
    np.testing.assert_allclose(step, 0.95 * kernel, rtol=1e-6)


def test_messages_contain_the_name_and_the_number():
    with pytest.raises(ValueError, match=r"size must have 2 axes for a kernel \(3, 3\), found \(5,\)"):
        connectivity_matrix(np.ones((3, 3)), (5,))
    with pytest.raises(ValueError, match="kernel of 3 pixels is larger than its padded input of 2"):
        im2col(np.ones((2, 5, 1)), (3, 3))
    with pytest.raises(ValueError, match=r"error must have the output's shape, .* = \(1, 3, 1\), found \(1, 4, 1\)"):
        backpropagate(np.ones(5), np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match=r"kernel \(3, 1, 2\) reads 1 channels, but x has 3"):
        backpropagate(np.ones((1, 5, 3)), np.ones((3, 1, 2)), np.ones((1, 3, 2)))
