"""Intermediate files of a sheet's prediction, from which it continues after an interruption.

OUTPUT/.partial/NAME.npy      an unfinished map
OUTPUT/.partial/seam-K.npy    lower end of the last finished row of windows, for the next row; K is 0 or 1 in turns
OUTPUT/.partial/journal.json  arguments of the prediction ("work"), and the number of finished rows of windows
OUTPUT/.done.json             names of the files that predictions wrote, and the work if it is finished
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cnnlab.files.atomic import write_text
from cnnlab.files.text import read_json

FOLDER = ".partial"
DONE = ".done.json"
MAX_BYTES = 10_000_000  # largest size of each JSON file


@dataclasses.dataclass
class Scratch:
    """Arrays on disk that are opened for every access, because mapped pages count as memory of the process.

    Attributes:
      folder: folder of the arrays.
      work: arguments that distinguish this prediction from others.
      finished: number of finished rows of windows.
    """

    folder: Path
    work: Mapping
    finished: int = 0

    def array(self, name: str) -> np.memmap:
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="r+")

    def write(self, name: str, index: tuple, values: np.ndarray) -> None:
        self.array(name)[index] = values

    def read(self, name: str, index: tuple) -> np.ndarray:
        return np.array(self.array(name)[index])

    def finish_rows(self, number: int = 1) -> None:
        """Waits until all arrays are on the disk, then records that `number` more rows of windows are finished."""
        for path in self.folder.glob("*.npy"):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        self.finished += number
        _note(self)

    def remove(self) -> None:
        """Removes the folder, its journal first, so that an interrupted removal leaves nothing to continue from."""
        (self.folder / "journal.json").unlink()
        shutil.rmtree(self.folder)


class Stored:
    """A map on disk `[bands, H, W]`, or one band of it `[H, W]`, that is indexed like an array.

    Every access maps the file anew, because the pages that an open memory map has read count as memory of the process.

    Attributes:
      path: path of an `.npy` file.
      band: index of a band; None stands for all bands.
    """

    def __init__(self, path: Path, band: int | None = None):
        self.path, self.band = path, band
        self.shape, self.dtype = (whole := self._map()).shape, whole.dtype
        self.size = whole.size

    def _map(self) -> np.ndarray:
        whole = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return whole if self.band is None else whole[self.band]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index):
        if self.band is None and isinstance(index, int):
            if not 0 <= index < len(self):
                raise IndexError(f"{self.path} has {len(self)} bands, not {index + 1}")
            return Stored(self.path, index)
        return np.array(self._map()[index])


def open_scratch(output: Path, work: Mapping, shapes: Mapping[str, tuple[tuple[int, ...], type]]) -> Scratch:
    """Opens the arrays of the same work, or creates new ones and reserves all their disk space.

    Args:
      output: directory of the results.
      work: arguments of the prediction, as JSON can store them.
      shapes: shape and type of each array, by its name.

    Raises:
      ValueError: the directory holds finished rows of another work, or the disk has too little space.
    """
    folder = output / FOLDER
    journal = folder / "journal.json"
    for path in (folder, *(folder.iterdir() if folder.is_dir() else ())):
        if path.is_symlink():
            raise ValueError(f"{path} is a link, through which nothing is written; remove it")
    if journal.exists():
        notes = _read_notes(journal, ("work", "finished"), f"delete {folder}")
        same = json.loads(json.dumps(work))
        if notes["work"] == same:
            return Scratch(folder, work, notes["finished"])
        # If the results of the other work exist, its process was only stopped before it removed this folder.
        if notes["finished"] and finished(output, notes["work"]) is None:
            others = [name for name in same if notes["work"].get(name) != same[name]]
            inputs = "that sheet with its file unchanged" if others == ["sheet"] else "the same arguments as then"
            raise ValueError(
                f"{folder} holds {notes['finished']} finished rows of windows of a prediction that differs in "
                f"{', '.join(others)}: use {inputs} to continue it, choose another directory, or delete this one"
            )
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in shapes.values())
    check_room(output, needed)
    try:
        for name, (shape, kind) in shapes.items():
            allocate(folder / f"{name}.npy", shape, kind)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ValueError(f"cannot write the maps of the sheet into {output} ({error}); {_megabytes(needed)}") from error
    scratch = Scratch(folder, work)
    _note(scratch)
    return scratch


def finished(output: Path, work: Mapping, needed: Iterable[str] | None = None) -> dict[str, Path] | None:
    """Returns the result files of a work by name if they (or those in `needed`) all exist; otherwise None.

    `work` may contain only a part of the stored arguments.
    """
    if not (output / DONE).is_file():
        return None
    notes = _read_notes(output / DONE, ("work", "files"), _ELSEWHERE)
    names = notes["files"] if isinstance(notes["files"], dict) else {None: None}
    files = dict(zip(names, map(output.joinpath, _check_names(list(names.values()), output / DONE)), strict=True))
    same = notes["work"] is not None and notes["work"] | json.loads(json.dumps(work)) == notes["work"]
    required = files if needed is None else needed
    return files if same and all(name in files and files[name].is_file() for name in required) else None


def note_finished(output: Path, work: Mapping, files: Mapping[str, Path]) -> None:
    """Records a finished work and its files, for `finished`."""
    files = {name: file.name for name, file in files.items()}
    existing = [name for name in published(output) if (output / name).exists()]
    write_text(output / DONE, json.dumps({"work": work, "files": files, "published": existing}))


def note_published(output: Path, names: Sequence[str]) -> None:
    """Records the names of result files before the files appear, because the process may be stopped in between."""
    write_text(output / DONE, json.dumps({"work": None, "files": {}, "published": sorted(set(names))}))


def published(output: Path) -> list[str]:
    """Returns the names of the files that predictions wrote into a directory."""
    path = output / DONE
    names = _read_notes(path, (), _ELSEWHERE).get("published", []) if path.is_file() else []
    return _check_names(names, path)


_ELSEWHERE = "delete it with the maps beside it, or choose another directory"


def _read_notes(path: Path, keys: Sequence[str], cure: str) -> dict:
    """Reads a JSON file with the required keys; raises `ValueError` if it is damaged."""
    try:
        notes = read_json(path, limit=MAX_BYTES)
    except ValueError:
        notes = None
    if isinstance(notes, dict) and (type(notes.get("finished", 0)) is not int or notes.get("finished", 0) < 0):
        notes = None
    if not isinstance(notes, dict) or not all(key in notes for key in keys):
        raise ValueError(f"{path} is damaged; {cure}")
    return notes


def _check_names(names: object, path: Path) -> list[str]:
    """Returns file names; raises `ValueError` if one contains a folder, because listed files may be deleted."""
    if not isinstance(names, list) or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise ValueError(f"{path} is damaged; {_ELSEWHERE}")
    return names


def check_room(output: Path, needed: int) -> None:
    """Raises `ValueError` if the disk has fewer free bytes than needed."""
    free = shutil.disk_usage(output).free
    if free < needed:
        raise ValueError(f"the disk of {output} has {free / 1e6:,.0f} MB free, and {_megabytes(needed)}; make room")


def _megabytes(needed: int) -> str:
    return f"the maps of the sheet need {needed / 1e6:,.0f} MB during the prediction"


def allocate(path: Path, shape: tuple[int, ...], kind: type) -> None:
    """Creates the file of an array and reserves its space: a sparse file would crash the process on a full disk."""
    size = np.lib.format.open_memmap(path, mode="w+", shape=shape, dtype=kind).nbytes
    if size and hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))


def _note(scratch: Scratch) -> None:
    write_text(scratch.folder / "journal.json", json.dumps({"work": scratch.work, "finished": scratch.finished}))
