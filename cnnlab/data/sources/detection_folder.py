"""Any folder of photos with boxes as a dataset: VOC, COCO or YOLO files."""

import itertools
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations import Annotations, Objects, class_table, mend, read_annotations, read_table
from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.spec import NORMALISATIONS, InputSpec
from cnnlab.data.splits import set_aside
from cnnlab.data.streaming import ImageFiles
from cnnlab.geometry.letterbox import to_canvas

STATISTICS_FILES = 1024  # of a streamed training split, to measure its normalisation on


def boxes(
    path: str,
    *,
    size: int | tuple[int, int] = 416,
    annotations: str | None = None,
    photos: str | None = None,
    classes: str | None = None,
    difficult: bool = True,
    fit: Literal["letterbox", "stretch"] = "letterbox",
    channels: Literal[1, 3] = 3,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    skip_unreadable: bool = False,
    memory_megabytes: int = 1000,
    normalisation: Literal["measured", "imagenet", "symmetric"] = "measured",
) -> Dataset:
    """Photos on disk with the boxes of their objects; the first layout that is found counts.

    - VOC: `DIR/Annotations/*.xml`, `DIR/JPEGImages`, and where there are any lists in `DIR/ImageSets/Main`.
    - COCO: `DIR/annotations/*.json`.
    - YOLO: `DIR/images`, `DIR/labels`, each with or without folders for the splits; or `DIR/train/images`,
      `DIR/train/labels` and so on for each split. Classes stand in `DIR/classes.txt` or `DIR/data.yaml`, whose `names`
      alone are read. Of a polygon the tight box is taken.

    Splits that the folder does not give are set aside from its training photos. Corners in reversed order are put in
    order, boxes are clipped to their photo, those wholly outside are dropped, those without area are kept; a warning
    counts each. A photo without objects is an example like any other.

    COCO's crowds are not learnt, as everywhere. Objects that VOC marks as difficult are, as by Detectron2, unless they
    are not wanted, as by darknet. Neither counts in an evaluation: they are not missed, nor is who finds them wrong.

    Args:
      path: the folder.
      size: height and width of the network's input in pixels, one number for squares.
      annotations: the folder of annotations (or the JSON file) within it, where it has another name.
      photos: the folder of photos, likewise.
      classes: a file within it with one class a line, or a YAML file with `names`; otherwise COCO's and YOLO's own
        table counts, and for VOC all names that occur, sorted.
      difficult: learn objects that VOC marks as difficult.
      fit: `letterbox` keeps a photo's shape and fills up with grey; `stretch` does neither.
      channels: 1 for grey, 3 for RGB.
      validation: share of all photos, where the folder has no such split.
      test: likewise.
      seed: of the split and of samples.
      skip_unreadable: leave photos that are damaged out, with their objects and a warning that counts them, instead of
        stopping at the first; all are decoded once to find them.
      memory_megabytes: a set that takes more, decoded, is read from disk batch by batch.
      normalisation: as in `folder`.

    Raises:
      ValueError: the folder is missing or in none of these layouts, or an annotation or photo is wrong; it is named.

    >>> boxes("photos")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: photos is no folder; ...
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with annotated photos")
    size = (size, size) if isinstance(size, int) else tuple(size)
    check_size_and_shares(size, validation, test)
    if fit not in ("letterbox", "stretch"):
        raise ValueError(f"fit must be letterbox or stretch, found {fit!r}")
    if normalisation in NORMALISATIONS and channels != 3:
        raise ValueError(f"the normalisation {normalisation!r} is of 3 channels, found channels {channels}")
    found = read_annotations(root, annotations=annotations, photos=photos)
    found = _readable(found, root, size, channels, skip_unreadable)
    names = class_table(found.objects, read_table(root / classes) if classes else found.classes)
    columns = {"image": _names(found.objects, root)}
    columns |= box_columns(found.objects, names, str(root), size, fit, difficult, found.left_out)
    tables = _split(columns, found.split, {"validation": validation, "test": test}, seed)
    in_memory = len(found.objects) * size[0] * size[1] * channels <= memory_megabytes * 1_000_000
    for table in tables.values():
        files = ImageFiles(root, table["image"], size, channels, fit)
        table["image"] = files[:] if in_memory else files
    if normalisation in NORMALISATIONS:
        mean, std = NORMALISATIONS[normalisation]
    else:
        mean, std = statistics(tables["train"]["image"], sample=None if in_memory else STATISTICS_FILES, seed=seed)
    spec = InputSpec(size, channels, mean, std, names, fit)
    return Dataset(root.name or str(root), spec, {split: Examples(table) for split, table in tables.items()})


def check_size_and_shares(size: tuple[int, int], validation: float, test: float) -> None:
    """Raises `ValueError` unless these are sides in pixels and shares that leave something to train on."""
    if not (len(size) == 2 and all(1 <= side <= 4096 for side in size)):
        raise ValueError(f"size must lie in 1..4096 pixels, found {size}")
    if min(validation, test) <= 0 or validation + test >= 1:
        raise ValueError(f"validation and test must be shares above 0, together below 1, found {validation}, {test}")


def _readable(found: Annotations, root: Path, size: tuple[int, int], channels: int, skip: bool) -> Annotations:
    """The annotations of the photos that can be read, and a warning that counts the others."""
    if not skip:
        for one in found.objects:
            if one.size is None:
                ImageFiles(root, _names([one], root), size, channels)[0]  # raises
        return found
    good, messages = ImageFiles(root, _names(found.objects, root), size, channels).readable()
    if not good.any():
        raise ValueError(f"none of the {len(good)} photos of {root} can be read; the first: {messages[0]}")
    if messages:
        told = f"{len(messages)} of {len(good)} files of {root} skipped; the first: {messages[0]}"
        warnings.warn(told, stacklevel=3)
    objects = list(itertools.compress(found.objects, good))
    return found._replace(objects=objects, split=found.split and list(itertools.compress(found.split, good)))


def _names(objects: list[Objects], root: Path) -> np.ndarray:
    return np.array([one.photo.relative_to(root).as_posix() for one in objects], object)


def box_columns(
    objects: list[Objects],
    names: tuple[str, ...],
    where: str,
    size: tuple[int, int],
    fit: str,
    difficult: bool,
    left_out: dict[str, int],
) -> Columns:
    """What `Examples` says of boxes, padded; told what was mended.

    Args:
      objects: one entry a photo.
      names: of the classes.
      where: what the warning calls the photos.
      size: height and width of the network's input.
      fit: `letterbox` or `stretch`.
      difficult: learn objects that are marked as difficult.
      left_out: how many objects the reader left out, by reason.
    """
    counts = Counter({f"{reason}, left out": number for reason, number in left_out.items()})
    n, most = len(objects), max(1, *(len(one.names) for one in objects))
    columns = {
        "boxes": np.zeros((n, most, 4), np.float32),
        "classes": np.full((n, most), -1, np.int32),
        "area": np.zeros((n, most), np.float32),
        "difficult": np.zeros((n, most), bool),
        "crowd": np.zeros((n, most), bool),
        "photo_size": np.array([one.size for one in objects], np.int32),
        "frame": np.zeros((n, 4), np.float32),
    }
    for i, one in enumerate(objects):
        mended = mend(one.boxes, one.size)
        counts.update(mended.counts)
        kept = np.flatnonzero(mended.keep)
        boxes = mended.boxes[kept]
        of_boxes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        area = of_boxes if one.area is None else np.where(np.isnan(one.area[kept]), of_boxes, one.area[kept])
        whole = np.array([0, 0, one.size[1], one.size[0]])
        columns["boxes"][i, : len(kept)] = _onto(boxes, one.size, size, fit)
        columns["frame"][i] = _onto(whole, one.size, size, fit)
        columns["classes"][i, : len(kept)] = [names.index(one.names[j]) for j in kept]
        columns["area"][i, : len(kept)] = area
        for name in ("difficult", "crowd"):
            if getattr(one, name) is not None:
                columns[name][i, : len(kept)] = getattr(one, name)[kept]
    columns["learnt"] = ~columns["crowd"] & (difficult | ~columns["difficult"])
    counts["crowds, not learnt"] = int(columns["crowd"].sum())
    counts["difficult, not learnt"] = 0 if difficult else int(columns["difficult"].sum())
    told = [f"{number} {reason}" for reason, number in counts.items() if number]
    if other := [one for one in objects if one.stated_size not in (None, one.size)]:
        (height, width), (h, w) = other[0].stated_size, other[0].size
        told.append(
            f"{len(other)} photos of another size than they were annotated at, the first {other[0].photo} with {w}x{h} "
            f"instead of {width}x{height}: their boxes may lie elsewhere"
        )
    if told:
        warnings.warn(f"boxes of {where}: {'; '.join(told)}", stacklevel=3)
    return columns


def _onto(boxes: np.ndarray, photo: tuple[int, int], canvas: tuple[int, int], fit: str) -> np.ndarray:
    """Boxes of a photo on the network's input."""
    if fit == "letterbox":
        return to_canvas(boxes, photo, canvas)
    return boxes * np.tile([canvas[1] / photo[1], canvas[0] / photo[0]], 2)


def _split(columns: Columns, split: list[str] | None, shares: dict[str, float], seed: int) -> dict[str, Columns]:
    """Columns a split; those that are missing are set aside from `train`."""
    parts = np.array(split or ["train"] * len(columns["image"]))
    if "train" not in parts:
        raise ValueError(f"no photo is of the split 'train'; the splits are {', '.join(sorted(set(parts)))}")
    tables = {name: {key: column[parts == name] for key, column in columns.items()} for name in {*parts}}
    return set_aside(tables, shares, seed)
