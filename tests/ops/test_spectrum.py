import itertools

import numpy as np
import pytest

from cnnlab.ops import singular_values

RNG = np.random.default_rng(0)


def circular_matrix(kernel, size, stride=(1, 1), dilation=(1, 1), groups=1):
    """The matrix of a convolution with circular border, weight by weight."""
    h, w, depth, units = kernel.shape
    rows, columns = size[0] // stride[0], size[1] // stride[1]
    matrix = np.zeros((rows, columns, units, *size, depth * groups))
    for y, x, o, a, b, i in itertools.product(*map(range, (rows, columns, units, h, w, depth))):
        place = (y * stride[0] + a * dilation[0]) % size[0], (x * stride[1] + b * dilation[1]) % size[1]
        matrix[(y, x, o, *place, o // (units // groups) * depth + i)] += kernel[a, b, i, o]
    return matrix.reshape(rows * columns * units, -1)


@pytest.mark.parametrize(
    ("shape", "size", "steps"),
    [
        ((3, 3, 2, 3), (5, 6), {}),
        ((3, 2, 2, 5), (4, 6), {"stride": (2, 3)}),
        ((3, 3, 2, 2), (7, 6), {"dilation": (2, 3)}),
        ((3, 3, 2, 4), (4, 4), {"groups": 2, "stride": (2, 2)}),
        ((5, 5, 1, 2), (4, 4), {}),
    ],
)
def test_singular_values_are_those_of_the_dense_matrix(shape, size, steps):
    kernel = RNG.normal(size=shape)
    dense = np.linalg.svd(circular_matrix(kernel, size, **steps), compute_uv=False)
    np.testing.assert_allclose(singular_values(kernel, size, **steps), dense, atol=1e-10)


def test_a_stride_that_does_not_divide_the_size_is_refused():
    with pytest.raises(ValueError, match=r"multiples of the stride \(2, 2\), found \(5, 4\)"):
        singular_values(np.ones((3, 3, 1, 1)), (5, 4), stride=(2, 2))
