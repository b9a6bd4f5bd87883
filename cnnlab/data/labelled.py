"""Labelled folders that a trained network is measured on: other data than its own, of the same classes."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.annotations import Objects, list_masks, mask_table, read_annotations
from cnnlab.data.annotations.drawing import BACKGROUND, BORDER, DrawnMasks, mask_classes
from cnnlab.data.columns import Columns
from cnnlab.data.comparisons import pair_columns, read_comparisons
from cnnlab.data.dataset import Dataset, Examples
from cnnlab.data.masks import ClassTable, distinct, guess_classes, read_codes
from cnnlab.data.pack import pixel_bytes, read_files, read_pack, read_split
from cnnlab.data.ragged import take_rows
from cnnlab.data.recordings import check_channels, read_recordings
from cnnlab.data.sources.annotated import annotated_image, map_columns
from cnnlab.data.sources.detection_folder import box_columns, photo_names
from cnnlab.data.sources.folder import list_labelled
from cnnlab.data.sources.kind import kind_of
from cnnlab.data.sources.signals import cut_windows, list_signals
from cnnlab.data.spec import InputSpec
from cnnlab.data.streaming import ImageFiles
from cnnlab.data.targets import Listing
from cnnlab.data.windows import tiled_places, windows
from cnnlab.errors import unknown
from cnnlab.files.copying import local
from cnnlab.files.reduced import JPEGS
from cnnlab.files.strict_json import shown

Options = Mapping[str, Any]
"""Options of the source of the run's own data, of which a reader takes those that it knows."""


def labelled_folder(path: str | Path, spec: InputSpec, *, split: str, task: str, options: Options) -> Dataset:
    """Reads a folder of labelled images for a trained network; its classes are matched by name, in any order.

    A folder with several splits gives the split that was asked for, a folder without splits all its examples. A warning
    names the classes that the folder lacks, and those that the network does not know: their images, boxes or outlines
    are left out, and their pixels ignored.

    Args:
      path: the folder, in any layout that training reads.
      spec: input specification of the network, which decides size, channels and classes.
      split: name of the split.
      task: name of the task.
      options: options of the run's own data; `size`, `window`, `difficult` and the like hold for the folder too.

    Returns:
      A dataset with this split alone.

    Raises:
      ValueError: the folder is missing, lacks the split, or has none of the network's classes.
    """
    root = local(path)
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; give one with labelled images")
    source = kind_of(root, task).source
    examples = _READERS[source](root, spec, split, options)
    if not len(examples):
        raise ValueError(f"{root} has no example of the network's classes in the split {split!r}; choose by --split")
    return Dataset(root.resolve().name, spec, {split: examples})


