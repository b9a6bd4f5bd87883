"""What TIFFs tell beside their pixels: how many bands they have, and where they hold no data."""

import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.data.images import directories, opened

# TIFF 6.0, sections 8 and 18; GDAL's own, the value as text
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _NODATA = 258, 262, 277, 338, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO = 0, 1  # of _PHOTOMETRIC


class Bands(NamedTuple):
    """Of a TIFF.

    Attributes:
      count: of the bands, alpha left out.
      nodata: the value of pixels without data, as stored, if it tells.
      alpha: whether there is such a band beside them; its pixels of 0 are without data.
      bits: of a value.
      photometric: what values mean.
    """

    count: int
    nodata: float | None
    alpha: bool
    bits: int
    photometric: int | None


def read_bands(path: Path) -> Bands | None:
    """What the header of a TIFF tells; None of other files, and of what is too damaged to tell."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    try:
        with open(path, "rb") as file:
            if (tags := next(directories(file), None)) is None:
                return None
            alpha = any(kind in (1, 2) for kind in tags.get(_EXTRA, ()))
            nodata = float(tags[_NODATA]) if _NODATA in tags else None
            bits = int(np.max(tags.get(_BITS, 1)))
            return Bands(tags.get(_SAMPLES, 1) - alpha, nodata, alpha, bits, tags.get(_PHOTOMETRIC))
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

    Raises:
      ValueError: colours of 16 bits have a nodata value, which cannot be told once they are cut to 8.
    """
    from PIL import ImageOps

    bands = read_bands(path)
    if bands is None or (bands.nodata is None and not bands.alpha):
        return None
    if bands.nodata is not None and bands.bits > 8 and bands.count > 1:
        raise ValueError(
            f"{path} holds colours of {bands.bits} bits, where pixels without data ({bands.nodata:g}) cannot be told; "
            "save it with 8 bits and an alpha band"
        )
    with opened(path, str(path)) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image))
    values = pixels[..., None] if pixels.ndim == 2 else pixels
    known = (values[..., : bands.count] != _decoded(bands)).any(-1) if bands.nodata is not None else True
    return known & (values[..., -1] > 0) if bands.alpha else known


def _decoded(bands: Bands) -> float:
    """The nodata value as Pillow decodes it: grey of less than 8 bits scaled up, but for one, white as the largest."""
    if bands.bits > 8 or bands.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        return bands.nodata
    largest = 2**bands.bits - 1
    value = largest - bands.nodata if bands.photometric == _WHITE_IS_ZERO else bands.nodata
    return value if bands.bits in (1, 8) else value * 255 / largest
