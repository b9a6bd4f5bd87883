"""The worked examples of five lectures on convolutional networks, recomputed: what is true, and what was misprinted.

Lectures are numbered 0 to 4. Where a printed number is wrong, the test asserts the true one and that the printed
differs.
"""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.ops import (
    FILTERS,
    average_pool,
    connectivity_matrix,
    convolve,
    cross_correlate,
    filters,
    im2col,
    max_pool,
    transposed_convolution,
)
from cnnlab.ops.arithmetic import output_size


def grid(text):
    """Rows ended by semicolons, numbers parted by blanks."""
    return np.array([[float(number) for number in row.split()] for row in text.split(";")])


def pixels(text):
    """Rows ended by semicolons, one digit a pixel."""
    return grid(";".join(" ".join(row) for row in text.split(";")))


def wrong_cells(printed, true):
    """Places, counted from 1, where two grids differ."""
    return {(int(row) + 1, int(column) + 1) for row, column in np.argwhere(printed != np.asarray(true))}


def pool2(x, pool=max_pool):
    return pool(x[..., None], (2, 2))[..., 0]


# Lecture 0


STEP = pixels("111100;111100;001100;001100;001111;001111")
STEP_OUT = grid("3 1 0 0;3 1 0 0;0 0 -1 -3;0 0 -1 -3")


def test_lecture_0_convolution_activation_and_pooling():
    out = cross_correlate(STEP, grid("1 2 1;0 0 0;-1 -2 -1"))
    assert (out == STEP_OUT).all()
    assert (out == convolve(STEP, FILTERS["sobel_y"])).all()
    assert pool2(jnp.maximum(out, 0)).tolist() == [[3, 0], [0, 0]]


def test_lecture_0_the_kernel_that_is_not_printed_is_determined_by_the_output():
    windows = np.asarray(im2col(STEP[..., None], (3, 3)))
    kernel, _, rank, _ = np.linalg.lstsq(windows, STEP_OUT.ravel())
    assert rank == 9
    np.testing.assert_allclose(kernel.reshape(3, 3), grid("1 2 1;0 0 0;-1 -2 -1"), atol=1e-5)


def test_lecture_0_im2col_runs_down_the_columns():
    x, ones = pixels("1231;4561;7891"), np.ones((2, 2))
    out = cross_correlate(x, ones)
    assert out.tolist() == [[12, 16, 11], [24, 28, 17]]
    columns = im2col(x.T[..., None], (2, 2)).T  # column by column: that of the transposed image, transposed
    assert (columns == grid("1 4 2 5 3 6;4 7 5 8 6 9;2 5 3 6 1 1;5 8 6 9 1 1")).all()
    product = columns.T @ ones.ravel()
    assert product.tolist() == [12, 24, 16, 28, 11, 17]
    assert (product.reshape(2, 3, order="F") == out).all()
    assert (im2col(x[..., None], (2, 2)) @ ones.ravel()).tolist() == [12, 16, 11, 24, 28, 17]


# Lecture 1


SENSOR = np.array([1, 1.1, 1.2, 1.4, 1.7, 1.8, 1.9, 2.1, 2.2, 2.4, 2.5])
WEIGHTS = np.array([0.01, 0.02, 0.03, 0.04, 0.4, 0.5])
SMOOTHED_PRINTED = [1.80, 1.96, 2.11]


def test_lecture_1_the_smoothed_sensor_is_misprinted_whichever_weight_is_the_newest():
    flipped, unflipped = convolve(SENSOR, WEIGHTS), cross_correlate(SENSOR, WEIGHTS)
    np.testing.assert_allclose(flipped, [1.082, 1.192, 1.341, 1.573, 1.777, 1.883], atol=1e-6)
    np.testing.assert_allclose(unflipped, [1.704, 1.815, 1.973, 2.118, 2.274, 2.417], atol=1e-6)
    for out in (flipped, unflipped):
        assert (abs(out[:3] - np.array(SMOOTHED_PRINTED)) > 0.005).all()


