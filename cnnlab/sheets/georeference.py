"""Georeferences of sheets, and rasters and polygons with one. Needs the extra `geo`."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

_BLOCK = 256  # side of a block of the file; as many rows are written at a time
_CACHE = 64  # MB; GDAL would take a twentieth of the memory


class Georeference(NamedTuple):
    """The mapping from pixels to coordinates on earth.

    Attributes:
      crs: the coordinate system as WKT; None where the file names none.
      transform: a, b, c, d, e, f: x = a column + b row + c, y = d column + e row + f.
    """

    crs: str | None
    transform: tuple[float, float, float, float, float, float]

    @property
    def pixel_area(self) -> float:
        """Returns the area of one pixel in the squared unit of the coordinates."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Coordinates of corners `[n, 2]` given as column and row.

        >>> Georeference(None, (2, 0, 100, 0, -2, 500)).place(np.array([[0, 0], [3, 1]])).tolist()
        [[100.0, 500.0], [106.0, 498.0]]
        """
        a, b, c, d, e, f = self.transform
        return points @ np.array([[a, d], [b, e]], float) + np.array([c, f], float)


def georeference(file) -> Georeference | None:
    """Returns the georeference of a rasterio dataset; None if it has neither coordinate system nor transform.

    Raises:
      ValueError: it is placed by ground control points.
    """
    transform = tuple(file.transform)[:6]
    if file.crs is None and transform == (1, 0, 0, 0, 1, 0):
        if file.gcps[0]:
            raise ValueError(
                f"{file.name} is placed by {len(file.gcps[0])} ground control points, not by a transform; warp it "
                f"first: gdalwarp {file.name} warped.tif"
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
    except (rasterio.errors.RasterioError, CPLE_BaseError, TypeError) as error:  # the last of a file it cannot reopen
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
      path: the new file.
      values: `[bands, H, W]` float32 or uint8; a memory map is read by strips.
      where: its georeference.
      nodata: the value of pixels without data.
      names: descriptions of the bands.
      legend: by value its name, kept as the tag `class_VALUE`, and its colour; for one band of uint8.

    Raises:
      OSError: it cannot be written whole.
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
    """Raises `OSError` where a block is missing: GDAL may lose an error that comes when the file is closed."""
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
                raise OSError(f"{path.name} came out without block {row}, {column} of band {band}")


def read_geotiff(path: Path, rows: slice) -> np.ndarray:
    """Rows `[bands, h, W]` of what `write_geotiff` wrote."""
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
    """Polygons in the sheet's own coordinates, one layer.

    Args:
      path: the file, `.gpkg`.
      polygons: rings `[n, 2]` of columns and rows, the outer one first.
      columns: an attribute of every polygon by name.
      where: the sheet's georeference.
      append: to a file that holds some already.
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
    """Converts corners `[n, 2]` to longitude and latitude for GeoJSON; without a coordinate system they stay.

    Raises:
      ValueError: the system is a local one, which lies nowhere on earth.
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
            "take gpkg for its polygons (--vectors)"
        ) from error
