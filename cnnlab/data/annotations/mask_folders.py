"""Images and masks in two folders, paired by their stems: `DIR/images`, `DIR/masks`, or the two in a folder a split."""

from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout
from cnnlab.data.targets import SPLITS
from cnnlab.files.images import SUFFIXES


def match_stems(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Returns the files of two folders that share a stem, sorted.

    Raises:
      ValueError: a folder is missing or empty, or files have no partner or two; they are named.
    """
    found = []
    for place in (images, masks):
        if not place.is_dir():
            raise ValueError(f"{place} is no folder; images and masks lie in two folders, paired by their names")
        files = [file for file in sorted(place.iterdir()) if file.suffix.lower() in SUFFIXES]
        by_stem = {file.stem: file for file in files}
        if len(by_stem) < len(files):
            raise ValueError(f"{place} has files of one name and several suffixes; keep one of each")
        found.append(by_stem)
    alone = [str(f) for a, b in (found, found[::-1]) for stem, f in a.items() if stem not in b]
    if alone:
        shown = ", ".join(alone[:20]) + (f" and {len(alone) - 20} more" if len(alone) > 20 else "")
        raise ValueError(f"files without a partner of the same name in {images} and {masks}: {shown}")
    if not found[0]:
        raise ValueError(f"{images} holds no image; looked for {', '.join(SUFFIXES)}")
    return [(found[0][stem], found[1][stem]) for stem in sorted(found[0])]


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
