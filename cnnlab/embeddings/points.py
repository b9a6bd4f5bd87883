"""The points that the page of an embedding shows: images with their places, columns, neighbours and probabilities."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

_ROUNDING = 1e-4  # by which a mean of probabilities may exceed 1


@dataclasses.dataclass(frozen=True)
class Points:
    """Images as points of planes, one row an image; N is the number of images.

    Attributes:
      planes: name of each projection and its places, `[N, 2]` float32.
      thumbnails: `[N, h, w, C]` uint8, C 1 or 3.
      names: name of each image, such as its file or `test 17`.
      colours: name of each column and its values: strings `[N]` are categories, numbers `[N]` a scale; NaN and the
        empty string are unknown.
      neighbours: indices of the nearest images in feature space, nearest first, `[N, k]`; k may be 0.
      probs: probabilities of the classes, `[N, K]`, or None.
      classes: names of the K classes; empty without probabilities.
      title: title of the page.
      notes: sentences under the title, such as the qualities of the projections.

    Raises:
      ValueError: a field does not fit the others; the message names it.

    >>> import numpy as np
    >>> places, images = np.zeros((2, 2), np.float32), np.zeros((2, 8, 8, 1), np.uint8)
    >>> columns, neighbours = {"class": ["ant", "bee"]}, np.array([[1], [0]])
    >>> len(Points({"PCA": places}, images, ["a.png", "b.png"], columns, neighbours, None, (), "Insects", ()))
    2
    >>> Points({"PCA": places}, images, ["a.png"], columns, neighbours, None, (), "Insects", ())
    Traceback (most recent call last):
    ValueError: names must hold one entry for each of the 2 thumbnails, found 1
    """

    planes: Mapping[str, np.ndarray]
    thumbnails: np.ndarray
    names: Sequence[str]
    colours: Mapping[str, Sequence[str] | np.ndarray]
    neighbours: np.ndarray
    probs: np.ndarray | None
    classes: Sequence[str]
    title: str
    notes: Sequence[str]

    def __len__(self) -> int:
        return len(self.thumbnails)

    def __post_init__(self) -> None:
        shape, dtype = np.shape(self.thumbnails), getattr(self.thumbnails, "dtype", None)
        if len(shape) != 4 or dtype != np.uint8 or shape[-1] not in (1, 3) or 0 in shape:
            raise ValueError(f"thumbnails must be uint8 [N, h, w, 1 or 3] with N of 1 or more, found {dtype} {shape}")
        if not self.planes:
            raise ValueError("planes must hold one projection or more")
        for name, places in self.planes.items():
            self._check_places(name, places)
        self._check_length("names", self.names)
        for name, values in self.colours.items():
            self._check_length(f"colours[{name!r}]", values)
        self._check_neighbours()
        self._check_probs()

    def _check_length(self, field: str, values: Sequence) -> None:
        if len(values) != len(self):
            raise ValueError(
                f"{field} must hold one entry for each of the {len(self):,} thumbnails, found {len(values):,}"
            )

    def _check_places(self, name: str, places: np.ndarray) -> None:
        if np.shape(places) != (len(self), 2):
            raise ValueError(f"planes[{name!r}] must be [N, 2] with N = {len(self):,}, found {np.shape(places)}")
        if not np.isfinite(places).all():
            raise ValueError(f"planes[{name!r}] must be finite, found NaN or infinity")

    def _check_neighbours(self) -> None:
        shape, values = np.shape(self.neighbours), np.asarray(self.neighbours)
        if len(shape) != 2 or shape[0] != len(self) or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"neighbours must be integers [N, k] with N = {len(self):,}, found {values.dtype} {shape}")
        if values.size and not (values.min() >= 0 and values.max() < len(self)):
            raise ValueError(f"neighbours must be in 0..{len(self) - 1}, found {values.min()}..{values.max()}")

    def _check_probs(self) -> None:
        if self.probs is None:
            return
        expected, values = (len(self), len(self.classes)), np.asarray(self.probs)
        if values.shape != expected:
            raise ValueError(
                f"probs must be [N, K] = {expected}, a column for each of the classes, found {values.shape}"
            )
        if not (values.min() >= 0 and values.max() <= 1 + _ROUNDING):  # false for NaN
            raise ValueError(f"probs must be in 0..1, found {values.min():g}..{values.max():g}")
