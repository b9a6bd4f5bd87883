"""The records of a format of annotation files and of a layout of masks; a new one is a file with such a record."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.annotations.record import Annotations


class Format(NamedTuple):
    """One format of files that say where objects are: an entry of `layout.FORMATS`.

    Attributes:
      name: what `find_format` calls it.
      layout: the files that it needs, in words, for error messages.
      finds: tells whether a folder is in this format. Its arguments are the folder and the name of the folder (or file)
        of annotations within it, None where the user names none.
      read: reads the folder. Its arguments are those of `finds` and the name of the folder of photos, None as above.
    """

    name: str
    layout: str
    finds: Callable[[Path, str | None], bool]
    read: Callable[[Path, str | None, str | None], Annotations]


class MaskLayout(NamedTuple):
    """One way to lay out images with a mask each: an entry of `layout.MASK_LAYOUTS`.

    The arguments of both functions are the folder and the names of the folders of images and masks.

    Attributes:
      layout: the files that it needs, in words, for error messages; `{images}` and `{masks}` stand for the names.
      finds: tells whether a folder is laid out like this.
      pairs: lists the image and the mask of each example, by split.
      beside_boxes: whether such folders usually hold boxes too. A folder that does is then one of boxes, unless the
        user asks for masks.
    """

    layout: str
    finds: Callable[[Path, str, str], bool]
    pairs: Callable[[Path, str, str], dict[str, list[tuple[Path, Path]]]]
    beside_boxes: bool = False
