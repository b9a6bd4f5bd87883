"""The tables of annotation formats and mask layouts, and the detection of a folder's format.

A new format or layout needs a file beside this one and an entry in its table.
"""

from pathlib import Path

from cnnlab.data.annotations import coco, mask_folders, voc, voc_masks, yolo
from cnnlab.data.annotations.format import Format, MaskLayout
from cnnlab.data.annotations.record import Annotations
from cnnlab.files.listing import list_files, warn_left_out

FORMATS: tuple[Format, ...] = (voc.FORMAT, coco.FORMAT, yolo.FORMAT)
"""The formats of boxes. The first format whose files a folder has applies."""

MASK_LAYOUTS: tuple[MaskLayout, ...] = (mask_folders.LAYOUT, mask_folders.SPLIT_LAYOUT, voc_masks.LAYOUT)
"""The layouts of masks. The first layout whose files a folder has applies."""


def find_format(root: Path, annotations: str | None = None) -> str | None:
    """Returns the name of a folder's annotation format, judged by its files (or by those in `annotations`), or None.

    >>> find_format(Path("no/such/folder"))
    """
    return next((form.name for form in FORMATS if form.finds(root, annotations)), None)


def read_annotations(root: Path, *, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """Reads the annotations of a folder in the first format that matches.

    Args:
      root: the folder.
      annotations: name of the folder of annotations (or of the one JSON file) within it, if it differs from the
        format's.
      photos: name of the folder of photos within it, if it differs from the format's.

    Raises:
      ValueError: the folder is in none of the formats, a file is wrong, or a photo is annotated twice.
    """
    for name in (annotations, photos):
        if name is not None and not (root / name).exists():
            raise ValueError(f"{root / name} does not exist; name a folder within {root}")
    form = next((form for form in FORMATS if form.finds(root, annotations)), None)
    if form is None:
        where = root if annotations is None else root / annotations
        raise ValueError(f"{where} holds no annotations; looked for {_either(form.layout for form in FORMATS)}")
    result = form.read(root, annotations, photos)
    sources: dict[Path, str] = {}
    for entry in result.objects:
        if entry.photo in sources:
            raise ValueError(
                f"{entry.photo} is annotated twice, by {sources[entry.photo]} and {entry.source}; keep one"
            )
        sources[entry.photo] = entry.source
    beside = [path for folder in {photo.parent for photo in sources} for path in list_files(folder, deep=False).images]
    warn_left_out(root, sorted({*beside} - {*sources}), kind="photo that an annotation names")
    return result


def holds_masks(root: Path, images: str = "images", masks: str = "masks") -> bool:
    """Returns whether a folder holds images with masks.

    A folder in VOC's layout that also holds boxes does not count, because it is read as boxes.
    """
    layout = _mask_layout(root, images, masks)
    return layout is not None and not (layout.beside_boxes and find_format(root))


def list_masks(root: Path, images: str = "images", masks: str = "masks") -> dict[str, list[tuple[Path, Path]]]:
    """Lists the image and the mask of each example by split; a folder without splits is all `train`.

    Args:
      root: the folder.
      images: name of the folder of images.
      masks: name of the folder of masks.

    Raises:
      ValueError: the folder is in none of the layouts, or a file has no partner.
    """
    layout = _mask_layout(root, images, masks)
    if layout is None:
        expected = _either(layout.layout.format(images=images, masks=masks) for layout in MASK_LAYOUTS)
        raise ValueError(f"{root} holds no images with masks; looked for {expected}")
    return layout.pairs(root, images, masks)


def _mask_layout(root: Path, images: str, masks: str) -> MaskLayout | None:
    """Returns the first layout whose files a folder has, or None."""
    return next((layout for layout in MASK_LAYOUTS if layout.finds(root, images, masks)), None)


def _either(layouts) -> str:
    """Joins the layouts for a message.

    >>> _either(["a", "b", "c"])
    'a, b, or c'
    """
    *first, last = layouts
    return f"{', '.join(first)}, or {last}"