def _classes(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads a folder of classes, or `targets.csv` with classes, several labels, numbers or strings."""
    columns = _known_columns(root, list_labelled(root), spec, split)
    names = columns["image"]
    return Examples(
        columns | {"image": _images(root, names, spec, options)},
        files=np.array([str(root / name) for name in names], object),
    )


def _signals(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads a folder of signals at the network's rate; longer ones are cut into windows as in training."""
    listing = list_signals(root)
    columns = _known_columns(root, listing, spec, split) if listing.columns else {"image": listing.names}
    read = read_recordings(root, listing, spec.rate)
    check_channels(root / read.names[0], read.samples[0].shape[1], spec)
    if read.clean is not None and read.channels != spec.classes:
        theirs, own = ", ".join(read.channels), ", ".join(spec.classes)
        raise ValueError(f"{root} has clean signals of the channels {theirs}, the network predicts {own}; name them so")
    place = {name: i for i, name in enumerate(listing.names)}
    chosen = [place[name] for name in columns.pop("image")]
    length = spec.size[1]
    columns, files = cut_windows(read, chosen, columns, length, options.get("step") or length)
    return Examples(columns | {"image": columns["image"][..., : spec.channels]}, files=files)


def _known_columns(root: Path, listing: Listing, spec: InputSpec, split: str) -> Columns:
    """Returns the files of a split, as `image`, with what the network knows of their annotations."""
    columns = {"image": listing.names, **listing.columns}
    parts = None if listing.split is None else listing.split.tolist()
    columns = take_rows(columns, _chosen(root, parts, split, len(listing.names)))
    place = np.array([]) if "text" in columns else _places(root, listing.classes, spec.classes)
    if "text" in columns:
        columns["text"] = _known_text(root, columns["text"], listing.classes, spec)
    elif "label" in columns:
        columns["label"] = place[columns["label"]]
        columns = take_rows(columns, np.flatnonzero(columns["label"] >= 0))
        _say_missing(root, spec, {spec.classes[i] for i in columns["label"]})
    else:
        name = "labels" if "labels" in columns else "target"
        known = set(listing.classes) & set(spec.classes)
        if name == "target" and (lacking := [one for one in spec.classes if one not in known]):
            raise ValueError(f"{root} has no numbers of {', '.join(lacking)}, which the network predicts; add them")
        _say_missing(root, spec, known)
        table = np.zeros((len(columns["image"]), len(spec.classes)), columns[name].dtype)
        table[:, place[place >= 0]] = columns[name][:, place >= 0]
        columns[name] = table
    return columns


def _known_text(root: Path, text: np.ndarray, characters: Sequence[str], spec: InputSpec) -> np.ndarray:
    """Returns strings `[n, m]` as indices into the network's alphabet.

    Raises:
      ValueError: a string has a character outside the alphabet.
    """
    alphabet = {character: i for i, character in enumerate(spec.classes)}
    used = [characters[i] for i in np.unique(text[text >= 0])]
    if strange := [character for character in used if character not in alphabet]:
        raise ValueError(
            f"{root} has strings with {' '.join(map(repr, strange))}, outside the network's alphabet "
            f"{''.join(spec.classes)!r}; remove these rows, or train a network with them"
        )
    place = np.array([alphabet.get(character, -1) for character in characters] + [-1], np.int32)
    return place[text]  # -1, padding, is the last place


def _comparisons(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads pairs of photos, of which one is above the other."""
    listing = read_comparisons(root)
    parts = None if listing.split is None else listing.split.tolist()
    chosen = _chosen(root, parts, split, len(listing.pairs))
    files = ImageFiles(root, listing.photos, **spec.layout)
    columns = pair_columns(files, listing.pairs, chosen, in_memory=_fits(2 * len(chosen), spec, options))
    return Examples(columns, files=np.array([str(root / listing.photos[i]) for i in columns["photo"]], object))


def _boxes(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads photos with boxes."""
    photos, left_out = _annotated(root, spec.classes, split, options)
    names, difficult = photo_names(photos, root), bool(options.get("difficult", True))
    columns = box_columns(photos, spec.classes, str(root), spec.size, spec.fit, difficult, left_out)
    files = np.array([str(photo.photo) for photo in photos], object)
    return Examples({"image": _images(root, names, spec, options), **columns}, files=files)


def _outlines(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads photos with outlines, which are drawn as masks."""
    border = int(options.get("border", 0)) if BORDER in spec.classes else 0
    objects = tuple(name for name in spec.classes if name != BACKGROUND and not (border and name == BORDER))
    photos, _ = _annotated(root, objects, split, options)
    if mask_classes(objects, border) != spec.classes:
        raise ValueError(
            f"{root} has outlines, whose first class is {BACKGROUND}; the network's are {', '.join(spec.classes)}: "
            "give a folder with masks"
        )
    target, drawing = _target(spec, options), {"order": options.get("order", "size"), "border": border}
    images, masks = [], []
    for photo in photos:
        images.append(ImageFiles(root, photo_names([photo], root), target or photo.size, spec.channels)[0])
        masks.append(DrawnMasks([photo], spec.classes, target, **drawing)[0])
    return _maps(root, images, masks, spec, [photo.photo for photo in photos])


def _masks(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads images with masks."""
    named = {name: options.get(name) for name in ("images", "masks")}
    listed = list_masks(root, **named)
    parts = [part for part, pairs in listed.items() for _ in pairs]
    pairs = [pair for pairs in listed.values() for pair in pairs]
    pairs = [pairs[i] for i in _chosen(root, parts, split, len(pairs))]
    codes, table = [read_codes(mask, mask_table(root, **named)) for _, mask in pairs], mask_table(root, **named)
    if table is None:
        table = guess_classes({str(m): distinct(c) for (_, m), c in zip(pairs, codes, strict=True)}, spec.classes)
    place = _places(root, table.names, spec.classes)
    to_own = {code: int(place[index]) if index >= 0 else -1 for code, index in table.codes.items()}
    table = ClassTable(spec.classes, to_own, table.coloured)
    size = _target(spec, options) or "auto"
    read = [annotated_image(*pair, own, table, size, spec.channels) for pair, own in zip(pairs, codes, strict=True)]
    images, masks = zip(*read, strict=True)
    _say_missing(root, spec, {spec.classes[i] for mask in masks for i in distinct(np.maximum(mask, 0))})
    return _maps(root, images, masks, spec, [image for image, _ in pairs])


def _packed(root: Path, spec: InputSpec, split: str, options: Options) -> Examples:
    """Reads a split of a pack, whose images and classes must be those of the network."""
    stored = read_pack(root)
    for name in ("size", "channels", "fit", "classes", "values", "rate"):
        own, theirs = getattr(spec, name), getattr(stored.spec, name)
        if own != theirs:
            raise ValueError(
                f"{root} was packed with the {name} {shown(theirs)}, the network needs {shown(own)}; pack the folder "
                "again with the options of its training, or give the folder"
            )
    parts = {part.name: part for part in stored.splits}
    if split not in parts:
        raise ValueError(f"{root} has no split {split!r}; it has {', '.join(parts)}: choose by --split")
    if stored.spec.decoding != spec.decoding and _may_be_jpegs(read_files(root, parts[split])):
        raise ValueError(
            f"{root} was packed with --data.decoding {stored.spec.decoding} and the network was trained with "
            f"{spec.decoding}, so the values of large JPEGs differ; pack the folder again with --data.decoding "
            f"{spec.decoding}, or give the folder"
        )
    return read_split(root, parts[split], in_memory=pixel_bytes(stored) <= options.get("memory_megabytes", 1000) * 1e6)


def _may_be_jpegs(files: Sequence[str] | None) -> bool:
    """Returns whether some files may be JPEGs, whose values depend on how they are decoded; None are unknown ones."""
    return files is None or any(Path(file).suffix.lower() in JPEGS for file in files)


_READERS: dict[str, Callable[[Path, InputSpec, str, Options], Examples]] = {
    "folder": _classes,
    "boxes": _boxes,
    "outlines": _outlines,
    "pairs": _masks,
    "comparisons": _comparisons,
    "signals": _signals,
    "pack": _packed,
}
"""The reader of each source that `kind_of` knows."""


def _chosen(root: Path, parts: Sequence[str] | None, split: str, n: int) -> np.ndarray:
    """Returns the indices of the examples of a split; of all, if the folder has one split or none."""
    if parts is None or len(set(parts)) == 1:
        return np.arange(n)
    if split not in parts:
        raise ValueError(f"{root} has no split {split!r}; it has {', '.join(sorted(set(parts)))}: choose by --split")
    return np.flatnonzero(np.array(parts) == split)


def _places(root: Path, names: Sequence[str], known: Sequence[str]) -> np.ndarray:
    """Returns the place of each name among the network's classes, -1 for unknown names, which a warning lists."""
    place = {name: i for i, name in enumerate(known)}
    strange = [name for name in names if name not in place]
    if len(strange) == len(names):
        raise ValueError(f"{root} has none of the network's classes: {unknown('class', strange[0], known)}")
    if strange:
        hint = unknown("class", strange[0], known)
        warnings.warn(f"{root}: left out what the network does not know ({', '.join(strange)}); {hint}", stacklevel=5)
    return np.array([place.get(name, -1) for name in names], np.int32)


def _say_missing(root: Path, spec: InputSpec, found: set[str]) -> None:
    """Warns of the network's classes that do not occur."""
    if missing := [name for name in spec.classes if name not in found]:
        warnings.warn(f"{root} has no example of {', '.join(missing)}, so nothing measures it", stacklevel=5)


def _annotated(root: Path, known: Sequence[str], split: str, options: Options) -> tuple[list[Objects], dict[str, int]]:
    """Reads the photos of a split with the objects of known classes."""
    records = read_annotations(root, label=options.get("label"))
    photos = [records.objects[i] for i in _chosen(root, records.split, split, len(records.objects))]
    for photo in photos:
        if photo.size is None:
            raise ValueError(f"cannot read {photo.photo} as an image; repair or remove it and its annotation")
    names = sorted({name for photo in photos for name in photo.names})
    if names:
        _places(root, names, known)
    if missing := [name for name in known if name not in names]:
        warnings.warn(f"{root} has no object of {', '.join(missing)}, so nothing measures it", stacklevel=4)
    return [_only(photo, set(known)) for photo in photos], records.left_out


def _only(photo: Objects, known: set[str]) -> Objects:
    """Returns a photo with only its objects of known classes."""
    keep = [i for i, name in enumerate(photo.names) if name in known]
    if len(keep) == len(photo.names):
        return photo
    flags = {key: getattr(photo, key) for key in ("difficult", "crowd", "area")}
    flags = {key: values if values is None else values[keep] for key, values in flags.items()}
    outlines = photo.outlines and tuple(photo.outlines[i] for i in keep)
    return photo._replace(
        boxes=photo.boxes[keep], names=tuple(photo.names[i] for i in keep), outlines=outlines, **flags
    )


def _images(root: Path, names: np.ndarray, spec: InputSpec, options: Options) -> np.ndarray | ImageFiles:
    """Returns the images in the network's size, in memory if they fit there."""
    files = ImageFiles(root, names, **spec.layout)
    return files[:] if _fits(len(names), spec, options) else files


def _fits(n: int, spec: InputSpec, options: Options) -> bool:
    """Returns whether n images stay in memory."""
    return n * np.prod(spec.shape) <= options.get("memory_megabytes", 1000) * 1_000_000


def _target(spec: InputSpec, options: Options) -> tuple[int, int] | None:
    """Returns the size to which images with masks are resized; None if the network learnt them in their own size."""
    size = options.get("size", "auto")
    return spec.size if size != "auto" and options.get("window") is None else None


def _maps(
    root: Path, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], spec: InputSpec, files: Sequence[Path]
) -> Examples:
    """Returns images with masks as examples; images of another size than the network's are tiled with its windows."""
    columns: Columns = map_columns(images, masks, 0.0)
    if all(mask.shape == spec.size for mask in masks):
        named = np.array([str(file) for file in files], object)
        return Examples({name: np.stack(list(column)) for name, column in columns.items()}, files=named)
    regions = [(0, 0, *mask.shape) for mask in masks]
    try:
        places = tiled_places(regions, spec.size)
    except ValueError as error:
        raise ValueError(f"an image of {root} is smaller than the network's {spec.size}: {error}") from error
    return windows({name: list(column) for name, column in columns.items()}, places, spec.size, once=True)
