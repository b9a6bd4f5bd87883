"""Folders of images and masks that share their stems, under the names that people and tools give them."""

from collections.abc import Iterable
from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout, Pairs
from cnnlab.data.annotations.survey import Survey
from cnnlab.data.targets import SPLITS, check_split_names
from cnnlab.files.listing import SUFFIXES, by_stem, list_files, stem_below, warn_left_out

IMAGES = ("images", "image", "imgs", "img", "photos")
MASKS = ("masks", "mask", "gt", "labels", "label", "annotations", "annotation", "ground_truth")
ENDINGS = ("annot", "_masks", "_mask", "_labels", "_gt")
"""What the folder of a split's masks has behind the split's name: `train` and `trainannot`."""
_FILE_ENDINGS = ("_mask", "-mask", "_masks", "_gt", "_label", "_labels", "_seg", "_segmentation")


def match_stems(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pairs the image and mask files that share a stem, sorted by stem; a mask's may end in `_mask` or the like.

    Raises:
      ValueError: a folder is missing or empty, a file has no partner, or two files of a folder share a stem; the
        message names them.
    """
    folders = []
    for place in (images, masks):
        if not place.is_dir():
            raise ValueError(f"{place} is no folder; images and masks lie in two folders, paired by their names")
        files = list_files(place)
        warn_left_out(place, files.others)
        folders.append(by_stem(files.images, place))
    if folders[0] and not set(folders[0]) & set(folders[1]):
        folders[1] = {_without_ending(stem): file for stem, file in folders[1].items()}
    unmatched = [str(f) for a, b in (folders, folders[::-1]) for stem, f in a.items() if stem not in b]
    if unmatched:
        names = ", ".join(unmatched[:20]) + (f" and {len(unmatched) - 20} more" if len(unmatched) > 20 else "")
        raise ValueError(f"files without a partner of the same name in {images} and {masks}: {names}")
    if not folders[0]:
        raise ValueError(f"{images} holds no image; looked for {', '.join(SUFFIXES)}")
    return [(folders[0][stem], folders[1][stem]) for stem in sorted(folders[0])]


def _without_ending(stem: str) -> str:
    """Returns a stem without `_mask` or the like.

    >>> _without_ending("night/a_mask"), _without_ending("a")
    ('night/a', 'a')
    """
    return next((stem.removesuffix(ending) for ending in _FILE_ENDINGS if stem.endswith(ending)), stem)


def _folders(root: Path, images: str | None, masks: str | None) -> tuple[Path, Path] | None:
    """Returns the folders of images and masks in a folder: those of the given or the usual names; None without them.

    A folder under a usual name has to hold an image, because `labels` and `annotations` may hold text.
    """
    pictures = [root / name for name in ((images,) if images else IMAGES) if (root / name).is_dir()]
    marks = [root / name for name in ((masks,) if masks else MASKS) if (root / name).is_dir()]
    marks = [folder for folder in marks if masks or folder.name == MASKS[0] or list_files(folder).images]
    return (pictures[0], marks[0]) if pictures and marks else None


def _holds(found: Survey, images: str | None, masks: str | None) -> bool:
    return _folders(found.root, images, masks) is not None


def _pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    place, mask_place = _folders(found.root, images, masks)
    check_split_names(place)
    if not (place / "train").is_dir():
        return {"train": match_stems(place, mask_place)}
    others = [path for path in list_files(place).images if path.relative_to(place).parts[0] not in SPLITS]
    warn_left_out(place, others, kind="image of a split")
    return _of_splits((split, place / name, mask_place / name) for name, split in SPLITS.items())


def _of_splits(folders: Iterable[tuple[str, Path, Path]]) -> Pairs:
    """Returns the pairs of each split from its folders of images and masks."""
    pairs: Pairs = {}
    for split, images, masks in folders:
        if images.is_dir():
            pairs.setdefault(split, []).extend(match_stems(images, masks))
    return pairs


def _split_holds(found: Survey, images: str | None, masks: str | None) -> bool:
    return _folders(found.root / "train", images, masks) is not None


def _split_pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    check_split_names(root := found.root)
    places = {name: _folders(root / name, images, masks) for name in SPLITS if (root / name).is_dir()}
    if missing := [name for name, folders in places.items() if folders is None and list_files(root / name).images]:
        raise ValueError(f"{root / missing[0]} lacks its folder of images or of masks; train has both")
    return _of_splits((SPLITS[name], *folders) for name, folders in places.items() if folders)


def _beside_splits(root: Path) -> list[tuple[str, Path, Path]]:
    """Returns each split with its folder of images and the folder of its masks beside it."""
    folders = [(split, root / name, root / f"{name}{end}") for name, split in SPLITS.items() for end in ENDINGS]
    return [(split, images, masks) for split, images, masks in folders if images.is_dir() and masks.is_dir()]


def _annot_holds(found: Survey, images: str | None, masks: str | None) -> bool:
    return any(split == "train" for split, *_ in _beside_splits(found.root))


def _annot_pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    return _of_splits(_beside_splits(found.root))


def _file_pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    """Returns the photos beside which lies a file of the same stem with `_mask` or the like; others are named."""
    root, files = found.root, by_stem(found.images, found.root)
    pairs: Pairs = {}
    for stem, mask in files.items():
        if (image := files.get(_without_ending(stem))) is not None and image != mask:
            part = mask.relative_to(root).parts[0]
            pairs.setdefault(SPLITS.get(part, "train"), []).append((image, mask))
    used = {path for listed in pairs.values() for pair in listed for path in pair}
    if others := [path for path in files.values() if path not in used]:
        warn_left_out(root, others, kind="photo with a mask beside it")
    return pairs


def _file_holds(found: Survey, images: str | None, masks: str | None) -> bool:
    marks = [path for path in found.images if path.stem.endswith(_FILE_ENDINGS)]
    return any(_without_ending(stem_below(path, found.root)) in found.paths for path in marks)


LAYOUTS = (
    MaskLayout("folders", "{images} and {masks}", _holds, _pairs),
    MaskLayout("folders by split", "the two in train, valid and test", _split_holds, _split_pairs),
    MaskLayout("annot", "train and trainannot or train_masks", _annot_holds, _annot_pairs),
    MaskLayout("beside", "a.jpg and a_mask.png", _file_holds, _file_pairs),
)
