"""Datasets from folders of photos with the boxes of their objects."""

import itertools
import warnings
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np

from cnnlab.data.annotations import Annotations, Objects, class_table, mend, notes_on, read_annotations, read_table
from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.groups import groups_of, without_groups
from cnnlab.data.ragged import Ragged, take_rows
from cnnlab.data.spec import NORMALISATIONS, InputSpec
from cnnlab.data.splits import set_aside
from cnnlab.data.streaming import ImageFiles
from cnnlab.geometry.letterbox import affine

MAX_OBJECTS = 1000  # of a photo; a batch has as many places as the photo of most objects needs
_PADDING = {"boxes": 0, "classes": -1, "area": 0, "difficult": False, "crowd": False, "learnt": True}
STATISTICS_FILES = 1024  # training photos that are sampled to normalise a streamed set


def boxes(
    path: str,
    *,
    size: int | tuple[int, int] = 416,
    format: str | None = None,
    annotations: str | None = None,
    photos: str | None = None,
    classes: str | None = None,
    label: str | None = None,
    difficult: bool = True,
    fit: Literal["letterbox", "stretch"] = "letterbox",
    channels: Literal[1, 3] = 3,
    validation: float = 0.1,
    test: float = 0.2,
    group: str | None = None,
    seed: int = 0,
    skip_unreadable: bool = False,
    memory_megabytes: int = 1000,
    normalisation: Literal["measured", "imagenet", "symmetric"] = "measured",
    decoding: Literal["fast", "exact"] = "fast",
) -> Dataset:
    """Reads a folder of photos with the boxes of their objects, as annotation tools write it.

    `cnnlab.data.annotations.FORMATS` lists the formats, and `docs/data-formats.md` the layouts of each tool. The folder
    is read in the first format that it holds. An outline gives its tight box.

    Splits that the folder lacks are set aside from its training photos. Reversed corners are put in order, boxes are
    clipped to their photo, boxes wholly outside are dropped, and boxes without area are kept; a warning counts each of
    these cases. A photo without objects is an example like any other.

    COCO's crowds are never learnt. Objects that VOC marks as difficult are learnt, as in Detectron2, unless `difficult`
    is off, as in darknet. Neither counts in an evaluation: missing one costs nothing, and detecting one is no false
    positive.

    Args:
      path: the folder.
      size: height and width of the network's input in pixels, or one number for a square.
      format: name of the format, where the folder holds several.
      annotations: name of the folder of annotations (or of the one file) within it, if it differs from the layout's.
      photos: name of the folder of photos within it, if it differs from the layout's.
      classes: name of a file within it with one class per line, or of a YAML file with `names`. Without it, formats
        with a table of classes use it, and the others use all names that occur, sorted.
      label: name of the attribute or column that holds the class, where the format leaves it open.
      difficult: whether to learn objects that VOC marks as difficult.
      fit: `letterbox` keeps the aspect ratio of a photo and pads it with grey; `stretch` fills the input with the
        photo.
      channels: 1 for grey, 3 for RGB.
      validation: share of all photos in the validation split, if the folder has no such split.
      test: share of all photos in the test split, if the folder has no such split.
      group: what keeps photos in one split, so that a patient, a sheet or a video is in no two: `folder` for the folder
        of a photo, or a regular expression for its path, such as `^([^_]+)_`.
      seed: seed of the split and of samples.
      skip_unreadable: whether to leave out damaged photos and their objects, with a warning that counts them, instead
        of stopping at the first. All photos are decoded once to detect them.
      memory_megabytes: largest decoded size of a set that is kept in memory, in MB; a larger set is read from disk
        batch by batch.
      normalisation: as in `folder`.
      decoding: as in `folder`.

    Raises:
      ValueError: the folder is missing or in none of these layouts, or an annotation or photo is wrong; the message
        names it.

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
        raise ValueError(f"the normalisation {normalisation!r} needs 3 channels, found {channels}; set channels to 3")
    records = read_annotations(root, format=format, annotations=annotations, photos=photos, label=label)
    records = _readable(records, root, size, channels, skip_unreadable)
    _check_pixels(records.objects)
    names = class_table(records.objects, read_table(root / classes) if classes else records.classes)
    columns = {"image": photo_names(records.objects, root)}
    columns |= box_columns(records.objects, names, str(root), size, fit, difficult, records.left_out)
    if group is not None:
        columns["group"] = groups_of(columns["image"], group)
    tables = split_photos(columns, records.split, {"validation": validation, "test": test}, seed)
    if not tables["train"]["learnt"].values.any():
        raise ValueError(
            f"no training photo of {root} has an object to learn (crowds are none, nor are difficult ones where "
            "difficult is off); check that their annotations lie where the layout has them"
        )
    in_memory = len(records.objects) * size[0] * size[1] * channels <= memory_megabytes * 1_000_000
    for table in tables.values():
        files = ImageFiles(root, table["image"], size, channels, fit, decoding)
        table["image"] = files[:] if in_memory else files
    if normalisation in NORMALISATIONS:
        mean, std = NORMALISATIONS[normalisation]
    else:
        mean, std = statistics(tables["train"]["image"], sample=None if in_memory else STATISTICS_FILES, seed=seed)
    spec = InputSpec(size, channels, mean, std, names, fit, decoding=decoding)
    return Dataset(root.name or str(root), spec, {split: Examples(table) for split, table in tables.items()})


def check_size_and_shares(size: tuple[int, int], validation: float, test: float) -> None:
    """Raises `ValueError` unless `size` is a valid size in pixels and the shares leave photos to train on."""
    if not (len(size) == 2 and all(1 <= side <= 4096 for side in size)):
        raise ValueError(f"size must lie in 1..4096 pixels, found {size}")
    if min(validation, test) <= 0 or validation + test >= 1:
        raise ValueError(f"validation and test must be shares above 0, together below 1, found {validation}, {test}")


def _readable(records: Annotations, root: Path, size: tuple[int, int], channels: int, skip: bool) -> Annotations:
    """Returns the annotations of the readable photos, and warns with the number of the others; raises unless `skip`."""
    if not skip:
        for photo in records.objects:
            if photo.size is None:
                ImageFiles(root, photo_names([photo], root), size, channels)[0]  # raises
        return records
    good, messages = ImageFiles(root, photo_names(records.objects, root), size, channels).readable()
    if not good.any():
        raise ValueError(f"none of the {len(good)} photos of {root} can be read; the first: {messages[0]}")
    if messages:
        message = f"{len(messages)} of {len(good)} files of {root} skipped; the first: {messages[0]}"
        warnings.warn(message, stacklevel=3)
    objects = list(itertools.compress(records.objects, good))
    return records._replace(objects=objects, split=records.split and list(itertools.compress(records.split, good)))


def _check_pixels(objects: list[Objects]) -> None:
    """Raises `ValueError` if no box of any photo reaches beyond its first pixel: such boxes are shares, not pixels."""
    photos = [photo for photo in objects if photo.names and min(photo.size) > 1]
    if photos and all(photo.boxes.max() <= 1 for photo in photos):
        raise ValueError(
            f"{photos[0].source}: no box reaches beyond the first pixel of its photo, so the boxes seem to be shares "
            "of its width and height; write pixels"
        )


def photo_names(objects: list[Objects], root: Path) -> np.ndarray:
    """Returns the paths of the photos relative to `root`."""
    return np.array([entry.photo.relative_to(root).as_posix() for entry in objects], object)


def box_columns(
    objects: list[Objects],
    names: tuple[str, ...],
    where: str,
    size: tuple[int, int],
    fit: str,
    difficult: bool,
    left_out: dict[str, int],
) -> Columns:
    """Builds the ragged columns of boxes that `Examples` describes, and warns with the number of repaired boxes.

    The first `MAX_OBJECTS` objects of a photo count.

    Args:
      objects: objects of each photo.
      names: names of the classes.
      where: name of the photos in the warning.
      size: height and width of the network's input in pixels.
      fit: `letterbox` or `stretch`.
      difficult: whether to learn objects that are marked as difficult.
      left_out: number of objects that the reader left out, by reason.
    """
    n, number = len(objects), {name: i for i, name in enumerate(names)}
    photo = np.repeat(np.arange(n), [len(each.boxes) for each in objects])
    sizes = np.array([each.size for each in objects], np.int32)
    mended = mend(np.concatenate([each.boxes for each in objects]), sizes[photo])
    counts, kept = Counter(mended.counts), np.flatnonzero(mended.keep)
    many = np.bincount(photo[kept], minlength=n)
    for i in np.flatnonzero(many > MAX_OBJECTS):
        counts[f"objects beyond the first {MAX_OBJECTS:,} of {objects[i].photo}, left out"] = many[i] - MAX_OBJECTS
    kept = kept[np.arange(len(kept)) - (np.cumsum(many) - many)[photo[kept]] < MAX_OBJECTS]
    boxes, photo, ends = mended.boxes[kept], photo[kept], np.cumsum(np.minimum(many, MAX_OBJECTS))
    area, crowd, hard = (
        np.concatenate([_or(getattr(each, key), default, len(each.boxes)) for each in objects])[kept]
        for key, default in (("area", np.nan), ("crowd", False), ("difficult", False))
    )
    factor, shift = map(np.array, zip(*(_scaling(each.size, size, fit) for each in objects), strict=True))
    values = {
        "boxes": (boxes * factor[photo] + shift[photo]).astype(np.float32),
        "classes": np.array([number[name] for each in objects for name in each.names], np.int32)[kept],
        "area": np.where(np.isnan(area), (boxes[:, 2:] - boxes[:, :2]).prod(1), area).astype(np.float32),
        "difficult": hard,
        "crowd": crowd,
        "learnt": ~crowd & (difficult | ~hard),
    }
    width = max(1, *(min(len(each.names), MAX_OBJECTS) for each in objects))
    columns = {name: Ragged(values[name], ends, fill=fill, width=width) for name, fill in _PADDING.items()}
    frames = (np.tile(sizes[:, ::-1], 2) * [0, 0, 1, 1] * factor + shift).astype(np.float32)
    columns |= {"photo_size": sizes, "frame": frames}
    counts["crowds, not learnt"] = int(columns["crowd"].values.sum())
    counts["difficult, not learnt"] = 0 if difficult else int(columns["difficult"].values.sum())
    notes = [f"{count:,} {reason}" for reason, count in counts.items() if count]
    notes += notes_on(Annotations(objects, None, None, left_out))
    if notes:
        warnings.warn(f"boxes of {where}: {'; '.join(notes)}", stacklevel=3)
    return columns


def _or(flags: np.ndarray | None, default: float | bool, n: int) -> np.ndarray:
    """Returns what is known of n objects, or the default of each."""
    return np.full(n, default) if flags is None else flags


def _scaling(photo: tuple[int, int], canvas: tuple[int, int], fit: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factor and the shift `[4]` that map boxes from the photo to the network's input, in pixels."""
    if fit == "letterbox":
        return affine(photo, canvas)
    x, y = canvas[1] / photo[1], canvas[0] / photo[0]
    return np.array([x, y, x, y]), np.zeros(4)


def split_photos(columns: Columns, split: list[str] | None, shares: dict[str, float], seed: int) -> dict[str, Columns]:
    """Groups the columns by split, and sets missing splits aside from `train`."""
    parts = np.array(split or ["train"] * len(columns["image"]))
    if "train" not in parts:
        raise ValueError(f"no photo is in the split 'train'; the splits are {', '.join(sorted(set(parts)))}")
    tables = {name: take_rows(columns, parts == name) for name in {*parts}}
    return without_groups(set_aside(tables, shares, seed))
