import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

import cnnlab
from cnnlab.data import Augmentation
from cnnlab.data import augment as plain_augment
from cnnlab.geometry import warp

augment = jax.jit(plain_augment, static_argnums=2)
EVERYTHING = Augmentation(0.5, 0.5, True, 0.2, 30, 0.3, "edge", 0.2, 0.2)


def scene(b=64, size=40):
    """Returns a batch of bright squares of 12 pixels on black with masks and boxes; the second box is padding."""
    corner = np.random.default_rng(0).integers(4, size - 16, (b, 2))
    y, x = np.mgrid[:size, :size]
    mask = (abs(x - corner[:, :1, None] - 5.5) < 6) & (abs(y - corner[:, 1:, None] - 5.5) < 6)
    box = np.concatenate([corner, corner + 12], -1).astype(np.float32)[:, None]
    return {
        "image": (mask[..., None] * 255).astype(np.uint8),
        "mask": mask.astype(np.int32),
        "boxes": np.concatenate([box, np.zeros_like(box)], 1),
        "classes": np.tile(np.array([3, -1], np.int32), (b, 1)),
        "label": np.arange(b, dtype=np.int32),
    }


def test_a_dot_never_moves_further_than_the_limit():
    image = jnp.zeros((500, 21, 21, 1)).at[:, 10, 10].set(1)
    moved = augment(image, jax.random.key(0), Augmentation(shift=0.1))
    place = jnp.einsum("bhwc,h->b", moved, jnp.arange(21.0)) - 10
    assert jnp.abs(place).max() <= 2.1
    assert jnp.abs(place).max() > 1.9
    assert abs(place.mean()) < 0.2


def test_shifts_beyond_half_the_image_are_refused():
    with pytest.raises(ValueError, match="shift must lie in 0..0.5 of the image, found 2"):
        Augmentation(shift=2)


def test_other_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="horizontal_flip must lie in 0..1 as a probability, found 1.5"):
        Augmentation(horizontal_flip=1.5)
    with pytest.raises(ValueError, match="rotation must lie in 0..180 degrees, found -3"):
        Augmentation(rotation=-3)
    with pytest.raises(ValueError, match="border must be black or edge, found 'grey'"):
        Augmentation(border="grey")


def test_nothing_set_changes_nothing():
    batch = scene(2)
    same = plain_augment(batch, jax.random.key(0), Augmentation())
    assert same["image"].dtype == jnp.float32
    assert (same["image"] * 255 == batch["image"]).all()
    assert all(same[name] is batch[name] for name in batch if name != "image")


def test_image_mask_and_box_move_together():
    batch = scene()
    geometric = dataclasses.replace(EVERYTHING, brightness=0, contrast=0, border="black")
    moved = jax.device_get(augment(batch, jax.random.key(1), geometric))
    known = moved["mask"] >= 0
    # The mask is warped by nearest, the image by bilinear interpolation.
    assert (np.abs(moved["image"][..., 0] - moved["mask"])[known] <= 0.75).all()
    assert (moved["label"] == batch["label"]).all()
    assert (moved["classes"][:, 1] == -1).all()
    y, x = np.mgrid[:40, :40] + 0.5
    for mask, box, kind in zip(moved["mask"], moved["boxes"][:, 0], moved["classes"][:, 0], strict=True):
        inside = (mask == 1) & ((x < box[0]) | (x > box[2]) | (y < box[1]) | (y > box[3]))
        # The box of the inscribed ellipse may miss the corners of the square.
        assert kind == -1 or inside.sum() <= 0.25 * (mask == 1).sum() + 8


def test_a_box_with_its_object_drawn_becomes_the_tight_box_of_the_warped_object():
    batch = scene()
    batch["instances"] = np.where(batch["mask"] == 1, 0, -1).astype(np.int32)
    moved = jax.device_get(augment(batch, jax.random.key(1), dataclasses.replace(EVERYTHING, border="black")))
    for instances, box, kind in zip(moved["instances"], moved["boxes"][:, 0], moved["classes"][:, 0], strict=True):
        y, x = np.nonzero(instances == 0)
        want = [x.min(), y.min(), x.max() + 1, y.max() + 1] if kind == 3 else [0, 0, 0, 0]
        assert box.tolist() == want


def test_flips_come_as_often_as_asked():
    image = jnp.zeros((4000, 2, 2, 1)).at[:, 0, 0].set(1)
    moved = augment(image, jax.random.key(0), Augmentation(horizontal_flip=0.25, vertical_flip=1))
    assert moved[:, 0].sum() == 0
    assert moved[:, 1, 1, 0].mean() == pytest.approx(0.25, abs=0.03)  # sd 0.007


def test_quarter_turns_are_equally_likely_and_exact():
    image = jnp.zeros((4000, 2, 2, 1)).at[:, 0, 0].set(1)
    moved = augment(image, jax.random.key(0), Augmentation(quarter_turns=True))
    np.testing.assert_allclose(moved.mean(0).ravel(), 0.25, atol=0.03)
    assert set(np.unique(moved)) == {0, 1}


def test_an_oblong_image_turns_by_halves_only():
    image = jnp.zeros((200, 2, 4, 1)).at[:, 0].set(1)
    moved = np.asarray(augment(image, jax.random.key(0), Augmentation(quarter_turns=True)))
    assert {tuple(one[:, 0, 0].tolist()) for one in moved} == {(1, 0), (0, 1)}


