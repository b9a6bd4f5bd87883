"""TFDS's directory of prepared sets: its location, the sets in it, and advice on how to prepare others."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path


def find_data_dir(data_dir: str | Path | None = None) -> Path:
    """Returns the directory of prepared sets: `data_dir`, else TFDS_DATA_DIR, else TFDS's default."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Turns any exception of TFDS and array_record into a `ValueError` that says that the directory is damaged.

    For half-prepared and damaged directories they raise exceptions of many classes.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(
            f"{path} is damaged or was prepared only in part ({type(error).__name__}: {error}); move it away and "
            "prepare the set again"
        ) from error


NAME_PATTERN = re.compile(r"\w+(/[\w.+-]+)*")


INFO = "dataset_info.json"


def find_prepared(name: str, root: Path) -> Path | None:
    """Returns the directory of a set's newest prepared version below TFDS's directory, or None."""
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        raise ValueError(f"set must be a TFDS name such as mnist or mnist/3.0.1, found {name!r}")
    for pattern in (INFO, f"*/{INFO}", f"*/*/{INFO}"):
        versions = [path.parent for path in (root / name).glob(pattern) if "incomplete" not in path.parent.name]
        if versions:
            return max(versions, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])
    return None


def is_known(name: str, data_dir: str | None = None) -> bool:
    """Returns whether TFDS has a builder of that name or has prepared such a set."""
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        return False
    root = find_data_dir(data_dir)
    return find_prepared(name, root) is not None or name.split("/")[0] in _stock()


def advice(name: str, root: Path) -> str:
    """Returns the instructions for a set that is not prepared."""
    if name.split("/")[0] not in _stock():
        return "TFDS knows no builder of that name; prepare it with a builder of your own (file_format='array_record')"
    return (
        "It is one of TFDS's own, whose preparation needs TensorFlow: install the extra with\n"
        "    pip install 'cnnlab[tf]'\nthen prepare it with\n"
        f'    python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, data_dir={str(root)!r})'
        ".download_and_prepare(file_format='array_record')\""
    )


def _stock() -> list[str]:
    """Lists the names of TFDS's own builders."""
    import tensorflow_datasets

    return tensorflow_datasets.list_builders(with_community_datasets=False)
