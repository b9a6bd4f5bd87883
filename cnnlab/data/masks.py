"""Readers of mask files: values, palette indices or colours become one class index per pixel."""

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.eight_bits import strips
from cnnlab.files.opening import ImageError, check_scans, opened
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

CLASSES = "classes.csv"
IGNORED = "ignore"
MAX_BYTES = 5_000_000  # a row has some 20 bytes
_BYTE = 255
_MAX_LISTED = 8  # most values that a message lists


class ClassTable(NamedTuple):
    """The classes of masks, and the value or colour that stands for each.

    Attributes:
      names: names of the classes, in order.
      codes: class index of each code, -1 = ignored; a code is a value, or a colour as `65536 red + 256 green + blue`.
      coloured: whether the codes are colours.
    """

    names: tuple[str, ...]
    codes: dict[int, int]
    coloured: bool


def read_classes(path: Path) -> ClassTable:
    """Reads the table `classes.csv`: one row per class, `class,value` or `class,colour`, with colours like `#ff8000`.

    Rows with the same name share a class. Pixels of the class `ignore` get -1.

    Raises:
      ValueError: the header, a value or a colour does not fit, or a code occurs twice; the message names the line.
    """
    text = read_text(path, limit=MAX_BYTES, kind="table")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline="")) if any(row)]
    except csv.Error as error:
        raise ValueError(f"{path} is no table ({error}); write one row per class") from error
    header = tuple(rows[0]) if rows else ()
    if header not in (("class", "value"), ("class", "colour")):
        raise ValueError(f"{path} must begin with class,value or class,colour, found {shown(','.join(header))}")
    coloured, number, codes = header[1] == "colour", {}, {}
    for line, row in enumerate(rows[1:], 2):
        code = _code(row[1], coloured) if len(row) == 2 and row[0] else None
        if code is None or code in codes:
            expected = "a colour such as #ff8000" if coloured else "a whole number"
            raise ValueError(
                f"{path}, row {line}: must be a class and {expected}, none of them twice, found {shown(row)}"
            )
        codes[code] = -1 if row[0] == IGNORED else number.setdefault(row[0], len(number))
    if len(number) < 2:
        raise ValueError(f"{path} must name two classes or more, found {', '.join(number) or 'none'}")
    return ClassTable(tuple(number), codes, coloured)


def _code(text: str, coloured: bool) -> int | None:
    """Parses a value or a colour, or returns None if the text is neither."""
    try:
        return int(text.removeprefix("#"), 16) if coloured and len(text.removeprefix("#")) == 6 else int(text)
    except ValueError:
        return None


def read_codes(path: str | Path, table: ClassTable | None = None) -> np.ndarray:
    """Returns the codes of a mask file, upright, `[H, W]`; uint8 if its pixels are, otherwise int32.

    Codes are the stored values of grey, indices of a palette, or colours if the table is one of colours. White of one
    bit is 255, as every viewer shows it, so that such a file agrees with one of 0 and 255; it is 1 only for a table
    that knows 1 and no 255.

    Args:
      path: the mask file.
      table: what codes mean, from `classes.csv`; None without that file.

    Raises:
      ValueError: the file cannot be read, or holds colours where the table has values; the file is named.
    """
    white = 1 if table is not None and 1 in table.codes and _BYTE not in table.codes else _BYTE
    return _codes(path, table is not None and table.coloured, white)


def read_colours(path: str | Path) -> np.ndarray:
    """Returns the colours of a file, upright, `[H, W]` int32, each as `65536 red + 256 green + blue`."""
    return _codes(path, True, _BYTE)


def _codes(path: str | Path, coloured: bool, white: int) -> np.ndarray:
    from PIL import ImageOps

    with opened(path, str(path)) as image:
        check_scans(image, str(path))
        bits, inverted = _grey(image)
        ImageOps.exif_transpose(image, in_place=True)  # as images are turned
        if coloured:
            codes = np.empty((image.height, image.width), np.int32)
            for rows, strip in strips(image):
                red, green, blue = np.moveaxis(np.asarray(strip.convert("RGB"), np.int32), -1, 0)
                codes[rows] = 65536 * red + 256 * green + blue
            return codes
        if image.mode == "1":
            return np.where(np.asarray(image), np.uint8(white), np.uint8(0))
        if image.mode == "L" and bits < 8:  # Pillow scales to 0..255, and inverts where 0 is white
            largest = 2**bits - 1
            values = np.asarray(image) // (_BYTE // largest)
            return largest - values if inverted else values
        if image.mode in ("L", "P"):
            return np.asarray(image).astype(np.uint8)
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.int32)
        raise ImageError(
            f"{path} is a mask in the mode {image.mode}, which holds colours; say what they mean in {CLASSES}: "
            "class,colour"
        )


