"""What TIFFs tell beside their pixels: how many bands they have, and where they hold no data."""

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.data.images import directories, opened

_SAMPLES, _EXTRA, _NODATA = 277, 338, 42113  # TIFF 6.0, sections 8 and 18; GDAL's own, the value as text


class Bands(NamedTuple):
    """Of a TIFF.

    Attributes:
      count: of the bands, alpha left out.
      nodata: the value of pixels without data, if it tells.
      alpha: whether there is such a band beside them; its pixels of 0 are without data.
    """

    count: int
    nodata: float | None
    alpha: bool


def read_bands(path: Path) -> Bands | None:
    """What the header of a TIFF tells; None of other files, and of what is too damaged to tell."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with open(path, "rb") as file:
            if (tags := next(directories(file), None)) is None:
                return None
            alpha = any(kind in (1, 2) for kind in tags.get(_EXTRA, ()))
            return Bands(tags.get(_SAMPLES, 1) - alpha, float(tags[_NODATA]) if _NODATA in tags else None, alpha)
    except (OSError, SyntaxError, ValueError, struct.error):
        return None


def check_bands(files: Sequence[Path]) -> None:
    """Raises `ValueError` unless the TIFFs among the files have the same number of bands, 1 or 3 beside alpha."""
    counts = {file: found.count for file in files if (found := read_bands(file)) is not None}
    if not counts:
        return
    [(usual, number)] = Counter(counts.values()).most_common(1)
    for file, count in counts.items():
        cure = f"keep those that are wanted, such as: gdal_translate -b 1 -b 2 -b 3 {file.name} OTHER.tif"
        if count != usual:
            raise ValueError(f"{file} has {count} bands, {number} of {len(counts)} TIFFs have {usual}; {cure}")
        if count not in (1, 3):
            raise ValueError(f"{file} has {count} bands, an image has 1 or 3; {cure}")


def known_pixels(path: Path) -> np.ndarray | None:
    """Where a TIFF holds data, `[H, W]` upright: some band has another value than its nodata, and alpha is not 0.

    None where it does everywhere, as files of other kinds do. A mask kept as a second image in the file is not read.
    """
    from PIL import ImageOps

    bands = read_bands(path)
    if bands is None or (bands.nodata is None and not bands.alpha):
        return None
    with opened(path, str(path)) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image))
    values = pixels[..., None] if pixels.ndim == 2 else pixels
    known = (values[..., : bands.count] != bands.nodata).any(-1) if bands.nodata is not None else True
    return known & (values[..., -1] > 0) if bands.alpha else known
