"""A cache of decoded columns on disk, because loading arrays is much faster than decoding thousands of PNGs."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnnlab.data.columns import Columns

STAMP = "stamp.json"


def load_or_decode(target: Path, source: Path, read: Callable[[], Columns]) -> Columns:
    """Loads the columns from `target` if they are stored there; otherwise decodes them with `read` and stores them.

    The columns are decoded again if the files have changed or the stored arrays are damaged. If the arrays cannot be
    stored (on a full or read-only disk), they are only decoded.

    Args:
      target: directory of the stored arrays, which is written as a whole or not at all.
      source: directory of the files to decode.
      read: function that decodes the files.
    """
    files = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(source.iterdir())}
    # NumPy and JSON raise various errors for damaged files; decoding again handles all of them.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stamp = json.loads((target / STAMP).read_text())
        if stamp["files"] == files:
            columns = {name: np.load(target / f"{name}.npy", allow_pickle=False) for name in stamp["digests"]}
            if {name: _digest(column) for name, column in columns.items()} == stamp["digests"]:
                return columns
    columns = read()
    with contextlib.suppress(OSError):
        _store(target, columns, files)
    return columns


def _store(target: Path, columns: Columns, files: dict) -> None:
    """Writes the columns to a temporary directory, which then replaces `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for name, column in columns.items():
            np.save(part / f"{name}.npy", column, allow_pickle=False)
        stamp = {"files": files, "digests": {name: _digest(column) for name, column in columns.items()}}
        (part / STAMP).write_text(json.dumps(stamp))
        shutil.rmtree(target, ignore_errors=True)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _digest(column: np.ndarray) -> str:
    digest = hashlib.sha256(f"{column.dtype} {column.shape} ".encode())
    digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
