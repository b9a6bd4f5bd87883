"""The files that the prediction of a sheet or of a photo gives: maps and polygons."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.errors import unknown
from cnnlab.files.atomic import lock
from cnnlab.geometry.polygons import polygons
from cnnlab.geometry.simplify import check_tolerance, require_shapely, simplified
from cnnlab.ops.arithmetic import at_least
from cnnlab.sheets.georeference import Georeference, to_degrees
from cnnlab.sheets.maps import prediction_maps
from cnnlab.sheets.options import SheetOptions, Vectors
from cnnlab.sheets.rasters import placed
from cnnlab.sheets.results import check_own, publish, replace_results, write_polygons, write_rasters
from cnnlab.sheets.scratch import note_published, published
from cnnlab.sheets.watershed import basin_classes, check_watershed
from cnnlab.tasks import Prediction

LeftOut = Callable[[int], None]
"""Callback that gets the number of shapes that are too small for a polygon."""


def polygon_options(
    settings: SheetOptions, classes: Sequence[str], size: tuple[int, int], where: Georeference | None
) -> dict[str, Any]:
    """Checks the options of polygons, and returns them as `write_products` takes them.

    Args:
      settings: options of the call.
      classes: names of the classes.
      size: height and width in pixels.
      where: georeference of the maps.

    Raises:
      ValueError: an option is out of range, or needs an extra that is not installed.
    """
    at_least("smallest", settings.smallest, 1)
    if settings.vectors not in get_args(Vectors):
        raise ValueError(f"vectors must be 'gpkg', 'geojson' or 'none', found {settings.vectors!r}")
    if not 2 <= len(classes) < 255:
        raise ValueError(f"maps need a network of 2 to 254 classes, found {len(classes)}: {classes[:5]}")
    check_tolerance(settings.simplify)
    if settings.simplify:
        require_shapely()
    background = _background_index(settings.background, classes)
    if settings.watershed is not None:
        check_watershed(settings.watershed, settings.background, classes, size)
    if settings.vectors == "geojson" and where is not None:
        # An error is better raised now than after all windows.
        to_degrees(np.array([size[::-1]]) / 2, where)
    same = ("smallest", "simplify", "vectors", "watershed")
    return {"background": background} | {name: getattr(settings, name) for name in same}


def _background_index(background: str, classes: Sequence[str]) -> int | None:
    if background in classes:
        return list(classes).index(background)
    if background not in ("first", "none"):
        raise unknown("class as background", background, classes, "Or 'first', or 'none' for polygons of all.")
    return 0 if background == "first" else None


def small_shapes(number: int, smallest: int) -> str:
    """Says how many shapes got no polygon because they are too small.

    >>> small_shapes(1200, 10)
    '1,200 shapes of fewer than 10 pixels got no polygon; smallest 1 (--smallest 1) keeps all'
    """
    many = "1 shape" if number == 1 else f"{number:,} shapes"
    return f"{many} of fewer than {smallest} pixels got no polygon; smallest 1 (--smallest 1) keeps all"


def write_products(
    folder: Path,
    output: Path,
    maps: Mapping[str, Any],
    where: Georeference | None,
    classes: Sequence[str],
    options: Mapping[str, Any],
    left_out: LeftOut,
) -> dict[str, Path]:
    """Writes the maps and then the polygons, in place of those of an earlier prediction.

    Maps are published before the polygons, which take long if there are many borders.

    Args:
      folder: existing empty folder on the disk of `output`.
      output: directory of the results.
      maps: maps `[bands, H, W]` by name, possibly on disk.
      where: georeference of the maps.
      classes: names of the classes.
      options: result of `polygon_options`.
      left_out: callback that gets the number of shapes that are too small.

    Returns:
      The files by name.
    """
    files = replace_results(folder, output, write_rasters(folder, maps, where, classes))
    if options["vectors"] == "none":
        return files
    measures = {name: map for name, map in maps.items() if name != "mask"}
    same = {name: options[name] for name in ("smallest", "background")}
    mask = maps["mask"][0]
    if (level := options["watershed"]) is not None:
        mask = basin_classes(maps["mean"], level=level, **same)
    small: list[int] = []
    shapes = polygons(mask, measures, **same, left_out=small.append)
    if options["simplify"]:
        shapes = simplified(shapes, options["simplify"])
    file = write_polygons(folder, shapes, where, classes, options["vectors"], measures)
    left_out(sum(small))
    note_published(output, [*published(output), file])
    return files | publish(folder, output, [file])


def write_photo(
    prediction: Prediction,
    path: Path,
    size: tuple[int, int],
    output: Path,
    spec: InputSpec,
    settings: SheetOptions,
    left_out: LeftOut,
) -> dict[str, Path]:
    """Writes the maps and polygons of a photo that was predicted in one piece, as `predict_sheet` writes a sheet's.

    Args:
      prediction: prediction of the photo with `probs` `[h, w, k]`, without a batch axis.
      path: path of the photo. If it is georeferenced, so are the files.
      size: height and width of the photo in pixels, to which the maps are enlarged by repeating pixels.
      output: output directory.
      spec: input specification of the network.
      settings: options of the polygons.
      left_out: callback that gets the number of shapes that are too small for a polygon.

    Returns:
      The files by name.

    Raises:
      ValueError: an option is out of range, or a file cannot be written.
    """
    where = placed(path)
    options = polygon_options(settings, spec.classes, size, where)
    output.mkdir(parents=True, exist_ok=True)
    try:
        with (
            lock(output, f"another process predicts into {output}; wait for it or choose another directory"),
            tempfile.TemporaryDirectory(prefix=".", dir=output) as folder,
        ):
            check_own(output)
            maps = prediction_maps(prediction, size)
            return write_products(Path(folder), output, maps, where, spec.classes, options, left_out)
    except (OSError, RuntimeError) as error:  # pyogrio raises RuntimeErrors
        raise ValueError(f"cannot write the maps of {path} into {output} ({error}); make room there") from error
