"""Text and JSON files of a bounded size; whatever is wrong with one becomes an error that names it."""

import json
import stat
from pathlib import Path
from typing import Any


def read_text(path: Path, *, limit: int, kind: str = "text") -> str:
    """Reads a text file in UTF-8; a byte-order mark is left out.

    Args:
      path: the file.
      limit: the largest size in bytes.
      kind: what the file should be, for the message ("annotation", "table").

    Raises:
      ValueError: the file is missing, not a regular file, larger than the limit, or not UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a regular file; give a {kind} file")
        if status.st_size > limit:
            raise ValueError(
                f"{path} has {status.st_size:,} bytes, more than the {limit:,} of a {kind} file; remove it"
            )
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}); save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}); repair or remove it") from error


def read_json(path: Path, *, limit: int, strict: bool = True) -> Any:
    """Reads a JSON file.

    Args:
      path: the file.
      limit: the largest size in bytes.
      strict: whether NaN and infinity are refused, which JSON does not have but Python writes.

    Raises:
      ValueError: as `read_text`; or the file is not JSON, is nested too deeply, or has a whole number of too many
        digits.
    """
    return parse_json(read_text(path, limit=limit, kind="JSON"), str(path), strict=strict)


def parse_json(text: str, name: str, *, strict: bool = True) -> Any:
    """Returns the value of a JSON text; `name` is what errors call it.

    Raises:
      ValueError: as `read_json`.

    >>> parse_json('{"a": [1, NaN]}', "a.json")
    Traceback (most recent call last):
    ValueError: a.json is not valid JSON (NaN is not a number of JSON); repair it
    """
    try:
        return json.loads(text, parse_constant=_refuse if strict else None)
    except RecursionError as error:
        raise ValueError(f"{name} is not valid JSON (it is nested too deeply); repair it") from error
    except ValueError as error:
        raise ValueError(f"{name} is not valid JSON ({error}); repair it") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")
