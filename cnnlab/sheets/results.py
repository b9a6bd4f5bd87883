"""Writing of a sheet's results: GeoTIFFs and a GeoPackage, or PNG images, arrays and GeoJSON."""

import itertools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.files.opening import MAX_PIXELS
from cnnlab.files.png import class_colours, map_image, write_png
from cnnlab.geometry.polygons import NODATA_CLASS, Shape
from cnnlab.sheets.georeference import Georeference, read_geotiff, to_degrees, write_geopackage, write_geotiff
from cnnlab.sheets.options import Vectors
from cnnlab.sheets.scratch import allocate, note_published, published

_BATCH = 20_000  # number of polygons that are written together


def write_rasters(
    folder: Path, maps: dict[str, np.ndarray], where: Georeference | None, classes: Sequence[str]
) -> list[str]:
    """Writes every map into a folder.

    Args:
      folder: existing folder.
      maps: maps `[bands, H, W]` by name.
      where: georeference of the sheet. With one, the maps become GeoTIFFs. Without one, they become `.npy` arrays
        `[H, W]` or `[H, W, bands]` and, up to `MAX_PIXELS`, PNG images, one per band. The image of `mask` holds class
        indices with a colour each. In the other images the value 255 means 1 for `mean`, log k for `entropy`, and the
        largest value of the map for the other two; the PNG's text entry `white` holds this number.
      classes: names of the classes.

    Returns:
      The names of the files.
    """
    names = []
    for name, values in maps.items():
        if where is not None:
            options = _description(name, len(values), classes)
            write_geotiff(folder / f"{name}.tif", values, where, nodata=_nodata(name), **options)
            names.append(f"{name}.tif")
            continue
        _write_array(folder / f"{name}.npy", values)
        names.append(f"{name}.npy")
        if values[0].size > MAX_PIXELS:
            continue
        largest = _largest(values)
        for band, pixels in enumerate(values):
            names.append(f"{name}.png" if len(values) == 1 else f"{name}_{band}.png")
            write_png(folder / names[-1], map_image(name, pixels, len(classes), largest=largest))
    return names


def _description(name: str, bands: int, classes: Sequence[str]) -> dict[str, Any]:
    """Returns options of `write_geotiff`: names of the bands, or the names and colours of the mask's classes."""
    if name == "mask":
        return {"legend": {i: (name, tuple(class_colours(len(classes))[i])) for i, name in enumerate(classes)}}
    if bands == len(classes):
        return {"names": classes}
    return {"names": classes[1:]} if name in ("mean", "variance") else {}


def read_rasters(files: Mapping[str, Path], maps: Mapping[str, np.ndarray]) -> None:
    """Reads files of `write_rasters` into existing maps `[bands, H, W]` with the same names."""
    for name, values in maps.items():
        for start in range(0, values.shape[1], 512):
            rows = slice(start, min(start + 512, values.shape[1]))
            values[:, rows] = _read_rows(files[name], rows)


def _read_rows(path: Path, rows: slice) -> np.ndarray:
    if path.suffix == ".tif":
        return read_geotiff(path, rows)
    files = np.load(path, mmap_mode="r", allow_pickle=False)[rows]
    return files[None] if files.ndim == 2 else np.moveaxis(files, -1, 0)


def _nodata(name: str) -> float:
    return NODATA_CLASS if name == "mask" else float("nan")


def _write_array(path: Path, values: np.ndarray) -> None:
    bands, height, width = values.shape
    shape = (height, width) if bands == 1 else (height, width, bands)
    allocate(path, shape, values.dtype)
    for start in range(0, height, 512):
        rows = values[:, start : start + 512]
        # The file is opened anew for each strip, because the pages of an open map count as memory of the process.
        out = np.lib.format.open_memmap(path, mode="r+")
        out[start : start + 512] = rows[0] if bands == 1 else np.moveaxis(rows, 0, -1)


def _largest(values: np.ndarray) -> float:
    """Returns the largest value in all bands `[bands, H, W]`; NaN counts as 0."""
    starts = range(0, values.shape[1], 512)
    return max(float(np.nan_to_num(values[:, start : start + 512]).max()) for start in starts)


