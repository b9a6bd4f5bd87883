"""Tags of TIFF files: number of bands, bits, alpha band and nodata value."""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

# Tags of TIFF 6.0, sections 8 and 18, and GDAL's tag of the nodata value, which is text.
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _NODATA = 258, 262, 277, 338, 42113
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1  # values of _PHOTOMETRIC


def directories(stream) -> Iterator:
    """Yields the tags of each image in a TIFF without reading pixels; tags are valid until the next ones."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    stream.seek(0)
    start = stream.read(8)
    tags, offsets = ImageFileDirectory_v2(start + (stream.read(8) if _BIG in start[2:4] else b"")), set()
    while tags.next and tags.next not in offsets:
        offsets.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        yield tags


_BIG = 43  # version number of TIFFs with 64-bit offsets


class Bands(NamedTuple):
    """The bands of a TIFF.

    Attributes:
      count: number of bands without alpha.
      nodata: stored value of pixels without data; None if the file has none.
      alpha: whether there is an alpha band; where it is 0, a pixel has no data.
      bits: bits of a value.
      photometric: photometric interpretation, the meaning of values.
    """

    count: int
    nodata: float | None
    alpha: bool
    bits: int
    photometric: int | None


def read_bands(path: Path) -> Bands | None:
    """Reads the bands from the header of a TIFF; None if the file has another format or its header is damaged."""
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
    """Raises `ValueError` unless all TIFFs among the files have the same number of bands, 1 or 3 without alpha."""
    counts = {file: bands.count for file in files if (bands := read_bands(file)) is not None}
    if not counts:
        return
    [(usual, number)] = Counter(counts.values()).most_common(1)
    for file, count in counts.items():
        cure = f"keep the bands that you need, such as: gdal_translate -b 1 -b 2 -b 3 {file.name} OTHER.tif"
        if count != usual:
            raise ValueError(f"{file} has {count} bands, {number} of {len(counts)} TIFFs have {usual}; {cure}")
        if count not in (1, 3):
            raise ValueError(f"{file} has {count} bands, an image has 1 or 3; {cure}")
