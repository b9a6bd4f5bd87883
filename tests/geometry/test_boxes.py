import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import losses
from cnnlab.geometry import boxes

GOLDEN = json.loads((Path(__file__).parents[1] / "goldens/boxes.json").read_text())["boxes"]
XYXY = np.array(GOLDEN["xyxy"])
POINT = jnp.array([3.0, 3, 3, 3])
EMPTY = {"point": POINT, "flat": jnp.array([3.0, 3, 8, 3]), "thin": jnp.array([3.0, 3, 3, 8]), "full": jnp.arange(4.0)}


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_pairwise_overlaps_equal_torchvision(name):
    got = getattr(boxes, name)(XYXY[:8], XYXY[8:16])
    np.testing.assert_allclose(got, GOLDEN[f"{name}_8x8"], atol=1e-6)


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
def test_matched_losses_are_one_less_the_diagonal_of_the_pairs(name):
    got = getattr(losses, f"{name}_loss")(jnp.array(XYXY[:8]), jnp.array(XYXY[8:16]))
    np.testing.assert_allclose(got, 1 - np.diag(GOLDEN[f"{name}_8x8"]), atol=1e-5)


def test_the_gradient_of_the_giou_loss_equals_torchvision():
    got = jax.grad(lambda a: losses.giou_loss(a, jnp.array(XYXY[8:16])).sum())(jnp.array(XYXY[:8]))
    np.testing.assert_allclose(got, GOLDEN["giou_loss_sum_grad"], atol=1e-6)


@pytest.mark.parametrize("name", ["iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("a", EMPTY)
@pytest.mark.parametrize("b", EMPTY)
def test_boxes_without_area_give_finite_losses_and_gradients(name, a, b):
    value, gradients = jax.value_and_grad(getattr(losses, f"{name}_loss"), (0, 1))(EMPTY[a], EMPTY[b])
    assert np.isfinite(value)
    assert np.isfinite(gradients).all()


def test_formats_equal_torchvision():
    for name in ("xywh", "cxcywh"):
        want = np.array(GOLDEN[name])
        np.testing.assert_allclose(boxes.convert(XYXY[: len(want)], "xyxy", name), want, atol=1e-9)
        np.testing.assert_allclose(boxes.convert(want, name, "xyxy"), XYXY[: len(want)], atol=1e-9)
    np.testing.assert_allclose(boxes.convert(np.array([20.0, 25, 20, 20]), "cxcywh", "xywh"), [10, 15, 20, 20])


def test_an_unknown_format_is_named():
    with pytest.raises(ValueError, match="unknown box format 'xyhw'; did you mean"):
        boxes.convert(XYXY, "xyxy", "xyhw")
