"""Datasets from one large annotated sheet that is cut into windows."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations.drawing import mask_classes
from cnnlab.data.dataset import Dataset
from cnnlab.data.masks import CLASSES, ClassTable, distinct, guess_classes, read_classes, read_codes, read_colours
from cnnlab.data.sources.annotated import annotated_image, check_known, check_windows, map_columns, windowed_dataset
from cnnlab.files import vectors
from cnnlab.files.opening import SHEET_PIXELS, pixel_limit
from cnnlab.files.tiff import check_bands


def sheet(
    path: str,
    mask: str,
    *,
    content: str | None = None,
    column: str | None = None,
    all_touched: bool = False,
    classes: tuple[str, ...] = (),
    window: int = 256,
    crops: int = 1000,
    axis: Literal["columns", "rows"] = "columns",
    validation: tuple[int, int],
    test: tuple[int, int],
    channels: Literal[1, 3] = 3,
    border_weight: float = 0.0,
    seed: int = 0,
) -> Dataset:
    """Cuts one annotated sheet into windows: two strips are validation and test, the part before them is training.

    The sheet may have 500 megapixels, which take 20 bytes each while it is read. Cut a larger one into pieces, for
    `pairs` with a `window`. Where the image is a TIFF without data, pixels are ignored, as in `pairs`.

    Args:
      path: path of the image.
      mask: path of its mask, which has the same size. Its values are read as in `pairs`, with `classes.csv` beside it.
        Or, for a georeferenced sheet, a GeoJSON or GeoPackage file of polygons, such as one drawn in QGIS: they are
        drawn on the sheet, the largest first, after a conversion of their coordinates if need be (extra `geo`).
      content: path of an image that is black where pixels are ignored, such as beyond the frame of a map.
      column: attribute of the polygons that holds the class; `ignore` is ignored. Without it all are one class.
      all_touched: whether a pixel counts that a polygon only touches; otherwise its centre must lie inside.
      classes: names of the classes, if there is no `classes.csv`.
      window: side of the square windows in pixels.
      crops: number of windows per epoch that training draws; each epoch draws others.
      axis: whether the strips are columns or rows.
      validation: first and last (excluded) column or row of the validation strip.
      test: first and last (excluded) column or row of the test strip.
      channels: 1 for grey, 3 for RGB.
      border_weight: as in `pairs`.
      seed: seed of the crops.

    Raises:
      ValueError: sizes differ, strips overlap or leave the sheet, a window does not fit in a strip, or a TIFF has bands
        other than 1 or 3.
    """
    check_windows(window, crops)
    check_bands([Path(path)])
    with pixel_limit(SHEET_PIXELS):
        pixels, marks, table = _read_sheet(Path(path), Path(mask), content, classes, channels, column, all_touched)
    height, width = marks.shape
    end = width if axis == "columns" else height
    strips = {"train": (0, min(validation[0], test[0])), "validation": validation, "test": test}
    low, high = sorted((tuple(validation), tuple(test)))
    if not 0 < low[0] < low[1] <= high[0] < high[1] <= end:
        raise ValueError(
            f"validation and test must be strips of the {end} {axis} that leave some before them for training and do "
            f"not overlap, found {tuple(validation)} and {tuple(test)}"
        )
    regions = {
        split: [(0, a, height, b) if axis == "columns" else (a, 0, b, width)] for split, (a, b) in strips.items()
    }
    check_known({split: [marks[a:c, b:d]] for split, [(a, b, c, d)] in regions.items()}, mask)
    part = map_columns([pixels], [marks], border_weight)
    return windowed_dataset(Path(path).stem, dict.fromkeys(strips, part), regions, table.names, window, crops, seed)


def _read_sheet(
    path: Path,
    mask: Path,
    content: str | None,
    names: tuple[str, ...],
    channels: int,
    column: str | None,
    all_touched: bool,
):
    """Reads a sheet's pixels, its mask (-1 beyond its content) and its table of classes."""
    if mask.suffix.lower() in vectors.SUFFIXES:
        codes, table = _polygons(path, mask, column, all_touched)
    else:
        explained = mask.with_name(CLASSES)
        table = read_classes(explained) if explained.is_file() else None
        codes = read_codes(mask, table)
        table = table or guess_classes({str(mask): distinct(codes)}, names)
    pixels, marks = annotated_image(path, mask, codes, table, "auto", channels)
    if content is not None:
        inside = read_colours(content)  # not 0 where a pixel is not black
        if inside.shape != marks.shape:
            raise ValueError(f"{content} has {inside.shape} pixels, {mask} has {marks.shape}; they must be of one size")
        marks = np.where(inside > 0, marks, -1).astype(np.int32)
    return pixels, marks, table


def _polygons(path: Path, file: Path, column: str | None, all_touched: bool) -> tuple[np.ndarray, ClassTable]:
    """Returns the codes of a sheet's pixels by the polygons of a file, and what they mean."""
    drawn = vectors.draw_polygons(file, path, column=column, all_touched=all_touched)
    if drawn.notes:
        warnings.warn(f"{file}: {'; '.join(drawn.notes)}, left out", stacklevel=2)
    names = mask_classes(drawn.names)
    number = {name: k for k, name in enumerate(names)}
    codes = {0: 0} | {code: number.get(name, -1) for code, name in enumerate(drawn.names, 1)}
    return drawn.codes, ClassTable(names, codes, False)
