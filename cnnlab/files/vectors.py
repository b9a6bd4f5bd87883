"""Polygons of GeoJSON and GeoPackage files, drawn on the pixels of a georeferenced raster. Needs the extra `geo`.

Source: RFC 7946 (GeoJSON, whose coordinates are degrees unless an older `crs` says otherwise); OGC 12-128r18
(GeoPackage).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.errors import unknown
from cnnlab.files.gdal import open_raster
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_json

SUFFIXES = (".geojson", ".json", ".gpkg")
MAX_BYTES = 600_000_000
MAX_CLASSES = 1000
_DEGREES = "OGC:CRS84"
_SQLITE = b"SQLite format 3\0"
_AREAS = ("Polygon", "MultiPolygon")
_NO_POLYGON = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


class Drawn(NamedTuple):
    """Polygons as a raster.

    Attributes:
      codes: number of the class of each pixel `[H, W]` int32, 0 = in no polygon.
      names: names of the classes 1, 2, ...
      notes: numbers of the features that were left out, with the reason.
    """

    codes: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]


def draw_polygons(path: Path, raster: Path, *, column: str | None = None, all_touched: bool = False) -> Drawn:
    """Draws the polygons of a file on the pixels of a georeferenced raster, the largest first.

    Coordinates of another system than the raster's are converted.

    Args:
      path: GeoJSON or GeoPackage file; of several layers the first one counts.
      raster: GeoTIFF, or another image with a georeference.
      column: attribute that holds the class; without it all polygons are of the class `object`.
      all_touched: whether a pixel counts that a polygon only touches; otherwise its centre must lie inside.

    Raises:
      ValueError: a file cannot be read, raster or polygons have no coordinate system, the column is unknown, or no
        polygon lies on the raster.
    """
    try:
        import rasterio.features
        import rasterio.warp
        import shapely.geometry
        from rasterio._err import CPLE_BaseError
        from rasterio.crs import CRS
        from rasterio.errors import CRSError, RasterioError
    except ImportError as error:
        raise ValueError(f'{path} needs the extra geo: pip install "cnnlab[geo]" ({error})') from error
    with open_raster(raster) as file:
        if file.crs is None:
            raise ValueError(
                f"{raster} has no coordinate system, so the polygons of {path.name} have no place on it; georeference "
                "it, or give a mask image"
            )
        crs, transform, size, bounds = file.crs, file.transform, (file.height, file.width), file.bounds
    features, own = _read_geopackage(path) if path.suffix.lower() == ".gpkg" else _read_geojson(path)
    try:
        own = CRS.from_user_input(own)
    except (CRSError, CPLE_BaseError) as error:
        raise ValueError(f"{path} names the coordinate system {shown(own)}, which is unknown ({error})") from error
    names, kept, notes = _classes(features, column, path)
    shapes, outside = [], 0
    for (geometry, _), name in zip(kept, names, strict=True):
        try:
            placed = geometry if own == crs else rasterio.warp.transform_geom(own, crs, geometry)
            shape = shapely.geometry.shape(placed)
        except (*_NO_POLYGON, RasterioError, CPLE_BaseError, shapely.errors.ShapelyError) as error:
            raise ValueError(f"{path} holds a polygon that is none: {error}; repair it") from error
        if shape.is_empty or not shape.intersects(shapely.geometry.box(*bounds)):
            outside += 1
        else:
            shapes.append((shape.area, shape, name))
    if not shapes:
        raise ValueError(
            f"no polygon of {path} lies on {raster}, which covers {', '.join(f'{side:g}' for side in bounds)} in "
            f"{crs}; check the coordinate systems"
        )
    if outside:
        notes.append(f"{outside:,} polygons lie outside {raster.name}")
    table = tuple(sorted(set(names)))
    number = {name: k for k, name in enumerate(table, 1)}
    ordered = [(shape, number[name]) for _, shape, name in sorted(shapes, key=lambda item: -item[0])]
    codes = rasterio.features.rasterize(
        ordered, out_shape=size, transform=transform, all_touched=all_touched, fill=0, dtype="int32"
    )
    return Drawn(codes, table, tuple(notes))


def _classes(features: Sequence[tuple[Any, dict]], column: str | None, path: Path):
    """Returns the class of each polygon, the polygons, and notes of the features that are left out."""
    known = sorted({str(key) for _, properties in features for key in properties})
    if column is not None and column not in known:
        raise ValueError(f"{path}: {unknown('column', column, known)}")
    areas = [
        (geometry, properties)
        for geometry, properties in features
        if isinstance(geometry, dict) and geometry.get("type") in _AREAS
    ]
    values = ["object" if column is None else properties.get(column) for _, properties in areas]
    given = [value is not None and str(value).strip() != "" for value in values]
    kept = [area for area, is_given in zip(areas, given, strict=True) if is_given]
    names = [str(value).strip() for value, is_given in zip(values, given, strict=True) if is_given]
    if len(set(names)) > MAX_CLASSES:
        raise ValueError(
            f"{path}: the column {column!r} has {len(set(names)):,} values, more than {MAX_CLASSES:,} classes"
        )
    notes = []
    if len(areas) < len(features):
        notes.append(f"{len(features) - len(areas):,} features are no polygons")
    if len(kept) < len(areas):
        notes.append(f"{len(areas) - len(kept):,} polygons have no value in {column!r}")
    return names, kept, notes


def _read_geojson(path: Path) -> tuple[list[tuple[Any, dict]], str]:
    """Returns the geometry and the properties of each feature, and the coordinate system."""
    table = read_json(path, limit=MAX_BYTES)
    features = table.get("features") if isinstance(table, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ValueError(f"{path} must be a GeoJSON FeatureCollection with features, found {shown(table)}")
    out = [(feature.get("geometry"), feature.get("properties") or {}) for feature in features]
    if strange := [properties for _, properties in out if not isinstance(properties, dict)]:
        raise ValueError(f"{path}: the properties of a feature must be an object, found {shown(strange[0])}")
    stated = table.get("crs")
    if stated is not None:
        properties = stated.get("properties") if isinstance(stated, dict) else None
        name = properties.get("name") if isinstance(properties, dict) else None
        if not isinstance(name, str):
            raise ValueError(f"{path}: crs must name a coordinate system, found {shown(stated)}")
        return out, name
    for geometry, _ in out:
        if (point := _first_point(geometry)) is not None and not (abs(point[0]) <= 180 and abs(point[1]) <= 90):
            raise ValueError(
                f"{path} names no coordinate system, and {point} are no degrees; export it with its coordinate system "
                "(a GeoPackage always has one)"
            )
    return out, _DEGREES


def _first_point(geometry: Any) -> tuple[float, float] | None:
    """Returns the first point of a geometry, or None if it has none."""
    value = geometry.get("coordinates") if isinstance(geometry, dict) else None
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    numbers = isinstance(value, list) and len(value) >= 2 and all(type(number) in (int, float) for number in value[:2])
    return (value[0], value[1]) if numbers else None


def _read_geopackage(path: Path) -> tuple[list[tuple[Any, dict]], str]:
    """Returns the geometry and the attributes of each feature of the first layer, and the coordinate system."""
    try:
        with open(path, "rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE or path.stat().st_size > MAX_BYTES:
                raise ValueError(f"{path} is no GeoPackage of at most {MAX_BYTES:,} bytes; export it again")
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); repair or replace it") from error
    import pyogrio.errors
    import pyogrio.raw
    import shapely

    try:
        layer = pyogrio.list_layers(path)[0][0]
        meta, _, geometry, columns = pyogrio.raw.read(path, layer=layer)
        shapes = [None if shape is None else shapely.geometry.mapping(shape) for shape in shapely.from_wkb(geometry)]
    except (
        pyogrio.errors.DataSourceError,
        pyogrio.errors.DataLayerError,
        IndexError,
        shapely.errors.ShapelyError,
    ) as error:
        raise ValueError(f"cannot read {path} as a GeoPackage ({error}); export it again") from error
    if not meta["crs"]:
        raise ValueError(f"the layer {layer!r} of {path} has no coordinate system; assign one and export it again")
    names = list(map(str, meta["fields"]))
    values = [column.tolist() for column in columns]
    rows = zip(*values, strict=True) if values else [()] * len(shapes)
    return [(shape, dict(zip(names, row, strict=True))) for shape, row in zip(shapes, rows, strict=True)], meta["crs"]