def _grey(image) -> tuple[int, bool]:
    """The stored bits of a grey value (8 where Pillow does not scale it), and whether 0 is white."""
    forms = [tile.args if isinstance(tile.args, str) else str(tile.args) for tile in image.tile]
    bits = next((n for n in (2, 4) for form in forms if f"L;{n}" in form), 8)
    return bits, any(f"L;{bits}I" in form for form in forms)


def guess_classes(values_by_file: Mapping[str, Collection[int]], names: tuple[str, ...] = ()) -> ClassTable:
    """Guesses the table of masks without `classes.csv` from the values that occur in each file.

    If only 0 and 255 occur, they mean no and yes, unless there are names for more or fewer than two classes. Otherwise
    255 is ignored, and 0, 1, ... are the classes.

    Raises:
      ValueError: there are no names, and the values have a gap or come from a JPEG, whose compression creates values of
        its own; the message names the file.

    >>> guess_classes({"a.png": {0, 255}}).codes, guess_classes({"a.png": {0, 255}, "b.png": {1, 2}}).codes
    ({0: 0, 255: 1}, {0: 0, 1: 1, 2: 2, 255: -1})
    """
    values = set().union(*values_by_file.values())
    _check_convention(values_by_file)
    if values <= {0, _BYTE} and len(names) in (0, 2):
        return ClassTable(names or ("background", "foreground"), {0: 0, _BYTE: 1}, False)
    k = len(names) or min(set(range(len(values) + 1)) - values)
    for name, file_values in values_by_file.items() if not names else ():
        odd = sorted(set(file_values) - {*range(k), _BYTE})
        if odd or k > _BYTE or (_is_jpeg(name) and not set(file_values) <= {0, _BYTE}):
            raise ValueError(
                f"{name} is a mask with the values {_listed(file_values)}: without names, classes are 0 and 255, or 0, "
                "1, 2, ... without a gap. Smoothing and JPEG make up values between: save masks as PNG; or write "
                f"{CLASSES} (class,value); or name the classes of 0, 1, 2, ... by --data.classes"
            )
    return ClassTable(names or tuple(map(str, range(k))), {i: i for i in range(k)} | {_BYTE: -1}, False)


def _check_convention(codes: Mapping[str, Collection[int]]) -> None:
    """Raises `ValueError` for masks of which some write yes as 1 and others as 255, so that 255 has two meanings."""
    if not set().union(*codes.values()) <= {0, 1, _BYTE} or any({1, _BYTE} <= set(own) for own in codes.values()):
        return
    ones, bytes_ = ([name for name, own in codes.items() if value in own] for value in (1, _BYTE))
    if ones and bytes_:
        raise ValueError(
            f"{ones[0]} is a mask of 0 and 1, {bytes_[0]} one of 0 and 255: is 255 the same class as 1, or ignored? "
            f"Save all masks alike, or say what the values mean in {CLASSES} (class,value)"
        )


def _is_jpeg(name: str) -> bool:
    return Path(name).suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif")


def _listed(values: Collection[int]) -> str:
    """Joins the smallest values for a message."""
    first = ", ".join(map(str, sorted(values)[:_MAX_LISTED]))
    return first + (f" and {len(values) - _MAX_LISTED} more" if len(values) > _MAX_LISTED else "")


def to_classes(codes: np.ndarray, table: ClassTable, name: str) -> np.ndarray:
    """Converts codes `[H, W]` to class indices int32, -1 = ignored.

    Raises:
      ValueError: a code belongs to no class; the message names the code, its number of pixels and the file.

    >>> to_classes(np.array([[0, 255]]), guess_classes({"one.png": {0, 255}}), "one.png").tolist()
    [[0, 1]]
    """
    for code in distinct(codes):
        if code not in table.codes:
            pixels = int((codes == code).sum())
            shown = f"#{code:06x}" if table.coloured else code
            known = ", ".join(f"#{other:06x}" if table.coloured else str(other) for other in sorted(table.codes))
            raise ValueError(
                f"{name} has {pixels:,} pixels of {shown}, which is no class; known are {known}: add it to {CLASSES} "
                f"(as {IGNORED}, to leave it out) or repair the mask"
            )
    classes = np.empty(codes.shape, np.int32)
    for code in distinct(codes):
        classes[codes == code] = table.codes[code]
    return classes


def distinct(codes: np.ndarray) -> list[int]:
    """Returns the distinct values in order; small values are counted, because sorting those of a whole sheet is slow.

    >>> distinct(np.array([[3, 0], [3, 3]]))
    [0, 3]
    """
    small = codes.size and 0 <= codes.min() <= codes.max() < 65536
    return (np.flatnonzero(np.bincount(codes.ravel())) if small else np.unique(codes)).tolist()
