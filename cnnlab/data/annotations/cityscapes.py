"""Cityscapes' class masks: `*_labelIds.png`, with the benchmark's 19 classes; all other labels are ignored.

Source: Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, and its label
definitions.
"""

from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout, Pairs
from cnnlab.data.annotations.survey import Survey, split_of
from cnnlab.data.masks import ClassTable

_MASK, _KINDS, _PHOTO = "_labelIds", ("_gtFine", "_gtCoarse"), "_leftImg8bit"

CLASSES = {
    **{7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light"},
    **{20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car"},
    **{27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle"},
}
"""The classes that the benchmark evaluates, by their id in `labelIds`."""
_LAST, _PLATE = 33, 255


def _holds(found: Survey, images: str | None, masks: str | None) -> bool:
    return any(path.stem.endswith(_MASK) for path in found.images)


def _pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    """Lists each mask with the photo of its city, sequence and frame; the folder above says its split."""
    photos = {path.stem.removesuffix(_PHOTO): path for path in found.images if path.stem.endswith(_PHOTO)}
    pairs: Pairs = {}
    for mask in found.images:
        if not mask.stem.endswith(_MASK):
            continue
        name = mask.stem.removesuffix(_MASK)
        for kind in _KINDS:
            name = name.removesuffix(kind)
        if (photo := photos.get(name)) is None:
            raise ValueError(f"{mask} has no photo {name}{_PHOTO}.png below {found.root}; add it or remove the mask")
        pairs.setdefault(split_of(mask, found.root) or "train", []).append((photo, mask))
    return pairs


def _table(root: Path) -> ClassTable:
    ignored = dict.fromkeys([*range(_LAST + 1), _PLATE], -1)
    return ClassTable(tuple(CLASSES.values()), ignored | {code: k for k, code in enumerate(CLASSES)}, False)


LAYOUT = MaskLayout(
    "cityscapes", "leftImg8bit and gtFine with *_labelIds.png (Cityscapes)", _holds, _pairs, table=_table
)
