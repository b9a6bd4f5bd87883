"""The table `targets.csv`, which gives each image file of a folder a class, several labels, numbers, or a string."""

import csv
import itertools
import math
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.tables import MAX_BYTES, SPLITS, Table, read_table
from cnnlab.files.strict_json import shown

TARGETS = "targets.csv"
MAX_LABELS = 30_000  # Open Images has 20,000
MAX_TEXT = 1000  # characters of a string
RARE = 20  # files, or objects, below which a class is called rare
_LIKE_SPLITS = {*SPLITS, "training", "testing", "eval", "evaluation"}


def looks_like_split(name: str) -> bool:
    """Returns whether a folder's name reads like that of a split.

    >>> looks_like_split("Train"), looks_like_split("val2017"), looks_like_split("trains")
    (True, True, False)
    """
    return name.lower().rstrip("0123456789_-") in _LIKE_SPLITS


def check_split_names(folder: Path) -> None:
    """Raises `ValueError` if several subfolders look like splits, but one of them is not called like one."""
    names = sorted(path.name for path in folder.iterdir() if looks_like_split(path.name) and path.is_dir())
    if len(names) > 1 and (strange := [name for name in names if name not in SPLITS]):
        raise ValueError(f"{folder / strange[0]} looks like a split; call the splits {', '.join(SPLITS)}")


class Listing(NamedTuple):
    """The files of a folder with their annotations, before any image is decoded.

    Attributes:
      names: paths of the files relative to the folder, `[n]`.
      columns: `label`, `labels`, `target` or `text`, as in `Examples`.
      classes: names of the classes, or of the regression targets, or the characters of the strings.
      split: split of each file, `[n]`; None if the folder defines no splits.
      group: group of each file, `[n]`, which stays in one split; None without groups.
      beside: cells `[n]` of the other columns that were asked for, by name.
    """

    names: np.ndarray
    columns: Columns
    classes: tuple[str, ...]
    split: np.ndarray | None
    group: np.ndarray | None = None
    beside: Mapping[str, Sequence[str]] = {}

    def counts(self) -> dict[str, int]:
        """Returns the number of files of each class, or with each label; no entries for numbers and strings."""
        column = self.columns.get("label", self.columns.get("labels"))
        if column is None:
            return {}
        number = np.bincount(column, minlength=len(self.classes)) if column.ndim == 1 else column.sum(0)
        return dict(zip(self.classes, number.tolist(), strict=True))

    def rare(self) -> tuple[str, ...]:
        """Returns the classes with fewer than 20 files."""
        return tuple(name for name, number in self.counts().items() if number < RARE)

    def split_counts(self) -> dict[str, int]:
        """Returns the number of files in each split; `all` without splits."""
        return dict(Counter(["all"] * len(self.names) if self.split is None else self.split.tolist()))


def read_targets(root: Path, *, group: str | None = None, beside: Sequence[str] = ()) -> Listing:
    """Reads `root/targets.csv`, a UTF-8 table with one row per file.

    The header is `file`, optionally `split` (train, validation or test; in all rows or not at all), and one of these:

    - `labels`: any number of names, also none, separated by `;`.
    - `label` or `class`: one name.
    - `text`: a string of any characters, also none, as it is read from left to right. Spaces at its ends do not count,
      and characters are composed (Unicode's NFC), so that an accent belongs to its letter.
    - Columns of any other names: numbers. A single column without any number holds classes.

    The column `group`, if it is named, is none of these: it says which files stay in one split. The columns that
    `beside` names are none of these, either: their cells are returned as they are.

    Raises:
      ValueError: the header or a row does not fit; the message names the row's line and the error.
    """
    table = read_table(root / TARGETS, header="file,label", row="image")
    if "file" not in table.column or not set(table.column) - {"file", "split"}:
        names = shown(",".join(table.column))
        raise ValueError(f"{table.path} needs a column 'file' and one to learn, such as 'label'; found {names}")
    files, split, lines = _different(table), table.splits(), table.lines
    column = {name: cells for name, cells in table.column.items() if name not in ("file", "split")}
    groups = np.array(column.pop(group), object) if group in column and len(column) > 1 else None
    others = {name: column.pop(name) for name in beside if name in column}
    if not column:
        raise ValueError(f"{table.path} needs a column to learn, such as 'label', beside {shown(','.join(others))}")
    columns, classes = _annotations(root, column, lines)
    return Listing(np.array(files, object), columns, classes, split, groups, others)


class Glance(NamedTuple):
    """What the header and the first row of `targets.csv` say: the column that a task reads, and the first file."""

    column: Literal["label", "labels", "target", "text"]
    file: str


