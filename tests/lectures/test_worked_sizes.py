"""Sizes, paddings and counts of five lectures on convolutional networks (numbered 0 to 4), recomputed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab import models, nn
from cnnlab.ops import cross_correlate
from cnnlab.ops.arithmetic import multiply_adds, output_size, parameters, receptive_fields, same_padding


def test_lecture_0_same_padding_keeps_the_size_for_even_kernels_too():
    pads = [same_padding(kernel) for kernel in (1, 2, 3, 4, 5)]
    assert pads == [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    for kernel, pad in enumerate(pads, 1):
        assert sum(pad) == kernel - 1
        assert output_size(9, kernel, padding=pad) == 9
        assert [pad] == lax.padtype_to_pads((9,), (kernel,), (1,), "SAME")


def test_lecture_0_the_size_formula_lacks_the_floor_where_the_stride_does_not_divide():
    printed = (6 - 3 + 2 * 0) / 2 + 1
    assert printed == 2.5
    assert output_size(6, 3, stride=2) == 2


def test_lecture_0_yolo_gives_1470_numbers():
    grid_of_cells = cross_correlate(np.ones((7, 7, 3)), np.ones((1, 1, 3, 5 * 2 + 20)))
    assert grid_of_cells.shape == (7, 7, 30)
    assert grid_of_cells.size == 1470


def test_lecture_1_same_padding_of_odd_kernels():
    assert [same_padding(kernel) for kernel in (3, 5, 7)] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(("kernel", "sizes"), [(3, [3, 5, 7]), (5, [5, 9, 13])])
def test_lecture_1_receptive_fields_of_stacked_kernels(kernel, sizes):
    assert [field.size for field in receptive_fields([{"kernel": kernel}] * 3)] == sizes


@pytest.mark.parametrize(("size", "channels", "inputs"), [((50, 50), 1, 2500), ((1080, 1920), 1, 2_073_600)])
def test_lecture_1_weights_of_one_unit_that_sees_all_pixels(size, channels, inputs):
    assert parameters(math.prod(size) * channels, 1, bias=False) == inputs
    assert parameters(math.prod(size) * 3, 1, bias=False) == 3 * inputs


def test_lecture_1_its_parameter_formula_leaves_out_the_biases_that_others_add():
    assert parameters(3, 8, (5, 5), bias=False) == 3 * 5 * 5 * 8
    assert parameters(3, 8, (5, 5)) == 3 * 5 * 5 * 8 + 8


def test_lecture_2_a_3x3_kernel_with_a_padding_of_2_in_total_keeps_the_size():
    assert [output_size(n, 3, padding=(1, 1)) for n in (5, 4)] == [5, 4]


def test_lecture_3_six_kernels_give_a_depth_of_six():
    assert cross_correlate(np.ones((32, 32, 3)), np.ones((5, 5, 3, 6))).shape == (28, 28, 6)
    assert parameters(3, 6, (5, 5)) == 456


@pytest.mark.parametrize(("padding", "size"), [(0, 60), (2, 64)])
def test_lecture_3_a_kernel_of_5_over_64_pixels(padding, size):
    assert output_size(64, 5, padding=padding) == size


def test_lecture_3_padding_1_is_a_misprint_for_2_where_64_pixels_stay_64():
    assert output_size(64, 5, padding=1) == 62 != 64
    assert output_size(64, 5, padding=2) == 64
    assert parameters(3, 8, (5, 5)) == 608
    assert parameters(8, 1, (5, 5)) == 201


def test_lecture_4_one_2x2_kernel_has_4_weights():
    assert parameters(1, 1, (2, 2), bias=False) == 4


def counted(*layers, groups=1):
    return [parameters(*layer, groups=groups) for layer in layers]


def network_count(name, shape):
    network = models.create_model(name, num_classes=10)
    variables = jax.eval_shape(lambda x: nn.init(network, x, jax.random.key(0)), jnp.zeros((1, *shape)))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_lecture_4_the_first_keras_network():
    counts = counted((1, 32, (3, 3)), (32, 64, (3, 3)), (12 * 12 * 64, 128), (128, 10))
    assert counts == [320, 18_496, 1_179_776, 1_290]
    assert sum(counts) == 1_199_882 == network_count("keras_mnist", (28, 28, 1))


def test_lecture_4_the_second_keras_network():
    sizes = [100]
    for kernel, stride in [(3, 1), (3, 1), (2, 2)] * 2:
        sizes.append(output_size(sizes[-1], kernel, stride=stride))
    assert sizes == [100, 98, 96, 48, 46, 44, 22]
    counts = counted(
        *((a, b, (3, 3)) for a, b in [(3, 32), (32, 32), (32, 64), (64, 64)]), (22 * 22 * 64, 256), (256, 10)
    )
    assert counts == [896, 9_248, 18_496, 36_928, 7_930_112, 2_570]
    assert sum(counts) == 7_998_250 == network_count("keras_vgg", (100, 100, 3))


def test_lenet5_has_61706_parameters_or_44426_without_padding():
    first = counted((1, 6, (5, 5)), (6, 16, (5, 5)), (120, 84), (84, 10))
    assert sum(first) + parameters(5 * 5 * 16, 120) == 61_706 == network_count("lenet5", (28, 28, 1))
    assert sum(first) + parameters(4 * 4 * 16, 120) == 44_426


def test_alexnet_has_61100840_parameters_or_60965224_in_the_two_groups_of_2012():
    dense = counted((256 * 6 * 6, 4096), (4096, 4096), (4096, 1000))
    one = counted((3, 64, (11, 11)), (64, 192, (5, 5)), (192, 384, (3, 3)), (384, 256, (3, 3)), (256, 256, (3, 3)))
    assert sum(one + dense) == 61_100_840
    whole = counted((3, 96, (11, 11)), (256, 384, (3, 3)))
    halves = counted((96, 256, (5, 5)), (384, 384, (3, 3)), (384, 256, (3, 3)), groups=2)
    assert sum(whole + halves + dense) == 60_965_224


@pytest.mark.parametrize(
    ("repeats", "total"), [((1, 1, 2, 2, 2), 132_863_336), ((2, 2, 3, 3, 3), 138_357_544)], ids=["VGG-11", "VGG-16"]
)
def test_vgg(repeats, total):
    outputs = [width for width, times in zip((64, 128, 256, 512, 512), repeats, strict=True) for _ in range(times)]
    layers = [(a, b, (3, 3)) for a, b in zip([3, *outputs], outputs, strict=False)]
    assert sum(counted(*layers, (512 * 7 * 7, 4096), (4096, 4096), (4096, 1000))) == total


@pytest.mark.parametrize(("size", "share"), [(56, 0.976), (28, 0.953), (14, 0.907), (7, 0.819)])
def test_xla_leaves_out_the_multiplications_by_padding(size, share):
    def layer(x, kernel):
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    cost = jax.jit(layer).lower(jnp.ones((1, size, size, 2)), jnp.ones((3, 3, 2, 4))).cost_analysis()
    assert cost["flops"] / 2 / multiply_adds(2, 4, (3, 3), (size, size)) == pytest.approx(share, abs=5e-4)
