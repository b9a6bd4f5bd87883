"""Columns of windows into large annotated images; a window is cut out when a batch reads it."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnlab.data.dataset import Examples

Region = tuple[int, int, int, int]


class Places(NamedTuple):
    """Positions of windows: window i begins at row `top[i]` and column `left[i]` of the image with index `image[i]`.

    Attributes:
      image: indices of the images, `[n]`.
      top: first rows, `[n]`.
      left: first columns, `[n]`.
      skip: numbers of rows and columns at the start of each window that the previous window already covers, `[n, 2]`.
    """

    image: np.ndarray
    top: np.ndarray
    left: np.ndarray
    skip: np.ndarray


@dataclasses.dataclass(frozen=True)
class Windows:
    """An array `[n, h, w, ...]`, indexed along its first axis, whose entries are cut out of images on demand.

    Attributes:
      images: arrays `[H, W, ...]` of one dtype.
      places: positions of the windows.
      size: height and width of the windows in pixels.
      once: whether pixels that an earlier window covers become -1 (ignored, in a mask), so that each counts once.
    """

    images: Sequence[np.ndarray]
    places: Places
    size: tuple[int, int]
    once: bool = False

    @property
    def dtype(self) -> np.dtype:
        """Returns the dtype of the images."""
        return self.images[0].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Returns `(n, h, w, ...)`."""
        return (len(self), *self.size, *self.images[0].shape[2:])

    def __len__(self) -> int:
        return len(self.places.top)

    def __getitem__(self, indices) -> np.ndarray:
        chosen = np.arange(len(self))[indices]
        return self._window(chosen) if chosen.ndim == 0 else np.stack([self._window(index) for index in chosen])

    def digest(self) -> str:
        """Returns a digest of the images and of the positions of the windows."""
        digest = hashlib.sha256(f"{self.shape} {self.once}".encode())
        for array in (*self.images, *self.places):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _window(self, i: int) -> np.ndarray:
        image, top, left, skip = (column[i] for column in self.places)
        window = self.images[image][top : top + self.size[0], left : left + self.size[1]]
        if self.once and skip.any():
            window = window.copy()
            window[: skip[0]] = -1
            window[:, : skip[1]] = -1
        return window


def windows(images: Mapping[str, Sequence[np.ndarray]], places: Places, size, *, once=False) -> Examples:
    """Returns examples of the windows at these places: `image` `[n, h, w, C]`, `mask` `[n, h, w]` and other maps."""
    return Examples({name: Windows(p, places, size, once and name == "mask") for name, p in images.items()})


@dataclasses.dataclass(frozen=True)
class Crops(Examples):
    """Windows at random positions, which are drawn anew for every epoch; indexing reads the windows of one draw.

    Attributes:
      draw: function from the seed and the epoch to new positions, the same number each time.
    """

    draw: Callable[[int, int], Places]

    def of_epoch(self, seed: int, epoch: int) -> Examples:
        """Returns the windows of an epoch; their positions depend on the seed and the epoch alone."""
        places = self.draw(seed, epoch)
        return Examples({name: dataclasses.replace(column, places=places) for name, column in self.columns.items()})


def tiled_places(regions: Sequence[Region], size: tuple[int, int]) -> Places:
    """Returns positions of windows side by side that cover a region of each image.

    The last windows overlap the windows before them; `skip` counts the rows and columns of the overlap.

    Args:
      regions: region `(top, left, bottom, right)` of each image in pixels.
      size: height and width of the windows in pixels.

    Raises:
      ValueError: a region is smaller than a window.

    >>> places = tiled_places([(0, 0, 4, 6)], (4, 4))
    >>> places.left.tolist(), places.skip.tolist()
    ([0, 2], [[0, 0], [0, 2]])
    """
    positions = []
    for image, region in enumerate(regions):
        _check(region, size)
        for row, skip_row in _starts(region[0], region[2], size[0]):
            for column, skip_column in _starts(region[1], region[3], size[1]):
                positions.append((image, row, column, skip_row, skip_column))
    table = np.array(positions, np.int64)
    return Places(table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


def drawn_places(
    regions: Sequence[Region],
    size: tuple[int, int],
    number: int,
    *,
    seed: int | tuple[int, ...],
    masks: Sequence[np.ndarray],
) -> Places:
    """Draws random positions of windows in the regions, each with an annotated pixel at the centre of its window.

    Larger regions are drawn from more often.

    Args:
      regions: region `(top, left, bottom, right)` of each image in pixels.
      size: height and width of the windows in pixels.
      number: number of windows.
      seed: seed of the draw, which alone decides the positions.
      masks: mask `[H, W]` of each image, -1 = ignored.

    Raises:
      ValueError: a region is smaller than a window, or holds no annotated pixel that can be a centre.
    """
    for region in regions:
        _check(region, size)
    rng = np.random.default_rng(seed)
    spans = np.array([(r[2] - r[0] - size[0] + 1, r[3] - r[1] - size[1] + 1) for r in regions], np.int64)
    share = spans.prod(1) / spans.prod(1).sum()
    accepted: list[np.ndarray] = []
    drawn = 0
    while sum(map(len, accepted)) < number:
        image = rng.choice(len(regions), number, p=share)
        corner = np.array([region[:2] for region in regions])[image]
        corner = corner + np.floor(rng.random((number, 2)) * spans[image]).astype(np.int64)
        centre = corner + np.array(size) // 2
        known = np.array([masks[p][tuple(c)] >= 0 for p, c in zip(image, centre, strict=True)], bool)
        accepted.append(np.column_stack([image, corner])[known])
        drawn += number
        if drawn >= 100 * number and not sum(map(len, accepted)):
            raise ValueError("no window of the regions has an annotated pixel at its centre; all seem to be ignored")
    table = np.concatenate(accepted)[:number]
    return Places(table[:, 0], table[:, 1], table[:, 2], np.zeros((number, 2), np.int64))


def _starts(low: int, high: int, side: int) -> list[tuple[int, int]]:
    """Returns the start of each window from `low` to `high` and the length of its overlap with the previous one."""
    starts = [*range(low, high - side + 1, side)]
    if starts[-1] + side < high:
        return [(start, 0) for start in starts] + [(high - side, starts[-1] + 2 * side - high)]
    return [(start, 0) for start in starts]


def _check(region: Region, size: tuple[int, int]) -> None:
    """Raises `ValueError` if a window does not fit in the region."""
    height, width = region[2] - region[0], region[3] - region[1]
    if height < size[0] or width < size[1]:
        raise ValueError(f"windows of {size[0]}x{size[1]} pixels do not fit in {height}x{width}; choose smaller ones")
