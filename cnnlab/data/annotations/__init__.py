"""Readers of annotated photos: Pascal VOC, COCO, YOLO."""

from cnnlab.data.annotations.coco import read_coco
from cnnlab.data.annotations.layout import find_format, read_annotations
from cnnlab.data.annotations.record import Annotations, Mended, Objects, class_table, mend
from cnnlab.data.annotations.voc import read_voc
from cnnlab.data.annotations.yolo import read_table, read_yolo

__all__ = [
    "Annotations",
    "Mended",
    "Objects",
    "class_table",
    "find_format",
    "mend",
    "read_annotations",
    "read_coco",
    "read_table",
    "read_voc",
    "read_yolo",
]