def test_zoom_is_drawn_on_both_sides_of_one_up_to_its_limit():
    image = jnp.zeros((500, 41, 41, 1)).at[:, 10:31, 10:31].set(1)
    area = augment(image, jax.random.key(0), Augmentation(zoom=0.5)).sum((1, 2, 3)) / 21**2
    assert 1 / 1.5**2 * 0.98 < area.min() < 0.5
    assert 2.1 < area.max() < 1.5**2 * 1.02
    assert abs(np.log(area).mean()) < 0.1


def test_brightness_adds_and_contrast_keeps_the_mean():
    image = jnp.tile(jnp.array([0.4, 0.6]).reshape(1, 1, 2, 1), (1000, 1, 1, 1))
    brighter = augment(image, jax.random.key(0), Augmentation(brightness=0.2))
    np.testing.assert_allclose(brighter[:, 0, 1] - brighter[:, 0, 0], 0.2, atol=1e-6)
    assert brighter[:, 0, 0].min() == pytest.approx(0.2, abs=0.01)
    contrast = augment(image, jax.random.key(0), Augmentation(contrast=0.5))
    np.testing.assert_allclose(contrast.mean((1, 2, 3)), 0.5, atol=1e-6)
    spread = (contrast[:, 0, 1] - contrast[:, 0, 0]) / 0.2
    assert spread.min() == pytest.approx(0.5, abs=0.01)
    assert spread.max() == pytest.approx(1.5, abs=0.01)


def test_saturation_mixes_with_the_grey_image_as_pillow_does():
    # These values are far from those at which cnnlab or Pillow clips.
    image = np.random.default_rng(0).integers(70, 186, (64, 6, 5, 3), np.uint8)
    got = np.asarray(augment(image, jax.random.key(0), Augmentation(saturation=0.5)))
    grey = np.stack([np.asarray(ImageEnhance.Color(Image.fromarray(one)).enhance(0.0)) for one in image]) / 255
    colour = image / 255 - grey
    factor = (colour * (got - grey)).sum((1, 2, 3)) / (colour**2).sum((1, 2, 3))
    assert 0.5 - 0.02 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5 + 0.02
    for one, f, expected in zip(image, factor, got, strict=True):
        np.testing.assert_allclose(
            np.asarray(ImageEnhance.Color(Image.fromarray(one)).enhance(f)) / 255, expected, atol=2 / 255
        )


def test_grey_images_have_no_saturation_to_change():
    image = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    np.testing.assert_allclose(augment(image, jax.random.key(0), Augmentation(saturation=1.0)), image, atol=1e-6)


def test_images_stay_in_0_to_1():
    moved = augment(scene(), jax.random.key(0), EVERYTHING)["image"]
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_targets_cannot_move_with_the_image_but_stand_a_change_of_colour():
    batch = {"image": np.zeros((2, 4, 4, 1), np.uint8), "target": np.ones((2, 2), np.float32)}
    with pytest.raises(ValueError, match="cannot move target with the images; leave --training.augmentation.shift out"):
        augment(batch, jax.random.key(0), Augmentation(shift=0.1))
    assert (augment(batch, jax.random.key(0), Augmentation(brightness=0.1))["target"] == 1).all()


@pytest.mark.parametrize("preset", ["shapes-segmentation", "shapes-detection"])
def test_masks_and_boxes_train_with_every_augmentation(preset, tmp_path):
    experiment = cnnlab.presets.get(preset)
    data = experiment.data.replace(train=64, validation=16, test=16)
    training = dataclasses.replace(experiment.training, epochs=1, augmentation=EVERYTHING)
    trained = cnnlab.train(dataclasses.replace(experiment, data=data, training=training), tmp_path / "run", quiet=True)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(trained.variables))


def test_elastic_deformation_bends_image_mask_and_weight_alike_and_smoothly():
    y, x = np.mgrid[:32, :32]
    mask = ((y // 8 + x // 8) % 2).astype(np.int32)[None]
    batch = {"image": mask[..., None].astype(np.float32), "mask": mask, "pixel_weight": 1.0 + mask}
    out = augment(batch, jax.random.key(3), Augmentation(elastic=3))
    known = out["mask"] >= 0
    assert (out["mask"] != mask)[known].mean() > 0.05
    assert np.asarray(known).mean() > 0.7
    alike = (out["image"][..., 0] > 0.5) == (out["mask"] == 1)
    assert alike[known].mean() > 0.97
    np.testing.assert_allclose(out["pixel_weight"][known], 1 + out["image"][..., 0][known], atol=0.5)


def test_elastic_displacements_have_the_deviation_of_their_grid():
    drawn = warp.elastic_displacement(jax.random.key(0), 400, (9, 9))
    # With half-pixel centres the grid's points lie at pixels 1, 4 and 7.
    assert drawn[:, 1::3, 1::3].std() == pytest.approx(1, abs=0.05)


def test_boxes_cannot_bend():
    batch = {"image": jnp.zeros((1, 4, 4, 1)), "boxes": jnp.zeros((1, 1, 4)), "classes": jnp.zeros((1, 1), jnp.int32)}
    with pytest.raises(ValueError, match="elastic deformation bends boxes"):
        augment(batch, jax.random.key(0), Augmentation(elastic=1))
