"""Masks of polygons and run lengths, compared with pycocotools."""

import numpy as np
import pytest

from cnnlab.geometry.outlines import Polygons, bounds, check_runs, decompress, draw, paint, runs_of


def random_polygon(rng):
    """Corners of a polygon that may cross itself and leave the image, on whole, half or any coordinates."""
    size = tuple(map(int, rng.integers(1, 90, 2)))
    points = rng.uniform(-20, np.array(size[::-1]) + 20, (rng.integers(3, 14), 2))
    step = rng.choice([0, 0.5, 1])
    return size, np.round(points / step) * step if step else points


def test_masks_of_polygons_equal_pycocotools_to_the_pixel_on_1000_random_shapes():
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(1000):
        size, points = random_polygon(rng)
        expected = coco.decode(coco.frPyObjects([points.ravel().tolist()], *size))[..., 0]
        np.testing.assert_array_equal(draw(Polygons((points,)), size), expected)


def test_the_union_of_several_parts_equals_pycocotools():
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(1)
    for _ in range(50):
        parts = [random_polygon(rng)[1] for _ in range(3)]
        expected = coco.decode(coco.merge(coco.frPyObjects([part.ravel().tolist() for part in parts], 40, 50)))
        np.testing.assert_array_equal(draw(Polygons(tuple(parts)), (40, 50)), expected)


def test_compressed_run_lengths_equal_those_of_pycocotools():
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(2)
    for _ in range(200):
        mask = rng.random(rng.integers(1, 60, 2)) > rng.random()
        text = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        runs = check_runs(decompress(text), mask.shape)
        assert runs.counts.tolist() == runs_of(mask).counts.tolist()
        np.testing.assert_array_equal(draw(runs, mask.shape), mask)
        rows, columns = np.nonzero(mask)
        if len(rows):
            assert bounds(runs) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_a_square_of_whole_coordinates_covers_the_pixels_between_them():
    mask = draw(Polygons((np.array([[1.0, 1], [4, 1], [4, 3], [1, 3]]),)), (5, 6))
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]


def test_where_a_polygon_crosses_itself_parity_decides():
    twice = np.array([[1.0, 1], [6, 1], [6, 6], [1, 6]] * 2)
    assert not draw(Polygons((twice,)), (8, 8)).any()


def test_a_polygon_far_outside_costs_only_the_columns_of_the_image():
    canvas = np.zeros((4, 4), int)
    paint(canvas, Polygons((np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]]),)), 3)
    assert (canvas == 3).all()


@pytest.mark.parametrize("counts", [[1, 2], [-1, 7], [2.5, 3.5], [True, 5], [2**70]])
def test_run_lengths_that_do_not_cover_the_photo_are_refused(counts):
    with pytest.raises(ValueError, match="run lengths must be .* 6 pixels of the photo"):
        check_runs(counts, (2, 3))


@pytest.mark.parametrize(
    ("text", "message"), [("\x10", "none of their code"), ("P", "cut off"), ("PP" * 9 + "1", "too many")]
)
def test_compressed_run_lengths_of_another_code_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        decompress(text)


def test_run_lengths_of_another_size_are_refused():
    with pytest.raises(ValueError, match="run lengths are of 3x2 pixels, the photo has 2x3"):
        draw(runs_of(np.ones((2, 3), bool)), (3, 2))
