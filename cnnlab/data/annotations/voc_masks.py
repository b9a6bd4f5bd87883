"""Pascal VOC's class masks: one palette PNG per photo, in which 255 marks the ignored borders of objects.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit.
"""

from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout
from cnnlab.data.annotations.survey import find_photo, survey
from cnnlab.data.annotations.voc import read_lists
from cnnlab.files.listing import by_stem, list_files

_LISTS, _MASKS, _PHOTOS = "ImageSets/Segmentation", "SegmentationClass", "JPEGImages"


def _holds(root: Path, images: str, masks: str) -> bool:
    """Returns whether the folder has masks and lists of photos.

    The lists are necessary, because photos without a mask are in the same folder as the others.
    """
    return (root / _MASKS).is_dir() and any((root / _LISTS).glob("*.txt"))


def _pairs(root: Path, images: str, masks: str) -> dict[str, list[tuple[Path, Path]]]:
    """Lists the photos and masks of `train.txt`, `val.txt` and `test.txt`; VOC's folder names are fixed."""
    pairs: dict[str, list[tuple[Path, Path]]] = {}
    masks_of = by_stem(list_files(root / _MASKS).images, root / _MASKS)
    photos = survey(root / _PHOTOS)
    for name, split in read_lists(root / _LISTS, masks_of).items():
        if (mask := masks_of.get(name)) is None:
            missing = root / _MASKS / f"{name}.png"
            raise ValueError(f"{root / _LISTS} names a mask that is missing: {missing}; add it or remove the line")
        photo = find_photo(photos, name, str(root / _LISTS), [root / _PHOTOS])
        pairs.setdefault(split, []).append((photo, mask))
    return pairs


LAYOUT = MaskLayout("voc", f"{_PHOTOS} and {_MASKS} with {_LISTS}/*.txt", _holds, _pairs, beside_boxes=True)
