"""Checked access to the values of annotation files, whose content is not trusted."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from cnnlab.files.strict_json import shown

LARGEST = 1e9  # of a coordinate in pixels
_DIGITS = re.compile(r"-?[0-9]{1,18}")


class Value(NamedTuple):
    """What a value may be: a test, and its description in messages."""

    accepts: Callable[[Any], bool]
    description: str


def is_number(value: Any, limit: float = LARGEST) -> bool:
    """Returns whether a value is a finite number of at most this size."""
    return type(value) in (int, float) and -limit <= value <= limit


ID = Value(
    lambda value: (
        (type(value) is int and abs(value) < 2**63) or (isinstance(value, str) and 0 < len(value.strip()) <= 200)
    ),
    "a whole number or text",
)
TEXT = Value(lambda value: isinstance(value, str) and bool(value.strip()), "text that is not empty")
FLAG = Value(lambda value: value is None or (isinstance(value, bool | int) and value in (0, 1)), "0 or 1")
AREA = Value(
    lambda value: value is None or (is_number(value, LARGEST**2) and value >= 0),
    f"a number from 0 to {LARGEST**2:.0e}",
)
NUMBER = Value(is_number, f"a finite number, at most {LARGEST:,.0f}")
POINTS = Value(
    lambda value: (
        isinstance(value, list)
        and all(isinstance(point, list) and len(point) == 2 and all(map(is_number, point)) for point in value)
    ),
    f"a list of points, each of 2 finite numbers, at most {LARGEST:,.0f}",
)
OBJECT = Value(lambda value: isinstance(value, dict), "an object")
LIST = Value(lambda value: isinstance(value, list), "a list")
BOX = Value(
    lambda value: isinstance(value, list) and len(value) == 4 and all(map(is_number, value)),
    f"4 finite numbers x, y, width, height, at most {LARGEST:,.0f}",
)
_REQUIRED = object()


def field(entry: Any, key: str, where: str, kind: Value, default: Any = _REQUIRED) -> Any:
    """Returns the value of a key, or the default.

    Raises:
      ValueError: the entry is no object, lacks the key, or has a value of another kind.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, found {shown(entry)}")
    if key not in entry and default is not _REQUIRED:
        return default
    if key not in entry:
        raise ValueError(f"{where} has no {key!r}; it must be {kind.description}")
    if not kind.accepts(entry[key]):
        raise ValueError(f"{where}.{key} must be {kind.description}, found {shown(entry[key])}")
    return entry[key]


def identity(entry: Any, key: str, where: str) -> int | str:
    """Returns an id; the text of a whole number is that number, because tools mix the two.

    >>> identity({"id": "17"}, "id", "a.json"), identity({"id": "a7"}, "id", "a.json")
    (17, 'a7')

    Raises:
      ValueError: as `field`.
    """
    value = field(entry, key, where, ID)
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value.strip()) else value
