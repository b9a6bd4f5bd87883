"""Describes a folder before it is used: what it is read as, its splits, classes and sizes, and what is left out."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.data.annotations import (
    Objects,
    class_table,
    expected_annotations,
    expected_masks,
    list_masks,
    mask_table,
    mend,
    notes_on,
    read_annotations,
)
from cnnlab.data.annotations.drawing import draw_mask, mask_classes, nearest
from cnnlab.data.annotations.survey import photo_size
from cnnlab.data.comparisons import read_comparisons
from cnnlab.data.description_pack import of_pack
from cnnlab.data.description_signals import of_signals
from cnnlab.data.masks import guess_classes, read_codes, to_classes
from cnnlab.data.sources.folder import list_folder
from cnnlab.data.sources.kind import Kind, kind_of
from cnnlab.data.targets import RARE
from cnnlab.files.copying import local
from cnnlab.files.images import read_pixels
from cnnlab.files.opening import ImageError
from cnnlab.plots.contact_sheet import Annotated
from cnnlab.quoting import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET = 9  # photos of a contact sheet
SAMPLED = 50  # masks that are read to count the pixels of each class
_SIDE = 480  # of a photo on the contact sheet
_LONGEST = 500_000_000  # pixels of a photo that is drawn there
_DRAWN = 100  # boxes that are drawn on a photo

LAYOUTS = """the smallest layouts are
  classes        DIR/cat/1.jpg DIR/dog/1.jpg
  boxes (YOLO)   DIR/images/1.jpg DIR/labels/1.txt DIR/classes.txt
  outlines       DIR/1.jpg DIR/labels.json (COCO, with segmentation)
  masks          DIR/images/1.jpg DIR/masks/1.png
  pairs in order DIR/1.jpg DIR/2.jpg DIR/pairs.csv (above,below)
  signals        DIR/quiet/1.npy DIR/loud/1.npy"""
"""What a message shows for a folder that nothing reads."""


@dataclasses.dataclass(frozen=True)
class Description:
    """The content of a folder.

    Attributes:
      path: the folder.
      kind: the source that reads it, with the reason.
      splits: number of images, or of pairs in order, in each split that the folder has; `all` without splits.
      classes: number of objects of each class; of images for a folder of classes; for masks, the share of the pixels of
        up to 50 masks.
      rare: classes with fewer than 20 objects or images, or with less than a thousandth of the pixels.
      sizes: smallest, median and largest height and width of the images.
      objects: fewest, median and most objects of a photo, and the number of photos without any; None without objects.
      boxes: median height and width of the boxes of each class in pixels; None without boxes.
      notes: what was left out, repaired or looks wrong.
      draw: function that draws a contact sheet of nine photos spread over the folder; None without annotations.
    """

    path: Path
    kind: Kind
    splits: dict[str, int]
    classes: dict[str, float]
    rare: tuple[str, ...]
    sizes: dict[str, tuple[int, int]]
    objects: dict[str, float] | None
    boxes: dict[str, tuple[float, float]] | None
    notes: tuple[str, ...]
    draw: "Callable[[], Figure] | None"

    def to_json(self) -> dict[str, Any]:
        """Returns the description as JSON types."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("path", "kind", "draw")]
        kind = self.kind._asdict() | {"others": list(self.kind.others)}
        values = {name: getattr(self, name) for name in names}
        values |= {"rare": list(self.rare), "notes": list(self.notes)}
        return {"path": str(self.path), "read_as": kind.pop("source"), **kind, **values}


