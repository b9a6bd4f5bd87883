"""Folders of images and masks that share their stems: `DIR/images` and `DIR/masks`.

Each may hold a folder per split, or each split's folder holds the two.
"""

from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout
from cnnlab.data.targets import SPLITS, check_split_names
from cnnlab.files.listing import SUFFIXES, by_stem, list_files, warn_left_out


def match_stems(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Pairs the image and mask files that share a stem, sorted by stem.

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
    unmatched = [str(f) for a, b in (folders, folders[::-1]) for stem, f in a.items() if stem not in b]
    if unmatched:
        names = ", ".join(unmatched[:20]) + (f" and {len(unmatched) - 20} more" if len(unmatched) > 20 else "")
        raise ValueError(f"files without a partner of the same name in {images} and {masks}: {names}")
    if not folders[0]:
        raise ValueError(f"{images} holds no image; looked for {', '.join(SUFFIXES)}")
    return [(folders[0][stem], folders[1][stem]) for stem in sorted(folders[0])]


def _holds(root: Path, images: str, masks: str) -> bool:
    return (root / images).is_dir() and (root / masks).is_dir()


def _pairs(root: Path, images: str, masks: str) -> dict[str, list[tuple[Path, Path]]]:
    place, mask_place = root / images, root / masks
    check_split_names(place)
    if not (place / "train").is_dir():
        return {"train": match_stems(place, mask_place)}
    others = [path for path in list_files(place).images if path.relative_to(place).parts[0] not in SPLITS]
    warn_left_out(place, others, kind="image of a split")
    return _of_splits({name: (place / name, mask_place / name) for name in SPLITS})


def _of_splits(folders: dict[str, tuple[Path, Path]]) -> dict[str, list[tuple[Path, Path]]]:
    """Returns the pairs of each split from its folders of images and masks, by the names of splits."""
    pairs: dict[str, list[tuple[Path, Path]]] = {}
    for name, (images, masks) in folders.items():
        if images.is_dir():
            pairs.setdefault(SPLITS[name], []).extend(match_stems(images, masks))
    return pairs


def _split_holds(root: Path, images: str, masks: str) -> bool:
    return _holds(root / "train", images, masks)


def _split_pairs(root: Path, images: str, masks: str) -> dict[str, list[tuple[Path, Path]]]:
    check_split_names(root)
    return _of_splits({name: (root / name / images, root / name / masks) for name in SPLITS})


LAYOUT = MaskLayout("folders", "{images} and {masks}", _holds, _pairs)
SPLIT_LAYOUT = MaskLayout("folders by split", "the two in train, valid and test", _split_holds, _split_pairs)
