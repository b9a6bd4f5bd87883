"""Strict conversion of frozen dataclasses to JSON and back; an error names the unknown key or the wrong value."""

import dataclasses
import math
import types
from collections.abc import Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cnnlab.errors import unknown


def encode(value: Any) -> Any:
    """Converts nested dataclasses with numbers, strings, booleans, None and tuples to JSON types."""
    if dataclasses.is_dataclass(value):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    return [encode(item) for item in value] if isinstance(value, tuple | list) else value


def decode(annotation: Any, value: Any, where: str) -> Any:
    """Converts a JSON value to an annotated type.

    Args:
      annotation: a dataclass, `int`, `float`, `bool`, `str`, `Any`, or a `Literal`, `tuple` or union of these.
      value: value from `json.loads`, or a value that has the type already.
      where: place of the value in error messages, such as `training.epochs`.

    Raises:
      ValueError: a key is unknown or missing, or a value has another type.

    >>> decode(tuple[float, ...], [1, 2.5], "optimizer.milestones")
    (1.0, 2.5)
    """
    origin = get_origin(annotation)
    if annotation is Any:
        return tuple(value) if isinstance(value, list) else value
    if dataclasses.is_dataclass(annotation):
        return _decode_dataclass(annotation, value, where)
    if origin is Literal and value in get_args(annotation):
        return value
    if origin in (Union, types.UnionType):
        for option in get_args(annotation):
            try:
                return decode(option, value, where)
            except ValueError:
                continue
    if origin in (list, Sequence) and isinstance(value, list | tuple):
        return tuple(decode(get_args(annotation)[0], item, where) for item in value)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = get_args(annotation)
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) == len(value):
            return tuple(decode(kind, item, where) for kind, item in zip(kinds, value, strict=True))
    if annotation is float and isinstance(value, int | float) and not isinstance(value, bool) and _fits(value):
        return float(value)
    if annotation in (int, bool, str) and type(value) is annotation:
        return value
    if annotation in (None, types.NoneType) and value is None:
        return None
    raise ValueError(f"{where} must be {describe(annotation)}, found {shown(value)}")


def shown(value: Any) -> str:
    """Returns a value as messages show it: its `repr`, cut after 80 characters.

    >>> shown("a" * 100)[-5:]
    'aa...'
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _fits(value: float) -> bool:
    """Returns whether a number fits into a float of 64 bits."""
    try:
        float(value)
    except OverflowError:
        return False
    return True


def check(config: Any) -> None:
    """Converts the fields of a frozen dataclass to their annotated types; call it in `__post_init__`.

    Raises:
      ValueError: a field has another type.
    """
    hints = get_type_hints(type(config))
    for field in dataclasses.fields(config):
        object.__setattr__(config, field.name, decode(hints[field.name], getattr(config, field.name), field.name))


def describe(annotation: Any) -> str:
    """Describes a type for error messages: `float or none`, `sgd or adam`."""
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(describe(option) for option in get_args(annotation))
    if annotation in (None, types.NoneType):
        return "none"
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)


def _decode_dataclass(kind: type, value: Any, where: str) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be an object with {kind.__name__}'s keys, found {shown(value)}")
    if hasattr(kind, "from_json"):
        return kind.from_json(value, where)
    hints = get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.init]
    for key in value:
        if key not in names:
            raise unknown("key", f"{where}.{key}".lstrip("."), [f"{where}.{name}".lstrip(".") for name in names])
    for field in dataclasses.fields(kind):
        if field.init and field.name not in value and field.default is field.default_factory:  # both are missing
            raise ValueError(f"{where}.{field.name}".lstrip(".") + f" is missing; found {', '.join(value) or 'no key'}")
    return kind(**{key: decode(hints[key], item, f"{where}.{key}".lstrip(".")) for key, item in value.items()})


def without_nan(value: Any) -> Any:
    """Replaces NaN and infinity by None in nested dicts and lists, because JSON has no such numbers."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
