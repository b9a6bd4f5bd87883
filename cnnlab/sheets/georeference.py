"""Georeferences of sheets; reading and writing of georeferenced rasters and polygons. Needs the extra `geo`."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_BLOCK = 256  # side of a block of the file in pixels, and number of rows that are written at a time
_CACHE = 64  # MB; by default GDAL takes a twentieth of the memory


class Georeference(NamedTuple):
    """The mapping from pixels to coordinates on earth.

    Attributes:
      crs: coordinate system as WKT; None if the file names none.
      transform: numbers a, b, c, d, e, f of x = a column + b row + c and y = d column + e row + f.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]

    @property
    def pixel_area(self) -> float:
        """Returns the area of one pixel in the squared unit of the coordinates."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Converts points `[n, 2]` from column and row to coordinates.

        >>> Georeference(None, (2, 0, 100, 0, -2, 500)).place(np.array([[0, 0], [3, 1]])).tolist()
        [[100.0, 500.0], [106.0, 498.0]]
        """
        a, b, c, d, e, f = self.transform
        return points @ np.array([[a, d], [b, e]], float) + np.array([c, f], float)


def georeference(file) -> Georeference | None:
    """Returns the georeference of a rasterio dataset; None if it has neither coordinate system nor transform.

    Raises:
      ValueError: the dataset has ground control points instead of a transform.
    """
    transform = tuple(file.transform)[:6]
    if file.crs is None and transform == (1, 0, 0, 0, 1, 0):
        if file.gcps[0]:
            raise ValueError(
                f"{file.name} is georeferenced by {len(file.gcps[0])} ground control points, not by a transform; "
                f"warp it first: gdalwarp {file.name} warped.tif"
            )
        return None
    return Georeference(file.crs.to_wkt() if file.crs else None, transform)


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turns every error that GDAL raises while it writes into an `OSError`."""
    import rasterio
    from rasterio._err import CPLE_BaseError

    try:
        yield
    # GDAL raises a TypeError if it cannot reopen a file.
    except (rasterio.errors.RasterioError, CPLE_BaseError, TypeError) as error:
        raise OSError(str(error)) from error


@_as_os_errors()
def write_geotiff(
    path: Path,
    values: np.ndarray,
    where: Georeference,
    *,
    nodata: float,
    names: Sequence[str] = (),
    legend: Mapping[int, tuple[str, tuple[int, int, int]]] | None = None,
) -> None:
    """Writes a compressed GeoTIFF in blocks, with overviews.

    Args:
      path: path of the new file.
      values: `[bands, H, W]` float32 or uint8; a memory map is read in strips.
      where: georeference of the raster.
      nodata: value of pixels without data.
      names: descriptions of the bands.
      legend: name and colour of each value, for a single uint8 band; the name becomes the tag `class_VALUE`.

    Raises:
      OSError: the file cannot be written completely.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.windows import Window

    bands, height, width = values.shape
    real = values.dtype.kind == "f"
    profile = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": values.dtype.name}
    profile |= {"crs": where.crs, "transform": rasterio.Affine(*where.transform), "nodata": nodata}
    profile |= {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK, "interleave": "band", "bigtiff": "if_safer"}
    with rasterio.Env(GDAL_CACHEMAX=_CACHE):
        with rasterio.open(path, "w", compress="deflate", predictor=3 if real else 2, **profile) as file:
            for band, name in enumerate(names, 1):
                file.set_band_description(band, name)
            if legend:
                file.write_colormap(1, {value: (*map(int, colour), 255) for value, (_, colour) in legend.items()})
                file.update_tags(1, **{f"class_{value}": name for value, (name, _) in legend.items()})
            for band in range(bands):
                for start in range(0, height, _BLOCK):
                    rows = values[band, start : start + _BLOCK]
                    file.write(rows, band + 1, window=Window(0, start, width, len(rows)))
        factors = [2**i for i in range(1, 16) if max(height, width) / 2**i > 128]
        if factors:
            with rasterio.open(path, "r+") as file:
                file.build_overviews(factors, Resampling.average if real else Resampling.nearest)
    _check_whole(path)


def _check_whole(path: Path) -> None:
    """Raises `OSError` if a block is missing: GDAL may lose an error that occurs when the file is closed."""
    import rasterio

    with rasterio.open(path) as file:
        levels = range(len(file.overviews(1)))
    for level in (None, *levels):
        with rasterio.open(path, **({} if level is None else {"overview_level": level})) as file:
            _check_blocks(file, path)


def _check_blocks(file, path: Path) -> None:
    size = path.stat().st_size
    for band, (height, width) in enumerate(file.block_shapes, 1):
        for row, column in np.ndindex(-(-file.height // height), -(-file.width // width)):
            place, length = (
                int(file.get_tag_item(f"BLOCK_{part}_{column}_{row}", "TIFF", bidx=band) or 0)
                for part in ("OFFSET", "SIZE")
            )
            if not 0 < place <= size - length:
                raise OSError(f"{path.name} was written without block {row}, {column} of band {band}")


def read_geotiff(path: Path, rows: slice) -> np.ndarray:
    """Reads rows `[bands, h, W]` of a file that `write_geotiff` wrote."""
    import rasterio
    from rasterio.windows import Window

    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.open(path) as file:
        return file.read(window=Window(0, rows.start, file.width, rows.stop - rows.start))


def write_geopackage(
    path: Path,
    polygons: Iterable[Sequence[np.ndarray]],
    columns: dict[str, np.ndarray],
    where: Georeference,
    *,
    append: bool = False,
) -> None:
    """Writes polygons in the sheet's own coordinates into the layer of a GeoPackage.

    Args:
      path: path of the `.gpkg` file.
      polygons: rings `[n, 2]` of each polygon as column and row, the outer ring first.
      columns: attributes by name, each an array with one entry per polygon.
      where: georeference of the sheet.
      append: whether to add the polygons to an existing file.
    """
    import pyogrio
    import shapely

    shapes = [shapely.Polygon(where.place(outer), [*map(where.place, holes)]) for outer, *holes in polygons]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(shapes, object)) if shapes else np.array([], object),
        list(columns.values()),
        list(columns),
        layer="polygons",
        driver="GPKG",
        geometry_type="Polygon",
        crs=where.crs,
        append=append,
    )


def to_degrees(points: np.ndarray, where: Georeference) -> np.ndarray:
    """Converts points `[n, 2]` from column and row to longitude and latitude for GeoJSON.

    Without a coordinate system it returns the transformed coordinates.

    Raises:
      ValueError: the coordinate system is local and has no position on earth.
    """
    placed = where.place(points)
    if where.crs is None:
        return placed
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        return np.stack(transform(where.crs, "OGC:CRS84", *placed.T), -1)
    except (RasterioError, CPLE_BaseError) as error:
        raise ValueError(
            f"the sheet's coordinate system cannot be converted to degrees ({error}); "
            "write its polygons as gpkg (--vectors)"
        ) from error