def glance(root: Path) -> Glance:
    """Looks at the header and the first row of `root/targets.csv`; a table without them counts as one of classes."""
    try:
        with open(root / TARGETS, encoding="utf-8-sig", newline="") as file:
            names, cells = itertools.islice(csv.reader(file), 2)
    except (csv.Error, ValueError):
        return Glance("label", "")
    first = {name.strip(): cell.strip() for name, cell in zip(names, cells, strict=False)}
    named = next((name for name in ("labels", "text", "label", "class") if name in first), None)
    numbers = any(_is_number(cell) for name, cell in first.items() if name not in ("file", "split", "rate"))
    column = {None: "target" if numbers else "label", "class": "label"}.get(named, named)
    return Glance(column, first.get("file", ""))


def _at(root: Path, line: int) -> str:
    """Returns the path and the line for a message."""
    return f"{root / TARGETS} line {line}"


def _different(table: Table) -> list[str]:
    """Returns the file of each row; raises `ValueError` if two rows name the same one."""
    files, first = table.files("file"), {}
    for row, file in enumerate(files):
        if (other := first.setdefault(file, row)) != row:
            cell = table.column["file"][row]
            raise ValueError(
                f"{table.at(row)}: {cell!r} already occurs in line {table.lines[other]}; keep one of the rows"
            )
    return files


def _annotations(
    root: Path, column: dict[str, tuple[str, ...]], lines: Sequence[int]
) -> tuple[Columns, tuple[str, ...]]:
    """Returns the columns that a task reads, and the names of their classes or targets."""
    kinds = [name for name in ("labels", "text", "label", "class") if name in column]
    if kinds and len(column) > 1:
        raise ValueError(
            f"{root / TARGETS}: {kinds[0]!r} must stand alone beside file and split, found {shown(sorted(column))}"
        )
    if "labels" in column:
        return _label_columns(root, column["labels"])
    if "text" in column:
        return _text_column(root, column["text"], lines)
    only = next(iter(column)) if len(column) == 1 else None
    if kinds or (only and not any(map(_is_number, column[only]))):
        return _class_column(root, column[only], lines)
    target = np.empty((len(lines), len(column)), np.float32)
    for place, (name, cells) in enumerate(column.items()):
        for row, (cell, line) in enumerate(zip(cells, lines, strict=True)):
            if not _is_number(cell):
                hint = "; for classes call the column 'label'" if only else ""
                raise ValueError(f"{_at(root, line)}: {name} must be a finite number, found {cell!r}{hint}")
            target[row, place] = float(cell)
    return {"target": target}, tuple(column)


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell)) and abs(float(cell)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False


def _class_column(root: Path, cells: Sequence[str], lines: Sequence[int]) -> tuple[Columns, tuple[str, ...]]:
    """Returns the column `label` and the sorted class names from one class per row."""
    for cell, line in zip(cells, lines, strict=True):
        if not cell:
            raise ValueError(f"{_at(root, line)}: the row has no class; fill it in or remove the row")
    classes, label = np.unique(np.array(cells), return_inverse=True)
    return {"label": label.astype(np.int32)}, tuple(map(str, classes))


def _label_columns(root: Path, cells: Sequence[str]) -> tuple[Columns, tuple[str, ...]]:
    """Returns the column `labels` and the sorted class names from several labels per row."""
    rows = [{name.strip() for name in cell.split(";")} - {""} for cell in cells]
    classes = tuple(sorted(set().union(*rows)))
    if not classes:
        raise ValueError(f"{root / TARGETS}: no row has a label; fill in the column 'labels', such as cat;dog")
    if len(classes) > MAX_LABELS or len(rows) * len(classes) > MAX_BYTES:
        raise ValueError(f"{root / TARGETS} has {len(classes):,} labels in {len(rows):,} rows, which is too many")
    number = {name: i for i, name in enumerate(classes)}
    labels = np.zeros((len(rows), len(classes)), np.int32)
    for own, row in zip(labels, rows, strict=True):
        own[[number[name] for name in row]] = 1
    return {"labels": labels}, classes


def _text_column(root: Path, cells: Sequence[str], lines: Sequence[int]) -> tuple[Columns, tuple[str, ...]]:
    """Returns the column `text` and the alphabet, the sorted characters of all strings."""
    texts = [unicodedata.normalize("NFC", cell) for cell in cells]
    for text, line in zip(texts, lines, strict=True):
        if len(text) > MAX_TEXT:
            raise ValueError(f"{_at(root, line)}: text has {len(text):,} characters, more than {MAX_TEXT:,}; cut it")
    alphabet = tuple(sorted(set().union(*texts)))
    if not alphabet:
        raise ValueError(f"{root / TARGETS}: no row has a character; fill in the column 'text', such as 1926")
    number = {character: i for i, character in enumerate(alphabet)}
    column = np.full((len(texts), max(map(len, texts))), -1, np.int32)
    for row, text in zip(column, texts, strict=True):
        row[: len(text)] = [number[character] for character in text]
    return {"text": column}, alphabet
