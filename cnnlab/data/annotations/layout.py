"""The tables of annotation formats and mask layouts, and the detection of a folder's format.

A new format or layout needs a file beside this one and an entry in its table.
"""

import warnings
from pathlib import Path

from cnnlab.data.annotations import (
    cityscapes,
    coco,
    label_studio,
    labelme,
    mask_folders,
    tables,
    via,
    voc,
    voc_masks,
    yolo,
)
from cnnlab.data.annotations.format import Format, MaskLayout, Pairs, Reading
from cnnlab.data.annotations.record import Annotations
from cnnlab.data.annotations.survey import Survey, survey
from cnnlab.data.masks import CLASSES, ClassTable, read_classes
from cnnlab.errors import unknown
from cnnlab.files.listing import warn_left_out

FORMATS: tuple[Format, ...] = (
    *(voc.FORMAT, coco.FORMAT, yolo.FORMAT, labelme.FORMAT, via.FORMAT, label_studio.FORMAT, tables.FORMAT),
)
"""The formats of boxes and outlines. The first format whose files a folder has applies."""

MASK_LAYOUTS: tuple[MaskLayout, ...] = (cityscapes.LAYOUT, voc_masks.LAYOUT, *mask_folders.LAYOUTS)
"""The layouts of masks. The first layout whose files a folder has applies."""


def find_formats(found: Survey, within: Path | None = None) -> dict[str, list[Path]]:
    """Returns the annotation files of each format that a folder holds, by the format's name.

    Args:
      found: the listing of the folder.
      within: the folder or file to which the annotations are restricted; None for the formats' own places.
    """
    files = {form.name: form.find(found, within) for form in FORMATS}
    return {name: own for name, own in files.items() if own}


def find_format(root: Path, annotations: str | None = None) -> str | None:
    """Returns the name of a folder's annotation format, judged by its files (or by those in `annotations`), or None.

    >>> find_format(Path("no/such/folder"))
    """
    return next(iter(find_formats(survey(root), root / annotations if annotations else None)), None)


def read_annotations(
    root: Path,
    *,
    format: str | None = None,
    annotations: str | None = None,
    photos: str | None = None,
    label: str | None = None,
    line_width: float = 10,
) -> Annotations:
    """Reads the annotations of a folder in the first format that matches; a warning names other formats that do.

    Args:
      root: the folder.
      format: name of the format, where a folder holds several.
      annotations: name of the folder of annotations (or of the one file) within it, if it differs from the format's.
      photos: name of the folder of photos within it, if it differs from the format's.
      label: name of the attribute or column that holds the class, where the format leaves it open.
      line_width: width in pixels of lines, which have no area of their own.

    Raises:
      ValueError: the folder is in none of the formats, a file is wrong, or a photo is annotated twice.
    """
    for name in (annotations, photos):
        if name is not None and not _exists_inside(root, name):
            raise ValueError(f"{root / name} does not exist; name a folder within {root}")
    if format is not None and format not in [form.name for form in FORMATS]:
        raise unknown("format", format, [form.name for form in FORMATS])
    found = survey(root)
    within = None if annotations is None else root / annotations
    files = find_formats(found, within)
    name = format or next(iter(files), None)
    if name not in files:
        where = root if within is None else within
        layouts = [form.layout for form in FORMATS if format in (None, form.name)]
        raise ValueError(
            f"{where} holds no annotations{f' of {format}' if format else ''}; looked for {_either(layouts)}. "
            "The smallest layout is images/1.jpg, labels/1.txt and classes.txt"
        )
    if format is None and len(files) > 1:
        _, *others = files
        warnings.warn(
            f"{root} holds annotations of {' and '.join(files)}: reads {name}; "
            f"--data.format {others[0]} reads the other",
            stacklevel=2,
        )
    read = next(form.read for form in FORMATS if form.name == name)
    result = read(found, files[name], Reading(within, root / photos if photos else None, label, line_width))
    sources: dict[Path, str] = {}
    for entry in result.objects:
        if entry.photo in sources:
            raise ValueError(
                f"{entry.photo} is annotated twice, by {sources[entry.photo]} and {entry.source}; keep one"
            )
        sources[entry.photo] = entry.source
    folders = {photo.parent for photo in sources}
    beside = [path for path in found.images if path.parent in folders and path not in sources]
    warn_left_out(root, beside, kind="photo that an annotation names")
    return result


def _exists_inside(root: Path, name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts and (root / name).exists()


def mask_layout(found: Survey, images: str | None = None, masks: str | None = None) -> MaskLayout | None:
    """Returns the first layout of images with masks whose files a folder has, or None.

    Args:
      found: the listing of the folder.
      images: name of the folder of images; None for the usual names.
      masks: name of the folder of masks; None for the usual names.
    """
    return next((layout for layout in MASK_LAYOUTS if layout.finds(found, images, masks)), None)


def holds_masks(root: Path, images: str | None = None, masks: str | None = None) -> bool:
    """Returns whether a folder holds images with masks.

    A folder in VOC's layout that also holds boxes does not count, because it is read as boxes.
    """
    found = survey(root)
    layout = mask_layout(found, images, masks)
    return layout is not None and not (layout.beside_boxes and find_formats(found))


def list_masks(root: Path, images: str | None = None, masks: str | None = None) -> Pairs:
    """Lists the image and the mask of each example by split; a folder without splits is all `train`.

    Args:
      root: the folder.
      images: name of the folder of images; None for the usual names.
      masks: name of the folder of masks; None for the usual names.

    Raises:
      ValueError: the folder is in none of the layouts, or a file has no partner.
    """
    found = survey(root)
    layout = mask_layout(found, images, masks)
    if layout is None:
        raise ValueError(
            f"{root} holds no images with masks; looked for {expected_masks(images, masks)}. The smallest layout is "
            f"{images or 'images'}/1.jpg and {masks or 'masks'}/1.png"
        )
    return layout.pairs(found, images, masks)


def mask_table(root: Path, images: str | None = None, masks: str | None = None) -> ClassTable | None:
    """Returns what the values of masks mean: by `classes.csv`, or as the layout says; None if neither does."""
    if (root / CLASSES).is_file():
        return read_classes(root / CLASSES)
    layout = mask_layout(survey(root), images, masks)
    return None if layout is None else layout.table(root)


def expected_annotations() -> str:
    """Describes the files of all annotation formats, for messages."""
    return _either([form.layout for form in FORMATS])


def expected_masks(images: str | None = None, masks: str | None = None) -> str:
    """Describes the files of all layouts of masks, for messages."""
    named = {"images": images or "images", "masks": masks or "masks"}
    return _either([layout.layout.format(**named) for layout in MASK_LAYOUTS])


def _either(layouts) -> str:
    """Joins the layouts for a message.

    >>> _either(["a", "b", "c"])
    'a, b, or c'
    """
    *first, last = layouts
    if not first:
        return last
    return f"{', '.join(first)}, or {last}"
