"""TFDS's directory of prepared sets: where it is, what lies there, and what to do for a set that does not."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path


def find_data_dir(data_dir: str | Path | None = None) -> Path:
    """Where prepared sets lie: the given directory, else TFDS_DATA_DIR, else TFDS's default in the home directory."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


@contextlib.contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Whatever TFDS and array_record raise for a half-prepared or damaged directory, as one clear error."""
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
    """The newest version of a set below TFDS's directory, if it is prepared there."""
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        raise ValueError(f"set must be a TFDS name such as mnist or mnist/3.0.1, found {name!r}")
    for pattern in (INFO, f"*/{INFO}", f"*/*/{INFO}"):
        found = [path.parent for path in (root / name).glob(pattern) if "incomplete" not in path.parent.name]
        if found:
            return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])
    return None


def is_known(name: str, data_dir: str | None = None) -> bool:
    """Whether TFDS ships a builder of that name or has prepared such a set."""
    if not NAME_PATTERN.fullmatch(name) or ".." in name:
        return False
    root = find_data_dir(data_dir)
    return find_prepared(name, root) is not None or name.split("/")[0] in _stock()


def advice(name: str, root: Path) -> str:
    """What to do for a set that is not prepared."""
    if name.split("/")[0] not in _stock():
        return "TFDS knows no builder of that name; prepare it with a builder of your own (file_format='array_record')"
    return (
        "It is one of TFDS's own, whose preparation needs TensorFlow: install the extra with\n"
        "    pip install 'cnnlab[tf]'\nthen prepare it with\n"
        f'    python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, data_dir={str(root)!r})'
        ".download_and_prepare(file_format='array_record')\""
    )


def _stock() -> list[str]:
    import tensorflow_datasets

    return tensorflow_datasets.list_builders(with_community_datasets=False)
