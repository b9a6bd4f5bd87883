"""The tables of annotation formats and mask layouts, and which of them a folder is in.

A new format or layout is a file beside this one and a line in its table.
"""

from pathlib import Path

from cnnlab.data.annotations import coco, mask_folders, voc, voc_masks, yolo
from cnnlab.data.annotations.format import Format, MaskLayout
from cnnlab.data.annotations.record import Annotations

FORMATS: tuple[Format, ...] = (voc.FORMAT, coco.FORMAT, yolo.FORMAT)
"""The formats of boxes. A folder is in the first one that finds its files."""

MASK_LAYOUTS: tuple[MaskLayout, ...] = (mask_folders.LAYOUT, mask_folders.SPLIT_LAYOUT, voc_masks.LAYOUT)
"""The layouts of masks. A folder is in the first one that finds its files."""


def find_format(root: Path, annotations: str | None = None) -> str | None:
    """Returns the name of the folder's format, by the files in it (or in `annotations`, if given); None without one.

    >>> find_format(Path("no/such/folder"))
    """
    return next((one.name for one in FORMATS if one.finds(root, annotations)), None)


def read_annotations(root: Path, *, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads the annotations of a folder.

    Args:
      root: the folder.
      annotations: the folder of annotations (or the one JSON file) within it, if it has another name.
      photos: the folder of photos within it, if it has another name.

    Raises:
      ValueError: the folder is in none of the formats, a file is wrong, or a photo is annotated twice.
    """
    for name in (annotations, photos):
        if name is not None and not (root / name).exists():
            raise ValueError(f"{root / name} does not exist; name a folder within {root}")
    form = next((one for one in FORMATS if one.finds(root, annotations)), None)
    if form is None:
        where = root if annotations is None else root / annotations
        raise ValueError(f"{where} holds no annotations; looked for {_either(one.layout for one in FORMATS)}")
    found = form.read(root, annotations, photos)
    sources: dict[Path, str] = {}
    for one in found.objects:
        if one.photo in sources:
            raise ValueError(f"{one.photo} is annotated twice, by {sources[one.photo]} and {one.source}; keep one")
        sources[one.photo] = one.source
    return found


def holds_masks(root: Path, images: str = "images", masks: str = "masks") -> bool:
    """Returns whether a folder holds images with masks, and is not, as VOC's may be, one of boxes too."""
    layout = _mask_layout(root, images, masks)
    return layout is not None and not (layout.beside_boxes and find_format(root))


def list_masks(root: Path, images: str = "images", masks: str = "masks") -> dict[str, list[tuple[Path, Path]]]:
    """Lists the image and the mask of each example, by split; a folder without splits is all `train`.

    Args:
      root: the folder.
      images: the name of the folder of images.
      masks: the name of the folder of masks.

    Raises:
      ValueError: the folder is in none of the layouts, or a file has no partner.
    """
    layout = _mask_layout(root, images, masks)
    if layout is None:
        wanted = _either(one.layout.format(images=images, masks=masks) for one in MASK_LAYOUTS)
        raise ValueError(f"{root} holds no images with masks; looked for {wanted}")
    return layout.pairs(root, images, masks)


def _mask_layout(root: Path, images: str, masks: str) -> MaskLayout | None:
    return next((one for one in MASK_LAYOUTS if one.finds(root, images, masks)), None)


def _either(layouts) -> str:
    """Joins the layouts for a message.

    >>> _either(["a", "b", "c"])
    'a, b, or c'
    """
    *first, last = layouts
    return f"{', '.join(first)}, or {last}"
