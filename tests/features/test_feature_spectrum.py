import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.features import singular_values


@pytest.fixture(scope="module")
def trained():
    network = cnnlab.create_model("unet", num_classes=2, width=2, depth=1, up="transposed")
    variables = network.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    spec = cnnlab.InputSpec((8, 8), classes=("a", "b"))
    return cnnlab.Trained(variables, network, cnnlab.tasks.Segmentation(), spec)


def test_the_largest_value_of_a_convolution_bounds_its_gain(trained):
    kernel = trained.variables["params"]["classes"]["kernel"][0, 0]  # 1x1: the matrix at every one of 64 places
    expected = np.repeat(np.linalg.svd(kernel, compute_uv=False), 64)
    np.testing.assert_allclose(singular_values(trained, "classes")["classes"], np.sort(expected)[::-1], rtol=1e-5)


def test_a_transposed_convolution_has_the_values_of_its_matrix(trained):
    kernel = np.asarray(trained.variables["params"]["up1"]["kernel"])  # [2, 2, 4, 2], windows that do not overlap
    matrix = kernel.transpose(2, 0, 1, 3).reshape(4, -1)
    expected = np.repeat(np.linalg.svd(matrix, compute_uv=False), 16)
    np.testing.assert_allclose(singular_values(trained, "up1")["up1"], np.sort(expected)[::-1], rtol=1e-5)


def test_an_unknown_convolution_is_named(trained):
    with pytest.raises(ValueError, match="unknown convolution 'class'; did you mean 'classes'"):
        singular_values(trained, "class")
