import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab.geometry.warp import affine, warp_boxes
from cnnlab.probe.distortions import DISTORTIONS, distorted, project_boxes

IMAGES = np.random.default_rng(0).random((5, 12, 10, 3), np.float32)
KEY = jax.random.key(0)
PROJECT = jax.jit(project_boxes)


def apply(name, strength, images=IMAGES, **columns):
    return distorted({"image": images, **columns}, DISTORTIONS[name], float(strength), KEY)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_the_first_strength_gives_identical_images(name):
    first, *others = DISTORTIONS[name].strengths
    assert np.array_equal(apply(name, first)["image"], IMAGES)
    for strength in others:
        out = apply(name, strength)["image"]
        assert out.shape == IMAGES.shape
        assert 0 <= out.min() <= out.max() <= 1 + 1e-6
        assert not np.array_equal(out, IMAGES)


def test_uint8_images_become_shares_of_255():
    image = np.full((1, 2, 2, 1), 51, np.uint8)
    assert apply("noise", 0, image)["image"].ravel().tolist() == pytest.approx([0.2] * 4)


def test_a_shift_by_one_pixel_moves_all_pixels_by_one_and_repeats_the_edge():
    images = np.repeat(np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1) / 16, 8, 0)
    padded = np.pad(images[0], ((1, 1), (1, 1), (0, 0)), mode="edge")
    expected = [
        padded[1 + down : 5 + down, 1 + right : 5 + right] for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0))
    ]
    for image in np.asarray(apply("shift", 0.25, images)["image"]):
        assert any(np.array_equal(image, each) for each in expected)


def test_brightness_adds_and_clips():
    out = apply("brightness", 0.5, np.array([0.25, 0.75], np.float32).reshape(1, 1, 2, 1))["image"]
    assert out.ravel().tolist() == [0.75, 1.0]


def test_contrast_multiplies_distances_from_the_mean():
    out = apply("contrast", 0.5, np.array([0.2, 0.6], np.float32).reshape(1, 1, 2, 1))["image"]
    assert out.ravel().tolist() == pytest.approx([0.3, 0.5])


def test_occlusion_covers_its_share_with_grey():
    out = np.asarray(apply("occlusion", 0.25, np.zeros((3, 8, 8, 1), np.float32))["image"])
    assert (out == 0.5).sum((1, 2, 3)).tolist() == [16, 16, 16]


def test_subsampling_keeps_one_pixel_of_a_block_and_pixelation_its_mean():
    image = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1) / 16
    kept = np.asarray(apply("subsampling", 2, image)["image"])[0, :, :, 0] * 16
    assert kept[0].tolist() == [5, 5, 7, 7]  # row 1, columns 1 and 3
    means = np.asarray(apply("pixelation", 2, image)["image"])[0, :, :, 0] * 16
    assert means[0].tolist() == [2.5, 2.5, 4.5, 4.5]  # (0 + 1 + 4 + 5) / 4


def test_clutter_pastes_pieces_of_other_images_along_the_border_only():
    images = np.broadcast_to(np.array([0.2, 0.8], np.float32)[:, None, None, None], (2, 16, 16, 1))
    out = np.asarray(apply("clutter", 2, images)["image"])
    changed = np.abs(out - images) > 0.1
    assert 16 <= changed[0].sum() <= 32  # one or two pieces of 4x4 pixels
    assert not changed[:, 4:12, 4:12].any()
    assert np.unique(out.round(4)).tolist() == pytest.approx([0.2, 0.8])


def test_a_camera_off_the_axis_makes_one_side_smaller_and_keeps_the_centre():
    image = np.zeros((1, 41, 41, 1), np.float32)
    image[:, 20, 20] = 1
    out = np.asarray(apply("viewpoint", 45, image)["image"])[0, :, :, 0]
    assert np.unravel_index(out.argmax(), out.shape) == (20, 20)


def test_masks_and_boxes_move_with_the_pixels():
    image = np.zeros((4, 20, 20, 1), np.float32)
    image[:, 6:10, 8:14] = 1
    mask = (image[..., 0] > 0).astype(np.int32)
    box = np.tile(np.array([[[8.0, 6, 14, 10]]], np.float32), (4, 1, 1))
    for name, strength in (("shift", 0.1), ("scale", 2), ("scale", 0.5), ("rotation", 90)):
        out = apply(name, strength, image, mask=mask, boxes=box, classes=np.zeros((4, 1), np.int32))
        for picture, labels, (x1, y1, x2, y2) in zip(
            out["image"][..., 0], out["mask"], out["boxes"][:, 0], strict=True
        ):
            rows, columns = np.nonzero(np.asarray(labels) == 1)
            assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == [x1, y1, x2, y2]
            assert (np.asarray(picture)[np.asarray(labels) == 1] > 0.5).all()


def test_a_projected_box_equals_the_affine_one_and_holds_the_projected_ellipse():
    boxes, classes = jnp.array([[[4.0, 6, 14, 10]]]), jnp.zeros((1, 1), jnp.int32)
    matrix = affine((20, 20), rotation=30.0, zoom=1.2)[None]
    homography = jnp.concatenate([matrix, jnp.array([[[0.0, 0, 1]]])], 1)
    expected = warp_boxes(boxes, classes, matrix, (20, 20))[0]
    assert np.asarray(PROJECT(boxes, homography)) == pytest.approx(np.asarray(expected), abs=1e-4)
    motion = jax.jit(DISTORTIONS["viewpoint"].move, static_argnums=(1, 2))(KEY, 1, (20, 20), 50.0)
    angle = np.linspace(0, 2 * np.pi, 3600)
    points = np.stack([9 + 5 * np.cos(angle), 8 + 2 * np.sin(angle), np.ones(3600)])
    u, v, w = np.asarray(motion.homography[0], np.float64) @ points
    expected = [(u / w).min(), (v / w).min(), (u / w).max(), (v / w).max()]
    assert np.asarray(PROJECT(boxes, motion.homography))[0, 0] == pytest.approx(expected, abs=1e-3)


def test_a_box_that_leaves_the_image_becomes_padding():
    columns = {"boxes": np.array([[[0.0, 0, 2, 2]]], np.float32), "classes": np.zeros((1, 1), np.int32)}
    out = apply("scale", 2, np.zeros((1, 16, 16, 1), np.float32), **columns)
    assert out["classes"].tolist() == [[-1]]
