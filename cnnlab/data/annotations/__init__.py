"""Readers of annotations: boxes, outlines and masks, as tools write them. `layout` holds the tables of formats."""

from cnnlab.data.annotations.format import Format, MaskLayout
from cnnlab.data.annotations.layout import (
    FORMATS,
    MASK_LAYOUTS,
    expected_annotations,
    expected_masks,
    find_format,
    find_formats,
    holds_masks,
    list_masks,
    mask_layout,
    mask_table,
    read_annotations,
)
from cnnlab.data.annotations.record import Annotations, Mended, Objects, class_table, mend, notes_on
from cnnlab.data.annotations.survey import Survey, survey
from cnnlab.data.annotations.yolo import read_table

__all__ = [
    "FORMATS",
    "MASK_LAYOUTS",
    "Annotations",
    "Format",
    "MaskLayout",
    "Mended",
    "Objects",
    "Survey",
    "class_table",
    "expected_annotations",
    "expected_masks",
    "find_format",
    "find_formats",
    "holds_masks",
    "list_masks",
    "mask_layout",
    "mask_table",
    "mend",
    "notes_on",
    "read_annotations",
    "read_table",
    "survey",
]
