"""Pascal VOC's class masks, also as CVAT writes them: one PNG per photo, in which 255 marks the ignored borders.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, and its development kit; CVAT's format
"Segmentation mask" at docs.cvat.ai.
"""

import re
from pathlib import Path

from cnnlab.data.annotations.format import MaskLayout, Pairs
from cnnlab.data.annotations.survey import Survey, find_photo
from cnnlab.data.annotations.voc import read_lists
from cnnlab.data.masks import ClassTable
from cnnlab.files.listing import by_stem, list_files
from cnnlab.files.strict_json import shown
from cnnlab.files.text import read_text

_LISTS, _MASKS, _PHOTOS = "ImageSets/Segmentation", "SegmentationClass", ("JPEGImages", "images", "")
_LABELS = "labelmap.txt"
_VOID = 224 * 65536 + 224 * 256 + 192  # VOC's colour of borders
_LINE = re.compile(r"(?P<name>[^:]+):(?P<r>\d{1,3}),(?P<g>\d{1,3}),(?P<b>\d{1,3}):[^:]*:[^:]*")
MAX_BYTES = 1_000_000


def _holds(found: Survey, images: str | None, masks: str | None) -> bool:
    return masks in (None, _MASKS) and (found.root / _MASKS).is_dir()


def _pairs(found: Survey, images: str | None, masks: str | None) -> Pairs:
    """Lists the photos and masks of `train.txt`, `val.txt` and `test.txt`; without them, the photo of each mask."""
    root, pairs = found.root, {}
    masks_of = by_stem(list_files(root / _MASKS).images, root / _MASKS)
    folders = [root / name for name in _PHOTOS]
    source = str(root / _LISTS) if (root / _LISTS).is_dir() else str(root / _MASKS)
    for name, split in (read_lists(root / _LISTS, masks_of) or dict.fromkeys(masks_of, "train")).items():
        if (mask := masks_of.get(name)) is None:
            missing = root / _MASKS / f"{name}.png"
            raise ValueError(f"{source} names a mask that is missing: {missing}; add it or remove the line")
        pairs.setdefault(split, []).append((find_photo(found, name, source, folders, strict=True), mask))
    return pairs


def read_labels(root: Path) -> ClassTable | None:
    """Reads `labelmap.txt`, in which a line is `name:red,green,blue:parts:actions`; None without this file.

    Raises:
      ValueError: a line has another form, a colour occurs twice, or there is one class only.
    """
    path = root / _LABELS
    if not path.is_file():
        return None
    names: list[str] = []
    codes: dict[int, int] = {}
    for number, line in enumerate(read_text(path, limit=MAX_BYTES, kind="table").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = _LINE.fullmatch(line.strip())
        colour = [int(fields[part]) for part in "rgb"] if fields else [256]
        code = 65536 * colour[0] + 256 * colour[1] + colour[2] if max(colour) < 256 else None
        if code is None or code in codes:
            raise ValueError(
                f"{path} line {number}: must be name:red,green,blue:parts:actions with a colour of its own, found "
                f"{shown(line)}"
            )
        if fields["name"] not in names:
            names.append(fields["name"])
        codes[code] = names.index(fields["name"])
    if len(names) < 2:
        raise ValueError(f"{path} must name two classes or more, found {', '.join(names) or 'none'}")
    return ClassTable(tuple(names), {_VOID: -1} | codes, True)


LAYOUT = MaskLayout(
    "voc",
    f"JPEGImages and {_MASKS}, also with {_LISTS}/*.txt or {_LABELS} (Pascal VOC, CVAT)",
    _holds,
    _pairs,
    beside_boxes=True,
    table=read_labels,
)