def test_lecture_1_seven_weights_would_give_the_printed_numbers_but_the_first_cut_to_two_digits():
    out = np.asarray(cross_correlate(SENSOR, [0.01, 0.01, 0.02, 0.02, 0.04, 0.4, 0.5]))
    np.testing.assert_allclose(out, [1.811, 1.967, 2.112, 2.269, 2.413], atol=1e-6)
    cut = np.floor(100 * out[:3].astype(float)) / 100
    assert (cut == SMOOTHED_PRINTED).tolist() == [False, True, True]


X = pixels("100001;010010;001100;100010;010010;001010")
FILTER_1, FILTER_2 = grid("1 -1 -1;-1 1 -1;-1 -1 1"), grid("-1 1 -1;-1 1 -1;-1 1 -1")
MAP_1 = grid("3 -1 -3 -1;-3 1 0 -3;-3 -3 0 1;3 -2 -2 -1")
MAP_2 = grid("-1 -1 -1 -1;-1 -1 -2 1;-1 -1 -2 1;-1 0 -4 3")


def test_lecture_1_filter_1_is_misprinted_in_two_cells():
    out = cross_correlate(X, FILTER_1)
    assert (out == MAP_1).all()
    assert out[0, 0] == 3
    printed = grid("3 -1 -3 -1;-3 -1 0 -3;-3 -2 0 1;3 -2 -2 -1")
    assert wrong_cells(printed, out) == {(2, 2), (3, 2)}


def test_lecture_1_filter_2_is_misprinted_in_one_cell():
    out = cross_correlate(X, FILTER_2)
    assert (out == MAP_2).all()
    printed = grid("-1 -1 -1 -1;-1 -1 -2 -1;-1 -1 -2 1;-1 0 -4 3")
    assert wrong_cells(printed, out) == {(2, 4)}


def test_lecture_1_its_filters_equal_their_rotation_and_cannot_show_a_missing_flip():
    for kernel in (FILTER_1, FILTER_2):
        assert (convolve(X, kernel) == cross_correlate(X, kernel)).all()


@pytest.mark.parametrize(("kernel", "want"), [(FILTER_1, "3 -1;3 -1"), (FILTER_2, "-1 -1;-1 3")])
def test_lecture_1_stride_3(kernel, want):
    assert (cross_correlate(X, kernel, stride=3) == grid(want)).all()


PADDED_1 = "2 -2 -1 1 -2 0;-2 3 -1 -3 -1 -2;-2 -3 1 0 -3 0;2 -3 -3 0 1 -2;-2 3 -2 -2 -1 -1;-1 -2 2 -3 0 0"
PADDED_2 = "0 0 -1 -1 0 0;0 -1 -1 -1 -1 0;0 -1 -1 -2 1 -2;0 -1 -1 -2 1 -2;0 -1 0 -4 3 -3;-1 0 0 -3 2 -2"


@pytest.mark.parametrize(("kernel", "want"), [(FILTER_1, PADDED_1), (FILTER_2, PADDED_2)])
def test_lecture_1_padding_1_keeps_6x6(kernel, want):
    assert (cross_correlate(X, kernel, padding=1) == grid(want)).all()
    assert (cross_correlate(X, kernel, padding="same") == grid(want)).all()


def test_lecture_1_pooling_of_both_maps_is_misprinted_in_one_cell_of_the_second():
    assert pool2(MAP_1).tolist() == [[3, 0], [3, 1]]
    assert pool2(MAP_2).tolist() == [[-1, 1], [0, 3]]
    assert wrong_cells(grid("-1 -1;0 3"), pool2(MAP_2)) == {(1, 2)}


def test_lecture_1_maximum_and_mean_of_4x4():
    x = grid("2 4 7 4;6 6 9 8;3 4 8 3;7 5 3 6")
    assert pool2(x).tolist() == [[6, 9], [7, 8]]
    assert pool2(x, average_pool).tolist() == [[4.5, 7], [4.75, 5]]


@pytest.mark.parametrize(("size", "stride", "small", "spread", "bordered"), [(4, 1, 2, 2, 6), (5, 2, 2, 3, 7)])
def test_lecture_1_transposed_convolution_inserts_zeros(size, stride, small, spread, bordered):
    kernel = grid("1 2 3;4 5 6;7 8 10")
    assert output_size(size, 3, stride=stride) == small
    assert (small - 1) * stride + 1 == spread
    assert spread + 2 * (3 - 1) == bordered
    assert output_size(bordered, 3) == size
    x, zeros = grid("1 2;3 4"), np.zeros((spread, spread))
    zeros[::stride, ::stride] = x
    want = convolve(np.pad(zeros, 2), kernel)
    assert (transposed_convolution(x, kernel, stride=stride) == want).all()


