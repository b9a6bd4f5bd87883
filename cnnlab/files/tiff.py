"""What TIFF headers say: the bands, where pixels hold no data, and how many images a file has. No pixel is read.

Source: TIFF Revision 6.0, sections 2, 8 and 18; the tag of nodata is GDAL's.
"""

import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

KIND, WIDTH, HEIGHT = 254, 256, 257
BITS, PHOTOMETRIC, SAMPLES, EXTRA, NODATA = 258, 262, 277, 338, 42113
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1  # values of PHOTOMETRIC
MAX_DIRECTORIES = 1000  # of one file, that are looked at
MAX_TAGS = 4096  # of one directory
_READ = {KIND, WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLES, EXTRA, NODATA}
_MAX_VALUE = 1024  # bytes of a value that is read
_BIG = 43  # the version number of TIFFs with 64-bit offsets
_ASCII = 2
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "2I", 6: "b", 7: "s", 8: "h", 9: "i", 10: "2i", 11: "f", 12: "d", 13: "I"}
_TYPES |= {16: "Q", 17: "q", 18: "Q"}


class TiffError(ValueError):
    """A TIFF whose directories claim more than the file can hold."""


def directories(stream) -> Iterator[dict[int, Any]]:
    """Yields the tags of each image of a TIFF by number: a number, a tuple of numbers, or text.

    Only the tags of this module are read. A chain of directories that closes in a circle ends, as does one that is
    longer than `MAX_DIRECTORIES`.

    Raises:
      TiffError: a directory claims more tags or bytes than the file can hold.
      struct.error: the file is cut off.
    """
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    order, version = struct.unpack("2sH", stream.read(4))
    end = {b"II": "<", b"MM": ">"}.get(order)
    if end is None:
        return
    (version,) = struct.unpack(f"{end}H", struct.pack("H", version))
    layout = _Layout(end, "Q", "Q", 8) if version == _BIG else _Layout(end, "H", "I", 4)
    stream.seek(8 if version == _BIG else 4)
    (offset,) = _unpack(stream, end + layout.offset)
    visited = set()
    while offset and offset not in visited and len(visited) < MAX_DIRECTORIES:
        visited.add(offset)
        tags, offset = _directory(stream, offset, layout, length)
        yield tags


class _Layout(NamedTuple):
    """The byte order, the formats of a directory's count of tags and of offsets, and the bytes of a value inside it."""

    end: str
    count: str
    offset: str
    inside: int


def _directory(stream, offset: int, layout: _Layout, length: int) -> tuple[dict[int, Any], int]:
    """Reads the tags of the directory at an offset, and the offset of the next one."""
    end, count, kind, inside = layout
    stream.seek(offset)
    (number,) = _unpack(stream, end + count)
    if number > MAX_TAGS:
        raise TiffError(f"a TIFF directory has {number:,} tags, more than {MAX_TAGS:,}")
    entry = f"{end}HH{kind}{inside}s"
    size = struct.calcsize(entry)
    entries = list(struct.iter_unpack(entry, _exactly(stream, number * size)))
    (following,) = _unpack(stream, end + kind)
    sizes = [struct.calcsize(end + _TYPES.get(form, "B")) * n for _, form, n, _ in entries]
    if sum(sizes) > 2 * length + _MAX_VALUE:
        raise TiffError(f"a TIFF directory claims {sum(sizes):,} bytes of values in a file of {length:,}")
    tags = {}
    for (tag, form, n, value), total in zip(entries, sizes, strict=True):
        if tag in _READ and form in _TYPES and 0 < total <= _MAX_VALUE:
            if total > inside:
                stream.seek(struct.unpack(end + kind, value)[0])
                value = _exactly(stream, total)
            tags[tag] = _value(value[:total], form, n, end)
    return tags, following


def _value(data: bytes, form: int, n: int, end: str) -> Any:
    if form == _ASCII:
        return data.split(b"\0", 1)[0].decode("latin-1")
    numbers = struct.unpack(f"{end}{_TYPES[form][-1] * (n * len(_TYPES[form]) if form in (5, 10) else n)}", data)
    return numbers[0] if len(numbers) == 1 else numbers


def _unpack(stream, form: str) -> tuple:
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _exactly(stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise struct.error("the file is cut off")
    return data


class Bands(NamedTuple):
    """The bands of a TIFF.

    Attributes:
      count: the number of bands without alpha.
      nodata: the stored value of pixels without data; None if the file names none.
      alpha: whether the last band is alpha; where it is 0, there are no data.
      bits: the number of bits of a value.
      photometric: the meaning of values, such as `WHITE_IS_ZERO`.
    """

    count: int
    nodata: float | None
    alpha: bool
    bits: int
    photometric: int | None


def read_bands(path: Path) -> Bands | None:
    """Returns what the header of a TIFF, whatever it is called, says of its bands; None for other files and for
    damaged headers."""
    try:
        with open(path, "rb") as file:
            if (tags := next(directories(file), None)) is None:
                return None
            alpha = any(kind in (1, 2) for kind in np.atleast_1d(tags.get(EXTRA, 0)).tolist())
            nodata = float(tags[NODATA]) if NODATA in tags else None
            bits = int(np.max(tags.get(BITS, 1)))
            return Bands(int(tags.get(SAMPLES, 1)) - alpha, nodata, alpha, bits, tags.get(PHOTOMETRIC))
    except (OSError, SyntaxError, TypeError, ValueError, struct.error):
        return None


def check_bands(files: Sequence[Path]) -> None:
    """Raises `ValueError` unless the TIFFs among the files have the same number of bands, 1 or 3 beside alpha."""
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
