"""Readers of annotations: boxes in Pascal VOC, COCO and YOLO files, and masks. `layout` holds the tables of formats."""

from cnnlab.data.annotations.format import Format, MaskLayout
from cnnlab.data.annotations.layout import (
    FORMATS,
    MASK_LAYOUTS,
    find_format,
    holds_masks,
    list_masks,
    read_annotations,
)
from cnnlab.data.annotations.record import Annotations, Mended, Objects, class_table, mend
from cnnlab.data.annotations.yolo import read_table

__all__ = [
    "FORMATS",
    "MASK_LAYOUTS",
    "Annotations",
    "Format",
    "MaskLayout",
    "Mended",
    "Objects",
    "class_table",
    "find_format",
    "holds_masks",
    "list_masks",
    "mend",
    "read_annotations",
    "read_table",
]
