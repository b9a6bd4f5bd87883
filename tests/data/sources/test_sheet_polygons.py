"""Polygons drawn in QGIS over a georeferenced sheet."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import sheet
from cnnlab.files.vectors import draw_polygons

rasterio = pytest.importorskip("rasterio")
WEST, NORTH, PIXEL = 500_000, 5_400_000, 2  # metres in UTM 32N


@pytest.fixture
def atlas(tmp_path):
    """A sheet of 40 x 60 pixels, two metres each."""
    path = tmp_path / "atlas.tif"
    transform = rasterio.Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH)
    profile = {"driver": "GTiff", "height": 40, "width": 60, "count": 3, "dtype": "uint8", "crs": "EPSG:25832"}
    with rasterio.open(path, "w", transform=transform, **profile) as file:
        file.write(np.random.default_rng(0).integers(1, 255, (3, 40, 60), np.uint8))
    return path


def ring(x1, y1, x2, y2):
    """Returns a rectangle of pixels as metres."""
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    return [[WEST + PIXEL * x, NORTH - PIXEL * y] for x, y in corners]


def features(*entries):
    return [
        {"type": "Feature", "properties": {"kind": kind}, "geometry": {"type": "Polygon", "coordinates": rings}}
        for kind, *rings in entries
    ]


ENTRIES = (
    ("house", ring(2, 2, 5, 5)),
    ("park", ring(0, 0, 20, 10), ring(6, 6, 8, 8)),
    ("house", ring(30, 20, 40, 30)),
)
NAMED = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}}


def geojson(folder, entries=ENTRIES, crs=NAMED):
    table = {"type": "FeatureCollection", "features": features(*entries)} | ({"crs": crs} if crs else {})
    (folder / "labels.geojson").write_text(json.dumps(table))
    return folder / "labels.geojson"


def expected():
    codes = np.zeros((40, 60), int)
    codes[0:10, 0:20] = 2
    codes[6:8, 6:8] = 0
    codes[2:5, 2:5] = codes[20:30, 30:40] = 1
    return codes


def test_polygons_cover_the_pixels_whose_centres_they_hold_the_smaller_on_top(atlas, tmp_path):
    drawn = draw_polygons(geojson(tmp_path), atlas, column="kind")
    assert drawn.names == ("house", "park")
    np.testing.assert_array_equal(drawn.codes, expected())


def test_degrees_are_converted_to_the_sheets_coordinates(atlas, tmp_path):
    from rasterio.warp import transform

    entries = [
        (
            kind,
            *(
                [
                    list(point)
                    for point in zip(*transform("EPSG:25832", "OGC:CRS84", *zip(*own, strict=True)), strict=True)
                ]
                for own in rings
            ),
        )
        for kind, *rings in ENTRIES
    ]
    drawn = draw_polygons(geojson(tmp_path, entries, crs=None), atlas, column="kind")
    np.testing.assert_array_equal(drawn.codes, expected())


def test_a_geopackage_gives_the_same_as_geojson(atlas, tmp_path):
    pyogrio, shapely = pytest.importorskip("pyogrio"), pytest.importorskip("shapely")
    shapes = [shapely.Polygon(outer, holes) for _, outer, *holes in ENTRIES]
    kinds = np.array([kind for kind, *_ in ENTRIES], object)
    options = {"driver": "GPKG", "geometry_type": "Polygon", "layer": "labels"}
    path = tmp_path / "labels.gpkg"
    pyogrio.raw.write(path, shapely.to_wkb(np.array(shapes, object)), [kinds], ["kind"], crs="EPSG:25832", **options)
    np.testing.assert_array_equal(draw_polygons(path, atlas, column="kind").codes, expected())


def test_pixels_that_a_polygon_touches_count_on_request(atlas, tmp_path):
    path = geojson(tmp_path, [("house", ring(2.6, 2.6, 5.4, 5.4))])
    assert (draw_polygons(path, atlas).codes > 0).sum() == 4
    assert (draw_polygons(path, atlas, all_touched=True).codes > 0).sum() == 16


def test_a_sheet_with_polygons_is_cut_into_windows_with_its_classes(atlas, tmp_path):
    entries = [
        *ENTRIES,
        ("ignore", ring(50, 30, 55, 35)),
        (None, ring(0, 30, 5, 35)),
        ("park", ring(900, 900, 950, 950)),
    ]
    path = geojson(tmp_path, entries)
    with pytest.warns(
        UserWarning, match=r"1 polygons have no value in 'kind'; 1 polygons lie outside atlas\.tif, left out"
    ):
        data = sheet(str(atlas), str(path), column="kind", window=10, crops=4, validation=(30, 45), test=(45, 60))
    assert data.spec.classes == ("background", "house", "park")
    masks = data["test"].column("mask")[:]
    assert (masks == -1).sum() >= 25


def without_crs(atlas, tmp_path):
    return geojson(tmp_path, crs=None), atlas, "names no coordinate system, and .* are no degrees"


def elsewhere(atlas, tmp_path):
    return geojson(tmp_path, [("house", ring(900, 900, 950, 950))]), atlas, "no polygon of .* lies on .*atlas"


def plain_image(atlas, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "plain.png")
    return geojson(tmp_path), tmp_path / "plain.png", "plain.png has no coordinate system"


def no_geopackage(atlas, tmp_path):
    (tmp_path / "a.gpkg").write_text("<OGRVRTDataSource/>")
    return tmp_path / "a.gpkg", atlas, "is no GeoPackage"


def no_collection(atlas, tmp_path):
    (tmp_path / "a.geojson").write_text('{"type": "Point"}')
    return tmp_path / "a.geojson", atlas, "must be a GeoJSON FeatureCollection"


def unknown_crs(atlas, tmp_path):
    return geojson(tmp_path, crs={"properties": {"name": "EPSG:999999"}}), atlas, "which is unknown"


@pytest.mark.parametrize("harm", [without_crs, elsewhere, plain_image, no_geopackage, no_collection, unknown_crs])
def test_what_has_no_place_on_the_sheet_is_refused(harm, atlas, tmp_path):
    path, raster, message = harm(atlas, tmp_path)
    with pytest.raises(ValueError, match=message):
        draw_polygons(path, raster)


def test_a_wrong_column_is_named(atlas, tmp_path):
    with pytest.raises(ValueError, match="unknown column 'knid'.*kind"):
        draw_polygons(geojson(tmp_path), atlas, column="knid")
