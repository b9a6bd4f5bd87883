"""Folders of images and masks that share their stems: `DIR/images` and `DIR/masks`, also in a folder per split."""

from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout
from cnnlab.data.targets import SPLITS
from cnnlab.files.listing import SUFFIXES, list_files, stem_below, warn_left_out


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
        by_stem: dict[str, Path] = {}
        for file in files.images:
            if (other := by_stem.setdefault(stem_below(file, place), file)) != file:
                raise ValueError(f"{other} and {file} have one name and two suffixes; keep one of them")
        folders.append(by_stem)
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
    return {"train": match_stems(root / images, root / masks)}


def _split_holds(root: Path, images: str, masks: str) -> bool:
    return _holds(root / "train", images, masks)


def _split_pairs(root: Path, images: str, masks: str) -> dict[str, list[tuple[Path, Path]]]:
    parts = {split: root / name for name, split in SPLITS.items() if (root / name / images).is_dir()}
    return {split: match_stems(place / images, place / masks) for split, place in parts.items()}


LAYOUT = MaskLayout("{images} and {masks}", _holds, _pairs)
SPLIT_LAYOUT = MaskLayout("the two in train, valid and test", _split_holds, _split_pairs)
