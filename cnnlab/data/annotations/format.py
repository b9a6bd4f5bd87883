"""The records that describe an annotation format and a mask layout."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.annotations.record import Annotations
from cnnlab.data.annotations.survey import Survey
from cnnlab.data.masks import ClassTable

Pairs = dict[str, list[tuple[Path, Path]]]


class Reading(NamedTuple):
    """What a user may say about annotations.

    Attributes:
      annotations: the folder or file of annotations, which is then the only one.
      photos: the folder of photos, which is then the only one; None for the format's own places.
      label: name of the attribute, column or field that holds the class, where the format leaves it open.
      line_width: width in pixels of lines, which have no area of their own.
    """

    annotations: Path | None = None
    photos: Path | None = None
    label: str | None = None
    line_width: float = 10


class Format(NamedTuple):
    """One format of annotation files: an entry of `layout.FORMATS`.

    Attributes:
      name: name that `find_format` returns.
      layout: description of the files that the format needs, for error messages.
      find: function that returns the annotation files of a folder in this format, none if it is in another. Its
        arguments are the listing of the folder, and the folder or file to which the user restricts the annotations, or
        None.
      read: function that reads these files.
    """

    name: str
    layout: str
    find: Callable[[Survey, Path | None], list[Path]]
    read: Callable[[Survey, Sequence[Path], Reading], Annotations]


class MaskLayout(NamedTuple):
    """One layout of images with one mask each: an entry of `layout.MASK_LAYOUTS`.

    The arguments of `finds` and `pairs` are the listing of the folder and the names of the folders of images and masks,
    None for the usual names.

    Attributes:
      name: name of the layout in descriptions.
      layout: description of the files that the layout needs, for error messages; `{images}` and `{masks}` stand for the
        names of the folders.
      finds: function that returns whether a folder has this layout.
      pairs: function that lists the image and the mask of each example, by split.
      beside_boxes: whether such folders usually hold boxes too. A folder that does is read as boxes, unless the user
        asks for masks.
      table: function of the folder that returns what the masks' values mean, where the layout says it; None where it
        does not.
    """

    name: str
    layout: str
    finds: Callable[[Survey, str | None, str | None], bool]
    pairs: Callable[[Survey, str | None, str | None], Pairs]
    beside_boxes: bool = False
    table: Callable[[Path], ClassTable | None] = lambda root: None
