"""What TIFFs tell beside their pixels: how many bands they have, and where they hold no data."""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

# TIFF 6.0, sections 8 and 18; GDAL's own, the value as text
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _NODATA = 258, 262, 277, 338, 42113
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1  # of _PHOTOMETRIC


def directories(stream) -> Iterator:
    """The tags of each image of a TIFF, one after another, each valid until the next; no pixel is read."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    stream.seek(0)
    start = stream.read(8)
    tags, seen = ImageFileDirectory_v2(start + (stream.read(8) if _BIG in start[2:4] else b"")), set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        yield tags


_BIG = 43  # the version number of TIFFs with 64-bit offsets


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
