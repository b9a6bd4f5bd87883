import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from cnnlab.geometry.warp import affine, instance_boxes, invert, warp_boxes, warp_images, warp_masks


def photo(h, w, c=3, seed=0):
    return np.random.default_rng(seed).random((1, h, w, c), np.float32)


def scipy_warp(image, matrix, order, mode, cval=0.0):
    """Warps a channel `[H, W]` with SciPy, which has rows first and pixel centres at whole numbers."""
    back = np.linalg.inv(np.vstack([np.asarray(matrix, np.float64), [0, 0, 1]]))
    rows_first = back[[1, 0, 2]][:, [1, 0, 2]]
    half = np.eye(3)
    half[:2, 2] = 0.5
    return ndimage.affine_transform(image, np.linalg.inv(half) @ rows_first @ half, order=order, mode=mode, cval=cval)


def oblique(size):
    return affine(size, rotation=33.0, zoom=1.3, shear=0.2, horizontal_flip=True, shift=(2.3, -1.6))


def test_the_identity_changes_no_bit():
    image, mask = photo(5, 8), jnp.arange(40).reshape(1, 5, 8)
    same = affine((5, 8))[None]
    assert (warp_images(image, same) == image).all()
    assert (warp_images(image, same, fill=0.7) == image).all()
    assert (warp_masks(mask, same) == mask).all()
    bytes_ = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert (warp_images(bytes_, affine((16, 16))[None]) == jnp.asarray(bytes_, jnp.float32) / 255).all()


@pytest.mark.parametrize("k", [1, 2, 3, -1])
@pytest.mark.parametrize("size", [6, 7])
def test_quarter_turns_are_those_of_numpy(k, size):
    image = photo(size, size)
    turned = jax.jit(warp_images)(image, affine((size, size), rotation=90.0 * k)[None])
    assert (turned == np.rot90(image, k, axes=(1, 2))).all()
    mask = np.arange(size**2).reshape(1, size, size)
    assert (warp_masks(mask, affine((size, size), rotation=90.0 * k)[None]) == np.rot90(mask, k, axes=(1, 2))).all()


def test_flips_are_those_of_numpy():
    image = photo(5, 8)
    assert (warp_images(image, affine((5, 8), horizontal_flip=True)[None]) == np.flip(image, 2)).all()
    assert (warp_images(image, affine((5, 8), vertical_flip=True)[None]) == np.flip(image, 1)).all()


def test_a_shift_by_whole_pixels_moves_them_and_lets_black_in():
    image = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    moved = warp_images(image, affine((3, 3), shift=(1.0, -1.0))[None])[0, :, :, 0]
    assert moved.tolist() == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]


def test_a_shift_by_whole_pixels_repeats_the_edge_where_that_is_asked():
    image = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    moved = warp_images(image, affine((3, 3), shift=(1.0, -1.0))[None], fill="edge")[0, :, :, 0]
    assert moved.tolist() == [[4, 4, 5], [7, 7, 8], [7, 7, 8]]


def test_half_a_pixel_is_the_mean_of_two():
    image = np.array([2.0, 4, 8]).reshape(1, 3, 1, 1)
    assert warp_images(image, affine((3, 1), shift=(0.0, -0.5))[None]).ravel().tolist() == [3, 6, 4]


@pytest.mark.parametrize(("fill", "mode"), [(0.0, "grid-constant"), (0.4, "grid-constant"), ("edge", "nearest")])
def test_an_oblique_warp_is_scipys_to_rounding(fill, mode):
    image = photo(21, 34)
    matrix = oblique((21, 34))
    cval = 0.0 if fill == "edge" else fill
    want = np.stack([scipy_warp(image[0, ..., c], matrix, 1, mode, cval) for c in range(3)], -1)
    np.testing.assert_allclose(warp_images(image, matrix[None], fill=fill)[0], want, atol=2e-5)


def test_bytes_warp_like_the_same_image_in_0_to_1():
    image = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), np.uint8)
    matrix = jnp.stack([oblique((9, 9)), affine((9, 9), zoom=0.7)])
    want = warp_images(image.astype(np.float32) / 255, matrix)
    np.testing.assert_allclose(warp_images(image, matrix), want, atol=1e-6)


