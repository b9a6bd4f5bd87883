"""Draws the masks of photos from the outlines of their objects, by one rule for all formats.

- A pixel without an object is `background`, class 0; a pixel of an object has the object's class.
- Where objects overlap, the smaller one lies on top (`order` `size`), or the later one in the file (`file`).
- A pixel of a crowd (many objects in one region), or of an object called `__ignore__`, is -1, ignored, unless another
  object covers it.
- With a border, a pixel is of the class `border` if the square of 2 border + 1 pixels around it has two objects.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from cnnlab.data.annotations.record import Objects
from cnnlab.geometry.outlines import Outline, Runs, paint

BACKGROUND = "background"
BORDER = "border"
_BACKGROUNDS = {BACKGROUND, "_background_"}
_IGNORED = {"__ignore__", "ignore"}

Order = Literal["size", "file"]


def mask_classes(names: Sequence[str], border: int = 0) -> tuple[str, ...]:
    """Returns the classes of masks: the background, the classes of objects, and the border, if there is one.

    >>> mask_classes(["cat", "_background_", "dog"], 1)
    ('background', 'cat', 'dog', 'border')
    """
    own = [name for name in names if name not in _BACKGROUNDS | _IGNORED | ({BORDER} if border else set())]
    return (BACKGROUND, *own, *([BORDER] if border else []))


def draw_mask(photo: Objects, classes: Sequence[str], *, order: Order = "size", border: int = 0) -> np.ndarray:
    """Returns the mask `[H, W]` int32 of a photo's outlines, -1 = ignored; the module states the rule.

    Args:
      photo: the objects of a photo; those without an outline are not drawn.
      classes: the result of `mask_classes`.
      order: which of two objects that overlap lies on top: the smaller one, or the later one in the file.
      border: width in pixels within which two objects make a border; 0 for none.

    Raises:
      ValueError: an outline does not fit the photo.
    """
    mask = np.zeros(photo.size, np.int32)
    outlines = photo.outlines or ()
    crowd = np.zeros(len(outlines), bool) if photo.crowd is None else photo.crowd
    drawn = [i for i, outline in enumerate(outlines) if outline is not None]
    if order == "size":
        size = [_area(outline) for outline in outlines]
        drawn.sort(key=lambda i: -size[i])
    ignored = {i for i in drawn if crowd[i] or photo.names[i] in _IGNORED}
    number = {name: k for k, name in enumerate(classes)} | dict.fromkeys(_BACKGROUNDS, 0)
    instances = np.zeros(photo.size, np.int32) if border else None
    try:
        for i in [i for i in drawn if i in ignored] + [i for i in drawn if i not in ignored]:
            paint(mask, outlines[i], -1 if i in ignored else number[photo.names[i]])
            if instances is not None and i not in ignored and number[photo.names[i]]:
                paint(instances, outlines[i], i + 1)
    except ValueError as error:
        raise ValueError(
            f"{photo.source}: {error}; {photo.photo} may be another photo than the annotated one"
        ) from error
    if instances is not None:
        mask[_between(instances, border)] = number[BORDER]
    return mask


def _between(instances: np.ndarray, border: int) -> np.ndarray:
    """Returns the pixels whose surrounding square has two objects, for the number of each pixel's object, 0 = none."""
    from scipy import ndimage

    side, far = 2 * border + 1, np.iinfo(np.int32).max
    highest = ndimage.maximum_filter(instances, side, mode="nearest")
    lowest = ndimage.minimum_filter(np.where(instances, instances, far), side, mode="nearest")
    return (highest > lowest) & (lowest < far)


def _area(outline: Outline | None) -> float:
    """Returns the area of an outline in square pixels: run lengths inside, or the sum of the polygons' shoelaces."""
    if outline is None:
        return 0.0
    if isinstance(outline, Runs):
        return float(outline.counts[1::2].sum())
    return sum(
        abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2 for x, y in map(np.transpose, outline.parts)
    )


@dataclasses.dataclass(frozen=True)
class DrawnMasks:
    """Masks that behave like an array `[n, H, W]` int32, indexed along its first axis; each is drawn when it is read.

    Attributes:
      photos: the objects of each photo.
      classes: the result of `mask_classes`.
      size: height and width to which masks are resized, by the nearest pixel; None for those of the photo.
      order: as in `draw_mask`.
      border: as in `draw_mask`.
    """

    photos: Sequence[Objects]
    classes: tuple[str, ...]
    size: tuple[int, int] | None
    order: Order = "size"
    border: int = 0

    dtype = np.dtype(np.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns `(n, H, W)`."""
        return (len(self.photos), *(self.size or self.photos[0].size))

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, indices) -> np.ndarray:
        chosen = np.arange(len(self))[indices]
        return self._mask(int(chosen)) if chosen.ndim == 0 else np.stack([self._mask(i) for i in chosen])

    def digest(self) -> str:
        """Returns a digest of all outlines and of the rule."""
        digest = hashlib.sha256(f"{self.shape} {self.classes} {self.order} {self.border}".encode())
        for photo in self.photos:
            digest.update(f"{photo.names} {photo.crowd} {photo.size}".encode())
            for outline in photo.outlines or ():
                for array in (
                    () if outline is None else (outline.counts,) if isinstance(outline, Runs) else outline.parts
                ):
                    digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _mask(self, i: int) -> np.ndarray:
        mask = draw_mask(self.photos[i], self.classes, order=self.order, border=self.border)
        return mask if self.size is None else mask[nearest(mask.shape, self.size)]


def nearest(size: tuple[int, int], target: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows and columns of the pixels nearest to those of a resized image, as an open mesh."""
    return np.ix_(*(((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(target, size, strict=True)))


def without_outline(photos: Sequence[Objects]) -> Mapping[str, int]:
    """Returns how many objects have no outline and how many have one, as `boxes` and `outlines`."""
    outlines = sum(outline is not None for photo in photos for outline in photo.outlines or ())
    return {"boxes": sum(len(photo.names) for photo in photos) - outlines, "outlines": outlines}