def test_lecture_1_the_bounds_and_the_index_of_its_convolution_are_wrong_for_odd_kernels():
    x, kernel, m = SENSOR, np.array([1.0, 2, 4]), 3
    printed = range(math.floor(-m / 2), m // 2 + 1)
    assert list(printed) == [-2, -1, 0, 1]
    assert m / 2 + 1 == 2.5
    half = m // 2
    true = [sum(x[i - a] * kernel[half + a] for a in range(-half, half + 1)) for i in range(half, len(x) - half)]
    np.testing.assert_allclose(convolve(x, kernel), true, rtol=1e-6)


# Lecture 2: its p counts both sides together


TILES = pixels("12131;21213;12131;21213")  # four rows of five
ANTIDIAGONAL = grid("0 1;1 0")
PADDED_ROWS = grid("0 1 2 1 3 1;1 4 2 5 2 3;2 2 4 2 6 1;1 4 2 5 2 3;2 1 2 1 3 0")


def test_lecture_2_the_last_row_under_padding_is_misprinted_and_one_short():
    out = cross_correlate(TILES, ANTIDIAGONAL, padding=1)
    assert (out == PADDED_ROWS).all()
    assert (out == convolve(TILES, ANTIDIAGONAL, padding=1)).all()
    printed = [-1, 0, -1, 0, 0]
    assert len(printed) == out.shape[1] - 1
    assert printed != out[4, :5].tolist()


def test_lecture_2_stride_2_needs_the_floor():
    out = cross_correlate(TILES, ANTIDIAGONAL, padding=1, stride=2)
    assert out.tolist() == [[0, 2, 3], [2, 4, 6], [2, 2, 3]]
    assert [(n + 2 - 2 + 2) / 2 for n in TILES.shape] == [3, 3.5]


def test_lecture_2_connectivity_matrix_of_eight_inputs():
    w0, w1 = 2.0, -3.0
    matrix = connectivity_matrix([w0, w1], (8,), stride=2)
    want = np.zeros((8, 4))
    want[range(0, 8, 2), range(4)], want[range(1, 8, 2), range(4)] = w0, w1
    assert (matrix == want).all()
    h = np.arange(8.0) ** 2
    out = matrix.T @ h
    assert out.tolist() == [w0 * h[2 * i] + w1 * h[2 * i + 1] for i in range(4)]
    assert max_pool(out[:, None], (2,)).shape == (2, 1)


# Lecture 3


def test_lecture_3_the_patch_gives_7_with_the_inferred_kernel_as_cross_correlation_only():
    patch, kernel = grid("10 5 3;4 5 1;1 1 7"), grid("0 0 0;0 .5 0;0 1 .5")
    assert cross_correlate(patch, kernel).item() == 7
    assert convolve(patch, kernel).item() == 12.5


def test_lecture_3_sums_over_3x3_are_misprinted_in_four_of_nine_cells():
    x = pixels("12321;32213;21323;23312;31223")
    out = cross_correlate(x, np.ones((3, 3)))
    assert out.tolist() == [[19, 18, 20], [21, 18, 20], [20, 18, 21]]
    printed = grid("20 18 19;20 18 19;20 18 21")
    assert wrong_cells(printed, out) == {(1, 1), (1, 3), (2, 1), (2, 3)}
    assert (printed != out.T).any()


def test_lecture_3_mean_kernels_and_sobels():
    np.testing.assert_allclose(filters.box(5), np.ones((5, 5)) / 25, rtol=1e-6)
    assert filters.box(21).shape == (21, 21)
    assert (FILTERS["sobel_x"] == grid("-1 0 1;-2 0 2;-1 0 1")).all()
    assert (FILTERS["sobel_y"] == grid("-1 -2 -1;0 0 0;1 2 1")).all()


VOLUME = np.stack(
    [
        pixels("0000000;0021020;0111220;0212120;0011010;0100100;0000000"),
        pixels("0000000;0120010;0112120;0210010;0212100;0121210;0000000"),
        pixels("0000000;0110200;0220210;0202000;0110220;0020200;0000000"),  # its sixth row, lost in print, is inferred
    ],
    -1,
)
SPURIOUS = grid("1 0 0;-1 0 1;0 0 -1")  # printed as a slice of the first kernel
W0 = [grid("1 1 1;1 1 0;0 -1 -1"), grid("1 0 0;1 0 0;1 1 0"), grid("1 -1 1;-1 0 1;0 0 -1")]
W1 = [grid("-1 0 -1;0 -1 -1;0 1 0"), grid("1 -1 0;0 -1 -1;1 1 1"), grid("0 0 1;-1 0 1;-1 -1 1")]
OUT_0, OUT_1 = grid("-1 5 2;5 14 10;5 9 4"), grid("-1 5 -3;-3 1 -8;-4 -4 -2")


def volume_kernel(*filters):
    return np.stack([np.stack(slices, -1) for slices in filters], -1)


def test_lecture_3_two_filters_over_a_volume_with_the_biases_that_are_not_printed():
    out = cross_correlate(VOLUME, volume_kernel(W0, W1), stride=2) + jnp.array([1, 0])
    assert (out[..., 0] == OUT_0).all()
    assert (out[..., 1] == OUT_1).all()
    assert (convolve(VOLUME, volume_kernel(W0, W1), stride=2) + jnp.array([1, 0]) != out).any()


def test_lecture_3_two_numbers_of_the_lost_row_must_be_2_and_three_have_no_effect():
    kernel, biases = volume_kernel(W0, W1), jnp.array([1, 0])
    rows = np.array(list(itertools.product(range(3), repeat=5)))
    volumes = np.repeat(VOLUME[None], len(rows), 0)
    volumes[:, 5, 1:6, 2] = rows
    out = cross_correlate(volumes, kernel, stride=2) + biases
    fits = (out == jnp.stack([OUT_0, OUT_1], -1)).all((1, 2, 3))
    assert (fits == (rows[:, [1, 3]] == 2).all(1)).all()
    assert fits.sum() == 27


def test_lecture_3_the_slices_as_printed_do_not_give_the_printed_output():
    out = cross_correlate(VOLUME, volume_kernel([W0[0], SPURIOUS, W0[2]]), stride=2)[..., 0] + 1
    assert (out == grid("-1 -3 -1;3 8 9;7 7 0")).all()
    assert (out != OUT_0).any()


# Lecture 4


def test_lecture_4_the_printed_blur_is_rounded_and_darkens():
    printed = grid(".06 .12 .06;.12 .25 .12;.06 .12 .06")
    assert printed.sum() == pytest.approx(0.97)
    assert (filters.gaussian(3) == grid("1 2 1;2 4 2;1 2 1") / 16).all()
    assert abs(filters.gaussian(3) - printed).max() == pytest.approx(0.005)


def test_lecture_4_edge_and_emboss():
    assert (FILTERS["edge"] == grid("-1 -1 -1;-1 8 -1;-1 -1 -1")).all()
    assert (FILTERS["emboss"] == grid("-2 -1 0;-1 1 1;0 1 2")).all()
    assert (FILTERS["edge"].sum(), FILTERS["emboss"].sum()) == (0, 1)
    assert (FILTERS["emboss"] != FILTERS["emboss"][::-1, ::-1]).any()


def test_lecture_4_the_2x2_expansion_multiplies_k12_with_p12_and_ends_one_pixel_early():
    p, k = np.arange(16.0).reshape(4, 4) ** 2, grid("1 10;100 1000")
    out = cross_correlate(p, k)
    assert out.shape == (3, 3)
    assert out[0, 0] == (k * p[:2, :2]).sum()
    printed = k[0, 0] * p[0, 0] + k[0, 1] * p[0, 0] + k[1, 0] * p[1, 0] + k[1, 1] * p[1, 1]
    assert out[0, 0] != printed
    assert out[1, 0] == (k * p[1:3, :2]).sum()
    assert out[2, 2] == (k * p[2:, 2:]).sum()
    assert (out != convolve(p, k)).all()
