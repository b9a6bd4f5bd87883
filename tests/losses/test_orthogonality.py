import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.losses import orthogonality

RNG = np.random.default_rng(0)


def toeplitz(kernel, outputs, stride=(1, 1), dilation=(1, 1), groups=1):
    """The doubly block-Toeplitz matrix `[C_out * places, C_in * pixels]` of a convolution with room on all sides."""
    h, w, depth, units = kernel.shape
    size = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(outputs, stride, (h, w), dilation, strict=True)]
    matrix = np.zeros((units, *outputs, depth * groups, *size))
    for o, y, x, i, a, b in itertools.product(*map(range, (units, *outputs, depth, h, w))):
        channel = o // (units // groups) * depth + i
        matrix[o, y, x, channel, y * stride[0] + a * dilation[0], x * stride[1] + b * dilation[1]] = kernel[a, b, i, o]
    return matrix.reshape(units * outputs[0] * outputs[1], -1)


def by_matrix(kernel, **steps):
    """The squared distance to I of the rows at the middle place from all rows, in NumPy."""
    outputs = (9, 9)
    matrix = toeplitz(kernel, outputs, **steps)
    gram = (matrix @ matrix.T - np.eye(len(matrix))).reshape(kernel.shape[-1], *outputs, -1)
    return (gram[:, 4, 4] ** 2).sum()


def test_the_loss_of_a_small_kernel_is_that_by_hand():
    kernel = jnp.array([[[[1.0, 0.0]], [[2.0, 1.0]]]])  # kernels (1, 2) and (0, 1) along a row
    # At shift 0: 5 - 1, 1 - 1 and twice 2. At the shifts 1 and -1: twice 1 * 2, and twice 1 * 1 of both kernels.
    assert float(orthogonality(kernel)) == pytest.approx(4**2 + 2 * 2**2 + 2 * 2**2 + 2 * 1)
    assert float(orthogonality(kernel, stride=(1, 2))) == pytest.approx(4**2 + 2 * 2**2)  # windows do not overlap


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ((3, 3, 2, 3), {}),
        ((3, 2, 2, 3), {"stride": (2, 1)}),
        ((3, 3, 1, 2), {"stride": (2, 2), "dilation": (2, 2)}),
        ((3, 3, 1, 2), {"stride": (2, 2), "dilation": (3, 3)}),
        ((3, 3, 2, 4), {"groups": 2}),
        ((4, 4, 1, 2), {"stride": (3, 3)}),
    ],
)
def test_the_loss_is_that_of_the_doubly_block_toeplitz_matrix(shape, steps):
    kernel = RNG.normal(size=shape)
    assert float(orthogonality(jnp.asarray(kernel, jnp.float32), **steps)) == pytest.approx(by_matrix(kernel, **steps))


def test_the_loss_is_that_of_the_convolution_of_the_kernels_with_themselves():
    kernel = jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32)
    axes = ("NHWC", "HWIO", "NHWC")
    pads = [(2, 2), (2, 2)]  # (3 - 1) // 2 * 2
    product = jax.lax.conv_general_dilated(kernel.transpose(3, 0, 1, 2), kernel, (2, 2), pads, dimension_numbers=axes)
    expected = jnp.square(product.at[:, 1, 1].add(-jnp.eye(4))).sum()
    assert float(orthogonality(kernel, stride=(2, 2))) == pytest.approx(float(expected), rel=1e-5)


def test_a_dense_layer_has_the_loss_of_its_gram_matrix():
    kernel = RNG.normal(size=(4, 3))
    expected = ((kernel.T @ kernel - np.eye(3)) ** 2).sum()
    assert float(orthogonality(jnp.asarray(kernel, jnp.float32))) == pytest.approx(expected, rel=1e-5)


def test_rows_and_columns_have_one_loss_up_to_a_constant():
    kernel = jnp.asarray(RNG.normal(size=(3, 3, 2, 5)), jnp.float32)
    rows, columns = orthogonality(kernel), orthogonality(kernel.swapaxes(2, 3))
    assert float(rows - columns) == pytest.approx(5 - 2, rel=1e-3)


def test_an_orthogonal_convolution_is_the_minimum():
    square = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    kernel = jnp.zeros((3, 3, 4, 4)).at[1, 1].set(square)
    loss, gradient = jax.value_and_grad(orthogonality)(kernel)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert float(jnp.abs(gradient).max()) < 1e-5


def test_a_kernel_of_three_axes_is_refused():
    with pytest.raises(ValueError, match=r"kernel must be .*found \[3, 1, 2\]"):
        orthogonality(jnp.zeros((3, 1, 2)))
