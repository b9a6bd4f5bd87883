"""Decides which source reads a folder, by its files and by the task that was asked for, and says why."""

from pathlib import Path
from typing import NamedTuple

from cnnlab.console import console
from cnnlab.data.annotations import MaskLayout, Survey, find_formats, mask_layout, survey
from cnnlab.data.comparisons import PAIRS
from cnnlab.data.pack import PACK, UNFINISHED, read_pack
from cnnlab.data.sources.signals import CLEAN, INPUTS
from cnnlab.data.targets import TARGETS, glance
from cnnlab.files.copying import local
from cnnlab.files.signals import SUFFIXES
from cnnlab.quoting import for_terminal

_EXPECTED = {"detection": "boxes", "segmentation": "pairs"}
_COLUMN = {"boxes": "boxes", "pairs": "mask", "outlines": "mask"}
_NAMED = 2  # files that a reason names


class Kind(NamedTuple):
    """What a folder is.

    Attributes:
      source: name of the source that reads it.
      format: name of the annotation format or of the layout of masks; None for other folders.
      reason: the files that decide, in words.
      others: other readings that fit, each with the option that chooses it.
      column: column of annotations that the files give, such as `label`, `mask` or `boxes`.
    """

    source: str
    format: str | None
    reason: str
    others: tuple[str, ...] = ()
    column: str = "label"

    def __str__(self) -> str:
        name = f"{self.source} ({self.format})" if self.format else self.source
        also = "".join(f"; it also fits {other}" for other in self.others)
        return f"read as {name}: {self.reason}{also}"


def kind_of(path: str | Path, task: str | None = None) -> Kind:
    """Returns which source reads a folder, judged by its files; nothing is parsed.

    `pack.json` decides before all other files, then `targets.csv`, then `pairs.csv`; for the task `scoring` only the
    first and the last of them count. Boxes and outlines come first for detection, masks and outlines for segmentation.
    Without a task, or with another, masks come before boxes, unless the layout of the masks usually has boxes too. A
    folder without images, with `.npy` or `.csv` files in its subfolders, is one of signals. Any other is one of
    classes, unless the task needs boxes or masks: the error of their source then says what it looked for.

    Args:
      path: the folder.
      task: name of the task that was asked for, or None.

    >>> kind_of("no/such/folder").source
    'folder'
    """
    root = local(path)
    if (root / PACK).is_file() or (root / UNFINISHED).is_file():
        return Kind("pack", None, f"{PACK} describes what cnnlab data pack wrote", column=read_pack(root).column)
    if task == "scoring" or (task is None and (root / PAIRS).is_file() and not (root / TARGETS).is_file()):
        return Kind("comparisons", None, f"{PAIRS} says which of two photos is above the other", column="pair")
    if (root / TARGETS).is_file() and task not in _EXPECTED:
        first = glance(root)
        source = "signals" if Path(first.file).suffix.lower() in SUFFIXES else "folder"
        reason = f"{TARGETS} gives the files their classes, numbers or strings"
        return Kind(source, None, reason, column=first.column)
    found = survey(root)
    layout = mask_layout(found)
    fits = [kind for kind in (_masks(layout), *_annotated(found, task)) if kind is not None]
    boxes_first = task == "detection" or (task != "segmentation" and layout is not None and layout.beside_boxes)
    fits.sort(key=lambda kind: (kind.source == "pairs") == boxes_first)
    if not (fits or found.images) and (signals := _signals(found)):
        return signals
    if not fits and task in _EXPECTED:
        source = _EXPECTED[task]
        return Kind(source, None, "nothing in it is known, but the task needs this", column=_COLUMN[source])
    if task in ("classification", "regression", "ranking") or not fits:
        return Kind("folder", None, "its images lie in a folder for each class" if root.is_dir() else "no such folder")
    first, *others = fits
    return first._replace(others=tuple(_option(first, other) for other in others))


def print_kind(path: str | Path, kind: Kind) -> None:
    """Prints what a folder is read as, with the reason, on standard error."""
    console().print(for_terminal(f"{path}: {kind}"), soft_wrap=True)


def _signals(found: Survey) -> Kind | None:
    """Returns the reading of a folder as signals, which lie in its subfolders, or None."""
    signals = [path.relative_to(found.root) for path in found.others if path.suffix.lower() in SUFFIXES]
    folders = sorted({path.parts[0] for path in signals if len(path.parts) > 1})
    if len(folders) < 2:
        return None
    if {INPUTS, CLEAN} <= set(folders):
        return Kind("signals", None, f"signals in {INPUTS}, their clean versions in {CLEAN}", column="clean")
    return Kind("signals", None, f"signals in a folder for each class, such as {signals[0]}")


def _masks(layout: MaskLayout | None) -> Kind | None:
    """Returns the reading of a folder as images with masks, or None."""
    if layout is None:
        return None
    reason = f"images and masks ({layout.layout.format(images='images', masks='masks')})"
    return Kind("pairs", layout.name, reason, column="mask")


def _annotated(found: Survey, task: str | None) -> list[Kind]:
    """Returns the readings of a folder by each annotation format that it holds."""
    source = "outlines" if task == "segmentation" else "boxes"
    formats = find_formats(found).items()
    return [Kind(source, name, _files(found.root, files), column=_COLUMN[source]) for name, files in formats]


def _files(root: Path, files: list[Path]) -> str:
    names = ", ".join(str(path.relative_to(root)) for path in files[:_NAMED])
    return names + (f" and {len(files) - _NAMED:,} more" if len(files) > _NAMED else "")


def _option(first: Kind, other: Kind) -> str:
    """Describes another reading with the option that chooses it."""
    option = f"--data.format {other.format}" if other.source == first.source else f"--data.name {other.source}"
    return f"{other.format} ({other.reason}), read by {option}"
