"""Mask files as classes a pixel: index, palette or RGB-coded, with or without a table of classes."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.images import ImageError, opened

CLASSES = "classes.csv"
IGNORED = "ignore"
_BYTE = 255
_SHOWN = 8  # values in a message


class ClassTable(NamedTuple):
    """What the values or colours of masks mean.

    Attributes:
      names: of the classes, in order.
      codes: a value, or a colour as `65536 red + 256 green + blue`, by code the class's index, -1 = ignored.
      coloured: whether the codes are colours.
    """

    names: tuple[str, ...]
    codes: dict[int, int]
    coloured: bool


def read_classes(path: Path) -> ClassTable:
    """The table `classes.csv`: a row a class, `class,value` or `class,colour`, colours as `#ff8000`.

    Rows of one name share a class; the class `ignore` is none: its pixels carry -1.

    Raises:
      ValueError: the header, a value or a colour does not fit, or one is given twice; the line is named.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no table in UTF-8 ({error}); save it as UTF-8, a row a class") from error
    header = tuple(rows[0]) if rows else ()
    if header not in (("class", "value"), ("class", "colour")):
        raise ValueError(f"{path} must begin with class,value or class,colour, found {','.join(header)!r}")
    coloured, names, codes = header[1] == "colour", [], {}
    for line, row in enumerate(rows[1:], 2):
        code = _code(row[1], coloured) if len(row) == 2 and row[0] else None
        if code is None or code in codes:
            wanted = "a colour such as #ff8000" if coloured else "a whole number"
            raise ValueError(f"{path}, row {line}: must be a class and {wanted}, none of them twice, found {row}")
        if row[0] != IGNORED and row[0] not in names:
            names.append(row[0])
        codes[code] = -1 if row[0] == IGNORED else names.index(row[0])
    if len(names) < 2:
        raise ValueError(f"{path} must name two classes or more, found {', '.join(names) or 'none'}")
    return ClassTable(tuple(names), codes, coloured)


def _code(text: str, coloured: bool) -> int | None:
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
    return _codes(
        path, table is not None and table.coloured, 1 if table and 1 in table.codes and 255 not in table.codes else 255
    )


def read_colours(path: str | Path) -> np.ndarray:
    """Returns the colours of a file, upright, `[H, W]` int32, each as `65536 red + 256 green + blue`."""
    return _codes(path, True, _BYTE)


def _codes(path: str | Path, coloured: bool, white: int) -> np.ndarray:
    from PIL import ImageOps

    with opened(path, str(path)) as file:
        bits, inverted = _grey(file)
        image = ImageOps.exif_transpose(file)  # as images are
        if coloured:
            red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int32), -1, 0)
            return 65536 * red + 256 * green + blue
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8) * np.uint8(white)
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


def guess_classes(found: Mapping[str, Collection[int]], names: tuple[str, ...] = ()) -> ClassTable:
    """The table of masks that come without one, from the values that occur in each file.

    0 and 255 alone are no and yes, unless there are other than two names; otherwise 255 is ignored and 0, 1, ... are
    the classes.

    Raises:
      ValueError: without names, there is a gap between the values, or they come from a JPEG, which makes up values of
        its own; the file is named.

    >>> guess_classes({"a.png": {0, 255}}).codes, guess_classes({"a.png": {0, 255}, "b.png": {1, 2}}).codes
    ({0: 0, 255: 1}, {0: 0, 1: 1, 2: 2, 255: -1})
    """
    values = set().union(*found.values())
    _check_convention(found)
    if values <= {0, _BYTE} and len(names) in (0, 2):
        return ClassTable(names or ("background", "foreground"), {0: 0, _BYTE: 1}, False)
    k = len(names) or min(set(range(len(values) + 1)) - values)
    for name, own in found.items() if not names else ():
        odd = sorted(set(own) - {*range(k), _BYTE})
        if odd or k > _BYTE or (_is_jpeg(name) and not set(own) <= {0, _BYTE}):
            raise ValueError(
                f"{name} is a mask with the values {_listed(own)}: without names, classes are 0 and 255, or 0, 1, 2, "
                "... without a gap. Smoothing and JPEG make up values between: save masks as PNG; or write "
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
    return Path(name).suffix.lower() in (".jpg", ".jpeg")


def _listed(values: Collection[int]) -> str:
    first = ", ".join(map(str, sorted(values)[:_SHOWN]))
    return first + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")


def to_classes(codes: np.ndarray, table: ClassTable, name: str) -> np.ndarray:
    """Codes `[H, W]` as classes int32, -1 = ignored.

    Raises:
      ValueError: a code is of no class; it is named with its number of pixels and the file.

    >>> to_classes(np.array([[0, 255]]), guess_classes({"one.png": {0, 255}}), "one.png").tolist()
    [[0, 1]]
    """
    for code in distinct(codes):
        if code not in table.codes:
            pixels = int((codes == code).sum())
            shown = f"#{code:06x}" if table.coloured else code
            known = ", ".join(f"#{one:06x}" if table.coloured else str(one) for one in sorted(table.codes))
            raise ValueError(
                f"{name} has {pixels:,} pixels of {shown}, which is no class; known are {known}: add it to {CLASSES} "
                f"(as {IGNORED}, if it is to be left out) or mend the mask"
            )
    classes = np.empty(codes.shape, np.int32)
    for code in distinct(codes):
        classes[codes == code] = table.codes[code]
    return classes


def distinct(codes: np.ndarray) -> list[int]:
    """The values that occur, in order; small ones are counted: to sort those of a sheet takes seconds.

    >>> distinct(np.array([[3, 0], [3, 3]]))
    [0, 3]
    """
    small = codes.size and 0 <= codes.min() <= codes.max() < 65536
    return (np.flatnonzero(np.bincount(codes.ravel())) if small else np.unique(codes)).tolist()
