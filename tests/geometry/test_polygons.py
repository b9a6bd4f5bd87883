"""Tests of the polygons around connected shapes of a class map."""

import sys
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from cnnlab.geometry.polygons import NODATA_CLASS, Shape, polygons
from cnnlab.geometry.simplify import simplified


def area(ring):
    (x, y), (u, v) = ring[:-1].T, ring[1:].T
    return (x * v - u * y).sum() / 2


def random_mask(height, width, seed=0, classes=3):
    noise = np.random.default_rng(seed).normal(size=(classes, height, width))
    return ndimage.gaussian_filter(noise, (0, 1.2, 1.2)).argmax(0).astype(np.uint8)


def test_a_square_with_a_hole_has_two_rings():
    mask = np.zeros((6, 7), np.uint8)
    mask[1:5, 1:6] = 1
    mask[2:4, 2:4] = 0
    (shape,) = polygons(mask, {})
    outer, hole = shape.rings
    assert shape.pixels == 16
    assert outer.tolist() == [[1, 1], [6, 1], [6, 5], [1, 5], [1, 1]]
    assert (area(outer), area(hole)) == (20, -4)


def test_shapes_that_touch_at_a_corner_are_two():
    assert [shape.pixels for shape in polygons(np.eye(3, dtype=np.uint8), {})] == [1, 1, 1]


def test_the_first_class_and_pixels_without_data_are_no_shapes():
    mask = np.array([[0, NODATA_CLASS], [2, 0]], np.uint8)
    assert [(shape.kind, shape.pixels) for shape in polygons(mask, {})] == [(2, 1)]


def test_another_class_or_none_may_be_the_background():
    mask = np.array([[0, NODATA_CLASS], [2, 0]], np.uint8)
    assert [(shape.kind, shape.pixels) for shape in polygons(mask, {}, background=2)] == [(0, 1), (0, 1)]
    mean = np.array([[[0.25, 0.5], [0.75, 0.0]]])  # probability of the second of two classes
    shapes = list(polygons(np.array([[0, 255], [1, 0]], np.uint8), {"mean": mean}, background=None))
    assert [(shape.kind, shape.means["mean"]) for shape in shapes] == [(0, 0.75), (0, 1.0), (1, 0.75)]


def test_means_are_taken_over_the_pixels_of_the_shape_in_the_band_of_its_class():
    mask = np.array([[1, 1, 0], [0, 0, 2]], np.uint8)
    one, three = np.arange(6.0).reshape(1, 2, 3), np.arange(18.0).reshape(3, 2, 3)
    first, second = polygons(mask, {"variance": one, "mean": three})
    assert first.means == {"variance": 0.5, "mean": 6.5}
    assert second.means == {"variance": 5, "mean": 17}


@pytest.mark.parametrize(("pixels", "runs"), [(1 << 19, 1 << 20), (350, 100), (1, 1)])
def test_shapes_are_those_of_scipy_and_their_rings_hold_as_many_pixels(pixels, runs, monkeypatch):
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_PIXELS", pixels)  # pixels of a strip
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_RUNS", runs)  # borders before shapes are built
    mask = random_mask(60, 50)
    shapes = list(polygons(mask, {"row": np.indices(mask.shape)[:1].astype(float)}))
    expected = []
    for kind in (1, 2):
        labels, number = ndimage.label(mask == kind)
        rows = ndimage.mean(np.indices(mask.shape)[0], labels, range(1, number + 1))
        expected += [(kind, (labels == i + 1).sum(), round(rows[i], 6)) for i in range(number)]
    assert sorted((s.kind, s.pixels, round(s.means["row"], 6)) for s in shapes) == sorted(expected)
    for shape in shapes:
        areas = [area(ring) for ring in shape.rings]
        assert sum(areas) == shape.pixels
        assert [a > 0 for a in areas] == [True] + [False] * (len(areas) - 1)