def describe(
    path: str | Path,
    *,
    task: str | None = None,
    format: str | None = None,
    annotations: str | None = None,
    photos: str | None = None,
    label: str | None = None,
) -> Description:
    """Describes what a folder holds, without decoding its photos.

    Args:
      path: the folder, or its address.
      task: name of the task, which steers what the folder is read as.
      format: name of the annotation format, where the folder holds several.
      annotations: name of the folder of annotations (or of the one file) within it.
      photos: name of the folder of photos within it.
      label: name of the attribute or column that holds the class, where the format leaves it open.

    Raises:
      ValueError: nothing reads the folder: the message says what was looked for and shows the smallest layouts; or an
        annotation is wrong.
    """
    root = local(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with images and their annotations")
    kind = kind_of(root, task)
    if format or annotations or photos:
        kind = Kind("outlines" if task == "segmentation" else "boxes", format, "named by an option")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        if kind.source == "pairs":
            parts = _of_masks(root)
        elif kind.source == "folder":
            parts = _of_classes(root)
        elif kind.source == "comparisons":
            parts = _of_comparisons(root)
        elif kind.source == "signals":
            parts = of_signals(root)
        elif kind.source == "pack":
            parts = of_pack(root)
        else:
            records = read_annotations(
                root, format=format or kind.format, annotations=annotations, photos=photos, label=label
            )
            parts = _of_objects(root, records, masks=task == "segmentation")
    notes = [*map(str, (warning.message for warning in told if issubclass(warning.category, UserWarning)))]
    return Description(root, kind, notes=(*notes, *parts.pop("notes", ())), **parts)


def _of_objects(root: Path, records, *, masks: bool) -> dict[str, Any]:
    """Describes annotated photos."""
    photos: list[Objects] = records.objects
    classes = class_table(photos, records.classes)
    count = Counter(name for photo in photos for name in photo.names)
    number, repaired, sides = [], Counter(), {name: [] for name in classes}
    readable = [photo for photo in photos if photo.size is not None]
    for photo in readable:
        mended = mend(photo.boxes, photo.size)
        repaired.update(mended.counts)
        number.append(int(mended.keep.sum()))
        for name, box in zip(photo.names, mended.boxes, strict=True):
            sides[name].append((box[3] - box[1], box[2] - box[0]))
    notes = notes_on(records)
    notes += [f"{counted(value, 'box')} {reason}" for reason, value in repaired.items() if value]
    notes += _unreadable([photo.photo for photo in photos if photo.size is None], len(photos))
    outlined = sum(outline is not None for photo in photos for outline in photo.outlines or ())
    notes.append(f"{outlined:,} of {count.total():,} objects have an outline")
    objects = {"fewest": min(number), "median": float(np.median(number)), "most": max(number), "none": number.count(0)}
    named = mask_classes(classes) if masks else classes
    return {
        "splits": dict(Counter(records.split or ["all"] * len(photos))),
        "classes": {name: count[name] for name in classes},
        "rare": tuple(name for name in classes if count[name] < RARE),
        "sizes": _sizes([photo.size for photo in readable]),
        "objects": objects if number else None,
        "boxes": {name: tuple(np.round(np.median(rows, 0), 1).tolist()) for name, rows in sides.items() if rows},
        "notes": notes,
        "draw": lambda: _sheet([_annotated(photo, classes, masks) for photo in _spread(readable)], named),
    }


def _annotated(photo: Objects, classes: tuple[str, ...], masks: bool) -> Annotated | None:
    """Returns a photo with its boxes, or with its mask, at the size of the contact sheet; None if it is damaged."""
    size = _shrunk(photo.size)
    scale = np.tile([size[1] / photo.size[1], size[0] / photo.size[0]], 2)
    mask = None
    if photo.outlines is not None and photo.size[0] * photo.size[1] <= _LONGEST:
        mask = draw_mask(photo, mask_classes(classes))[nearest(photo.size, size)]
    numbers = [classes.index(name) for name in photo.names[:_DRAWN]]
    boxes = (photo.boxes[:_DRAWN] * scale, numbers)
    return _photo(photo.photo, size, *(boxes if not masks else (np.zeros((0, 4)), [])), mask)


def _of_masks(root: Path) -> dict[str, Any]:
    """Describes images with masks; the pixels of each class are counted in up to 50 masks."""
    pairs = list_masks(root)
    listed = [pair for own in pairs.values() for pair in own]
    if not listed:
        raise ValueError(f"{root} holds no image with a mask; looked for {expected_masks()}\n{LAYOUTS}")
    table = mask_table(root)
    chosen = _spread(listed, SAMPLED)
    codes = [read_codes(mask, table) for _, mask in chosen]
    table = table or guess_classes(
        {str(m): set(np.unique(c).tolist()) for (_, m), c in zip(chosen, codes, strict=True)}
    )
    classes = [to_classes(code, table, str(mask)) for (_, mask), code in zip(chosen, codes, strict=True)]
    pixels = sum(np.bincount(mask[mask >= 0], minlength=len(table.names)) for mask in classes)
    total = max(1, int(pixels.sum()))
    shares = {name: float(n) / total for name, n in zip(table.names, pixels, strict=True)}
    notes = [f"the pixels of {len(chosen):,} of {len(listed):,} masks are counted"] if len(chosen) < len(listed) else []
    if other := [i for (i, _), mask in zip(chosen, classes, strict=True) if photo_size(i) not in (None, mask.shape)]:
        notes.append(f"{other[0]} has another size than its mask")
    measured = {image: photo_size(image) for image, _ in listed}
    notes += _unreadable([image for image, size in measured.items() if size is None], len(measured))
    drawn = dict(zip([image for image, _ in chosen], classes, strict=True))
    return {
        "splits": {split: len(own) for split, own in pairs.items()},
        "classes": shares,
        "rare": tuple(name for name, share in shares.items() if share < 0.001),
        "sizes": _sizes([size for size in measured.values() if size is not None]),
        "objects": None,
        "boxes": None,
        "notes": notes,
        "draw": lambda: _sheet([_masked(*item) for item in _spread([*drawn.items()])], table.names),
    }


def _masked(image: Path, mask: np.ndarray) -> Annotated | None:
    size = _shrunk(mask.shape)
    return _photo(image, size, np.zeros((0, 4)), [], mask[nearest(mask.shape, size)])


def _of_classes(root: Path) -> dict[str, Any]:
    """Describes a folder of classes, or one with `targets.csv`."""
    try:
        listing = list_folder(root)
    except ValueError as error:
        raise ValueError(f"{error}; also looked for {expected_annotations()}; {expected_masks()}\n{LAYOUTS}") from error
    column, classes = listing.columns.get("label"), listing.counts()
    names = listing.names.tolist()
    measured = {name: photo_size(root / name) for name in _spread(names, 1000)}
    shown = _spread([(name, "" if column is None else listing.classes[column[i]]) for i, name in enumerate(names)])
    return {
        "splits": listing.split_counts(),
        "classes": classes,
        "rare": listing.rare(),
        "sizes": _sizes([size for size in measured.values() if size is not None]),
        "objects": None,
        "boxes": None,
        "notes": _unreadable([root / name for name, size in measured.items() if size is None], len(measured)),
        "draw": lambda: _sheet([_titled(root / name, title) for name, title in shown], ()),
    }


def _of_comparisons(root: Path) -> dict[str, Any]:
    """Describes photos of which `pairs.csv` says which of two is above; the sheet begins with what is above most."""
    listing = read_comparisons(root)
    number = len(listing.photos)
    above, below = (np.bincount(column, minlength=number) for column in listing.pairs.T)
    times = above + below
    measured = {name: photo_size(root / name) for name in _spread(listing.photos.tolist(), 1000)}
    order = np.argsort(-above / times, kind="stable").tolist()
    shown = _spread([(listing.photos[i], f"above in {above[i]} of {times[i]}") for i in order])
    notes = [f"{counted(number, 'photo')}, in {times.min():,} to {times.max():,} pairs, median {np.median(times):g}"]
    notes += [*listing.remarks()]
    return {
        "splits": dict(Counter(["all"] * len(listing.pairs) if listing.split is None else listing.split.tolist())),
        "classes": {},
        "rare": (),
        "sizes": _sizes([size for size in measured.values() if size is not None]),
        "objects": None,
        "boxes": None,
        "notes": notes + _unreadable([root / name for name, size in measured.items() if size is None], len(measured)),
        "draw": lambda: _sheet([_titled(root / name, title) for name, title in shown], ()),
    }


def _unreadable(files: Sequence[Path], number: int) -> list[str]:
    """Returns a sentence that names the first of the files that are no images, out of a number of files."""
    if not files:
        return []
    counted = "1 cannot" if len(files) == 1 else f"{len(files):,} cannot"
    return [f"of {number:,} files {counted} be read as an image, such as {files[0]}; repair or remove it"]


def _titled(path: Path, title: str) -> Annotated | None:
    size = photo_size(path)
    photo = None if size is None else _photo(path, _shrunk(size), np.zeros((0, 4)), [], None)
    return photo and photo._replace(title=f"{title}: {photo.title}" if title else photo.title)


def _photo(path: Path, size: tuple[int, int], boxes: np.ndarray, classes: Sequence[int], mask) -> Annotated | None:
    """Returns a photo of the contact sheet; None if it cannot be read."""
    try:
        return Annotated(read_pixels(path, size=size, channels=3), path.name, boxes, classes, mask)
    except ImageError:
        return None


def _sheet(photos: Sequence[Annotated | None], classes: Sequence[str]) -> "Figure":
    from cnnlab.plots.contact_sheet import contact_sheet

    shown = [photo for photo in photos if photo is not None]
    if not shown:
        raise ValueError("none of the photos for the contact sheet can be read")
    return contact_sheet(shown, classes)


def _shrunk(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, _SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _spread(items: Sequence, number: int = SHEET) -> list:
    """Returns up to `number` items spread evenly over all.

    >>> _spread([0, 1, 2, 3, 4], 3)
    [0, 2, 4]
    """
    places = np.unique(np.linspace(0, len(items) - 1, min(len(items), number)).astype(int)) if len(items) else []
    return [items[place] for place in places]


def _sizes(sizes: Sequence[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Returns the smallest, the median and the largest size, by the number of pixels."""
    ordered = sorted(sizes, key=lambda size: size[0] * size[1])
    places = {"smallest": 0, "median": len(ordered) // 2, "largest": -1} if ordered else {}
    return {name: ordered[place] for name, place in places.items()}