def write_polygons(
    folder: Path,
    shapes: Iterable[Shape],
    where: Georeference | None,
    classes: Sequence[str],
    kind: Vectors,
    measures: Iterable[str],
) -> str:
    """Writes the shapes with their class, area (in the square of the coordinate system's unit) and means.

    Args:
      folder: existing folder.
      shapes: shapes of the sheet.
      where: georeference of the sheet. With one, the file is a GeoPackage in the sheet's own coordinates or GeoJSON in
        degrees. Without one, it is GeoJSON in pixels, with rows downwards.
      classes: names of the classes.
      kind: format of the file for a georeferenced sheet, `gpkg` or `geojson`.
      measures: names of the maps of which shapes have means.

    Returns:
      The name of the file.
    """
    area = where.pixel_area if where else 1.0

    def properties(shape: Shape) -> dict[str, str | float]:
        row = {"class": classes[shape.kind], "area": shape.pixels * area, "pixels": shape.pixels}
        return row | {_COLUMNS.get(name, f"mean_{name}"): mean for name, mean in shape.means.items()}

    if where is not None and kind == "gpkg":
        kinds = {"class": object, "area": float, "pixels": np.int64}
        kinds |= {_COLUMNS.get(name, f"mean_{name}"): float for name in measures}
        (path := folder / "polygons.gpkg").unlink(missing_ok=True)
        rest = iter(shapes)
        # If there are no shapes, the loop writes an empty layer.
        while (batch := list(itertools.islice(rest, _BATCH))) or not path.exists():
            rows = [properties(shape) for shape in batch]
            columns = {name: np.array([row[name] for row in rows], kind) for name, kind in kinds.items()}
            write_geopackage(path, [shape.rings for shape in batch], columns, where, append=path.exists())
        return path.name
    path = folder / "polygons.geojson"
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for i, shape in enumerate(shapes):
            rings = [(to_degrees(ring, where) if where else ring)[::-1].tolist() for ring in shape.rings]
            geometry = {"type": "Polygon", "coordinates": rings}
            feature = {"type": "Feature", "properties": properties(shape), "geometry": geometry}
            file.write((",\n" if i else "\n") + json.dumps(feature))
        file.write("\n]}\n")
    return path.name


_COLUMNS = {"mean": "mean_probability"}


def check_own(output: Path) -> None:
    """Raises `ValueError` if a directory holds files with names of results that no prediction wrote."""
    if others := _results(output)[1]:
        raise ValueError(
            f"{output} holds {', '.join(path.name for path in others)}, which no prediction wrote and this prediction "
            "would replace; choose another directory (--output), or move them away and call again"
        )


def replace_results(folder: Path, output: Path, names: Sequence[str]) -> dict[str, Path]:
    """Removes an earlier result and the files that a GIS wrote beside it, and publishes the new files of a folder."""
    check_own(output)
    old = _results(output)[0]
    note_published(output, [path.name for path in old] + list(names))
    for path in old:
        path.unlink()
    return publish(folder, output, names)


def _results(output: Path) -> tuple[list[Path], list[Path]]:
    """Returns all files with names of results, divided into those that a prediction wrote and others."""
    ours = published(output)
    files = [
        path
        for name in (*RASTERS, "polygons")
        for path in sorted(output.glob(f"{name}*"))
        if _NAMES.fullmatch(path.name.removeprefix(name))
    ]
    known = [path for path in files if path.name in ours or re.split(r"\.aux|-", path.name)[0] in ours]
    return known, [path for path in files if path not in known]


RASTERS = ("mean", "variance", "entropy", "mutual_information", "mask")
_NAMES = re.compile(r"\.tif|\.npy|(_\d+)?\.png(\.aux\.xml)?|\.geojson|\.gpkg(-wal|-shm|-journal)?|\.tif\.aux\.xml")


def publish(folder: Path, output: Path, names: Iterable[str]) -> dict[str, Path]:
    """Moves finished files to the output directory; returns the first file of each name without its suffix."""
    files: dict[str, Path] = {}
    for name in names:
        os.replace(folder / name, output / name)
        files.setdefault(Path(name).stem, output / name)
    return files
