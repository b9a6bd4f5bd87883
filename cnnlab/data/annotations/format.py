"""The records that describe an annotation format and a mask layout."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.annotations.record import Annotations


class Format(NamedTuple):
    """One format of annotation files with boxes: an entry of `layout.FORMATS`.

    Attributes:
      name: name that `find_format` returns.
      layout: description of the files that the format needs, for error messages.
      finds: function that returns whether a folder is in this format. Its arguments are the folder and the name of the
        folder (or file) of annotations within it, None if the user names none.
      read: function that reads the folder. Its arguments are those of `finds` and the name of the folder of photos, or
        None.
    """

    name: str
    layout: str
    finds: Callable[[Path, str | None], bool]
    read: Callable[[Path, str | None, str | None], Annotations]


class MaskLayout(NamedTuple):
    """One layout of images with one mask each: an entry of `layout.MASK_LAYOUTS`.

    The arguments of both functions are the folder and the names of the folders of images and masks.

    Attributes:
      layout: description of the files that the layout needs, for error messages; `{images}` and `{masks}` stand for the
        names of the folders.
      finds: function that returns whether a folder has this layout.
      pairs: function that lists the image and the mask of each example, by split.
      beside_boxes: whether such folders usually hold boxes too. A folder that does is read as boxes, unless the user
        asks for masks.
    """

    layout: str
    finds: Callable[[Path, str, str], bool]
    pairs: Callable[[Path, str, str], dict[str, list[tuple[Path, Path]]]]
    beside_boxes: bool = False