def test_an_oblique_mask_is_scipys_nearest_pixel():
    mask = np.random.default_rng(0).integers(0, 5, (1, 21, 34)).astype(np.int32)
    matrix = oblique((21, 34))
    want = scipy_warp(mask[0], matrix, 0, "constant", -1)
    # For SciPy the outer half of the border pixels lies outside; compare only where both read the mask.
    inside = scipy_warp(np.ones((21, 34)), matrix, 1, "grid-constant") > 0.999
    got = warp_masks(mask, matrix[None])[0]
    assert inside.sum() > 200
    assert (np.asarray(got)[inside] == want[inside]).all()
    assert (got == -1).any()


def test_the_way_back_undoes_the_way_there():
    matrix = oblique((21, 34))
    square = [np.vstack([m, [0, 0, 1]]) for m in (matrix, invert(matrix))]
    np.testing.assert_allclose(square[0] @ square[1], np.eye(3), atol=1e-5)


def test_rotation_is_counter_clockwise_about_the_centre_and_zoom_keeps_it():
    matrix = affine((4, 6), rotation=30.0, zoom=2.0)
    np.testing.assert_allclose(matrix @ jnp.array([3.0, 2, 1]), [3, 2], atol=1e-6)
    # A point one pixel to the right of the centre moves 2 cos 30 to the right and 2 sin 30 = 1 up.
    np.testing.assert_allclose(matrix @ jnp.array([4.0, 2, 1]), [3 + 3**0.5, 1], atol=1e-6)


def test_a_box_becomes_that_of_its_warped_ellipse():
    matrix = affine((100, 100), rotation=25.0, zoom=0.8, shear=0.3, shift=(3.0, 5.0))
    t = np.linspace(0, 2 * np.pi, 100_000)
    ellipse = np.stack([45 + 15 * np.cos(t), 40 + 5 * np.sin(t), np.ones_like(t)])  # inscribed in (30, 35, 60, 45)
    points = np.asarray(matrix, np.float64) @ ellipse
    boxes, classes = warp_boxes(jnp.array([[[30.0, 35, 60, 45]]]), jnp.array([[1]]), matrix[None], (100, 100))
    np.testing.assert_allclose(boxes[0, 0], [*points.min(1), *points.max(1)], atol=1e-3)
    assert classes.tolist() == [[1]]


def test_flips_and_turns_move_the_box_itself():
    box, classes = jnp.array([[[1.0, 2, 4, 8]]]), jnp.array([[0]])
    flipped, _ = warp_boxes(box, classes, affine((10, 20), horizontal_flip=True)[None], (10, 20))
    assert flipped.tolist() == [[[16, 2, 19, 8]]]
    turned, _ = warp_boxes(box, classes, affine((20, 20), rotation=90.0)[None], (20, 20))
    assert turned.tolist() == [[[2, 16, 8, 19]]]


def test_boxes_are_clipped_dropped_outside_and_padding_stays():
    boxes = jnp.array([[[0.0, 0, 4, 4], [6, 6, 10, 10], [9, 3, 9, 5], [0, 0, 0, 0], [2, 2, 2, 2]]])
    classes = jnp.array([[1, 2, 3, -1, 4]])
    moved, kinds = warp_boxes(boxes, classes, affine((10, 10), shift=(3.0, 5.0))[None], (10, 10))
    assert moved[0].tolist() == [[3, 5, 7, 9], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [5, 7, 5, 7]]
    assert kinds.tolist() == [[1, -1, -1, -1, 4]]


@pytest.mark.parametrize(("share", "expected"), [(0.25, [5]), (0.26, [-1])])
def test_a_box_less_visible_than_min_visible_is_dropped(share, expected):
    boxes, classes = jnp.array([[[0.0, 0, 4, 4]]]), jnp.array([[5]])
    matrix = affine((10, 10), shift=(8.0, 8.0))[None]  # 2 x 2 of 4 x 4 stay
    assert warp_boxes(boxes, classes, matrix, (10, 10), min_visible=share)[1].tolist() == [expected]


def test_boxes_of_a_map_are_tight_and_say_which_objects_are_there():
    instances = jnp.full((1, 5, 6), -1).at[0, 1:3, 2:5].set(0).at[0, 4, 5].set(2)
    boxes, present = instance_boxes(instances, 3)
    assert boxes[0].tolist() == [[2, 1, 5, 3], [0, 0, 0, 0], [5, 4, 6, 5]]
    assert present.tolist() == [[True, False, True]]
