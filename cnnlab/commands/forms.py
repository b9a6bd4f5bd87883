"""Dataclass types from which tyro reads options, with the help text of each option from the docstring of its target."""

import dataclasses
import inspect
import types
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import docstring_parser
import tyro

_METAVARS = {int: "INT", float: "FLOAT", bool: "{True,False}", str: "TEXT", Path: "PATH"}

Flag = tuple[str, Any, Any]
"""Name, type and default of an option; `tyro.MISSING` means no default."""


def help_texts(target: Callable) -> dict[str, str]:
    """Returns the text of each attribute or parameter in a docstring, on one line.

    Args:
      target: class with a section `Attributes`, or function with a section `Args`.

    >>> help_texts(help_texts)
    {'target': 'class with a section `Attributes`, or function with a section `Args`.'}
    """
    parsed = docstring_parser.parse(inspect.getdoc(target) or "", docstring_parser.DocstringStyle.GOOGLE)
    return {part.arg_name: " ".join((part.description or "").split()) for part in parsed.params}


def form(name: str, title: str, flags: Sequence[Flag], texts: dict[str, str], shown: Collection[str] | None) -> type:
    """Creates a dataclass type whose fields are options.

    Args:
      name: path of the options, such as `training`; an empty one for options without a prefix.
      title: sentence above the options in the help text.
      flags: the options, and forms within this form, whose default is their type.
      texts: help text of each option.
      shown: options, with their paths, that the form has beside those without a default; None for all.
    """
    fields = []
    for option, kind, default in flags:
        if not isinstance(default, type):  # the default of a form within a form is its type
            path = f"{name}.{option}" if name else option
            kind = Annotated[kind, tyro.conf.arg(help=texts.get(option, ""), **metavar(kind))]
            kept = shown is None or path in shown or default is tyro.MISSING
            kind = kind if kept else tyro.conf.Suppress[kind]
        value = dataclasses.field(default_factory=default) if isinstance(default, type) else default
        fields.append((option, kind, value))
    out = dataclasses.make_dataclass(name.rpartition(".")[-1].capitalize() or "Options", fields, frozen=True)
    out.__doc__ = title
    return out


def form_of(name: str, settings: Any, shown: Collection[str] | None) -> type:
    """Creates a dataclass type with the fields of a dataclass; `settings` holds the defaults."""
    kind, flags = type(settings), []
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            inner = form_of(f"{name}.{field.name}", value, shown)
            flags.append((field.name, inner, inner))
        else:
            flags.append((field.name, hints[field.name], value))
    return form(name, inspect.getdoc(kind).splitlines()[0], flags, help_texts(kind), shown)


def settings_of(kind: type, filled: Any) -> Any:
    """Returns the dataclass `kind` with the values of a form that `form_of` created."""
    hints = get_type_hints(kind)
    values = {field.name: getattr(filled, field.name) for field in dataclasses.fields(kind)}
    return kind(**{n: settings_of(hints[n], v) if dataclasses.is_dataclass(v) else v for n, v in values.items()})


def metavar(kind: Any) -> dict[str, str]:
    """Returns the placeholder of an option of a number, text, texts or path, or None, for `tyro.conf.arg`.

    >>> metavar(int | None), metavar(tuple[str, ...]), metavar(bool)
    ({'metavar': 'INT'}, {'metavar': '[TEXT...]'}, {})
    """
    if kind == tuple[str, ...]:
        return {"metavar": "[TEXT...]"}
    parts = set(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else {kind}
    parts -= {type(None)}
    [first, *others] = parts
    optional = len(parts) < len(get_args(kind) or (kind,))
    if others or first not in _METAVARS or (first is bool and not optional):
        return {}
    return {"metavar": _METAVARS[first]}
