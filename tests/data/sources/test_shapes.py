import numpy as np
import pytest

from cnnlab.data.sources import shapes


def test_the_same_seed_draws_the_same_and_splits_differ():
    one, two = shapes("label", train=8, test=8), shapes("label", train=8, test=8)
    assert one.fingerprint() == two.fingerprint()
    assert (one["train"].column("image") != one["test"].column("image")).any()


def test_masks_have_the_area_of_their_shapes():
    columns = shapes("mask", size=64, train=300, noise=0.0)["train"].columns
    lit = (columns["image"][..., 0] > 0).sum((1, 2))
    assert (lit == (columns["mask"] > 0).sum((1, 2))).all()
    # A disc's area over its bounding square's is pi / 4, a square's 1, a triangle's 1 / 2.
    for kind, share in ((1, np.pi / 4), (2, 1.0), (3, 0.5)):
        ratios = [_area_of_its_box(mask == kind) for mask in columns["mask"] if (mask == kind).any()]
        assert np.mean(ratios) == pytest.approx(share, abs=0.06)


def _area_of_its_box(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask.sum() / (len(rows) * len(columns))


def test_boxes_enclose_every_bright_pixel_tightly():
    columns = shapes("boxes", size=64, train=50, noise=0.0)["train"].columns
    for image, boxes, classes in zip(columns["image"], columns["boxes"], columns["classes"], strict=True):
        y, x = np.nonzero(image[..., 0])
        inside = np.zeros(len(x), bool)
        for x1, y1, x2, y2 in boxes[classes >= 0]:
            mine = (x >= x1 - 1) & (x < x2 + 1) & (y >= y1 - 1) & (y < y2 + 1)
            inside |= mine
            assert x[mine].min() - x1 < 1.5
            assert y2 - y[mine].max() < 2.5
        assert inside.all()


def test_targets_are_the_centre_of_mass_in_pixels():
    columns = shapes("target", size=64, kinds=2, train=40, noise=0.0)["train"].columns
    y, x = np.mgrid[:64, :64] + 0.5
    lit = (columns["image"][..., 0] > 0)[:, None]
    centre = (lit * np.stack([x, y])).sum((2, 3)) / lit.sum((2, 3))
    assert np.abs(centre - columns["target"]).max() < 0.5


def test_labels_tell_which_kinds_are_present():
    columns = shapes("labels", train=100)["train"].columns
    assert set(np.unique(columns["labels"])) == {0, 1}
    assert set(columns["labels"].sum(1)) == {1, 2, 3}