def test_memory_holds_no_shapes_that_are_finished(monkeypatch):
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_PIXELS", 1 << 12)
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_RUNS", 1 << 12)

    def peak(height):
        mask = np.random.default_rng(0).random((height, 64)) > 0.8
        tracemalloc.start()
        number = sum(1 for _ in polygons(mask, {}))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return number, most

    peak(64)  # triggers lazy imports
    (few, low), (many, high) = peak(512), peak(4096)
    assert many > 7 * few
    assert high < 1.5 * low


def test_small_shapes_can_be_left_out():
    mask = np.array([[1, 0, 1, 1]], np.uint8)
    assert [shape.pixels for shape in polygons(mask, {}, smallest=2)] == [2]


def test_the_shapes_that_are_left_out_are_counted_over_all_strips(monkeypatch):
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_PIXELS", 1)
    monkeypatch.setattr(sys.modules["cnnlab.geometry.polygons"], "_RUNS", 1)
    mask = random_mask(60, 50)
    numbers = []
    large = sum(1 for _ in polygons(mask, {}, smallest=20, left_out=numbers.append))
    sizes = [shape.pixels for shape in polygons(mask, {})]
    assert (large, sum(numbers)) == (sum(n >= 20 for n in sizes), sum(n < 20 for n in sizes))
    assert sum(numbers) > 0


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_valid_and_cover_the_pixels_as_gdal_says(seed):
    shapely = pytest.importorskip("shapely")
    features = pytest.importorskip("rasterio.features")
    mask = np.random.default_rng(seed).integers(0, 3, (25, 30)).astype(np.uint8)  # corners touch everywhere
    results = [shapely.Polygon(outer, holes) for outer, *holes in (shape.rings for shape in polygons(mask, {}))]
    assert all(shapely.is_valid(results))
    gdal = [shapely.geometry.shape(one).buffer(0) for one, kind in features.shapes(mask, connectivity=4) if kind]
    assert sorted(map(shapely.area, results)) == sorted(map(shapely.area, gdal))
    assert shapely.union_all(results).symmetric_difference(shapely.union_all(gdal)).area == 0


def as_polygons(shapes):
    shapely = pytest.importorskip("shapely")
    return [shapely.Polygon(outer, holes) for outer, *holes in (shape.rings for shape in shapes)]


@pytest.mark.parametrize("tolerance", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("background", [0, None])
def test_simplified_polygons_are_valid_and_overlap_nowhere(tolerance, seed, background):
    shapely = pytest.importorskip("shapely")
    shapes = list(polygons(random_mask(60, 50, seed), {}, background=background))
    before, after = as_polygons(shapes), as_polygons(simplified(shapes, tolerance))
    assert all(shapely.is_valid(after))
    assert shapely.coverage_is_valid(after)
    assert np.isclose(sum(map(shapely.area, after)), shapely.union_all(after).area)
    assert sum(map(shapely.get_num_coordinates, after)) < 0.7 * sum(map(shapely.get_num_coordinates, before))


def test_neighbours_keep_their_common_border_when_they_are_simplified():
    shapely = pytest.importorskip("shapely")
    y, x = np.indices((40, 40))
    mask = np.where(x + y < 40, 1, 2).astype(np.uint8)  # two triangles with a common staircase
    mask[:, 30:] = 3  # the staircase ends in the middle of a straight border
    first, second, third = as_polygons(simplified(polygons(mask, {}), 2))
    assert first.union(second).union(third).area == 1600
    assert shapely.get_num_coordinates(first) == 7  # of 60
    assert abs(first.area - (mask == 1).sum()) < 20


def test_the_kind_the_pixels_and_the_means_of_a_simplified_shape_stay():
    shape = Shape(2, 7, {"mean": 0.5}, [np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [0, 2], [0, 0]])])
    pytest.importorskip("shapely")
    (after,) = simplified([shape], 1.5)
    assert after[:3] == shape[:3]
    assert len(after.rings[0]) < len(shape.rings[0])


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_that_is_no_length_is_refused(tolerance):
    with pytest.raises(ValueError, match=r"simplify must be 0 or more pixels, found"):
        simplified([], tolerance)
