"""Strips of handwritten digits, drawn on the fly: numbers of unknown length and spacing."""

import dataclasses
import hashlib
from typing import Literal, NamedTuple

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, Examples, statistics
from cnnlab.data.sources.digits import digits
from cnnlab.data.sources.standard import mnist
from cnnlab.data.spec import InputSpec

CLASSES = tuple("0123456789")
_SIDE = 28  # height and width of a digit's scan
_INK = 64  # grey value from which a pixel of a scan belongs to the digit
_MEASURED = 512  # training strips that are drawn to normalise the images
_SPLITS = ("train", "validation", "test")


def strips(
    scans: Literal["digits", "mnist"] = "digits",
    *,
    lengths: tuple[int, int] = (1, 10),
    width: int = 208,
    train: int = 20_000,
    validation: int = 1000,
    test: int = 2000,
    gaps: tuple[float, float] = (-2.0, 8.0),
    slant: float = 0.2,
    scales: tuple[float, float] = (0.75, 1.0),
    noise: float = 0.1,
    data_dir: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Draws strips of 28 pixels' height with numbers that are written digit by digit from scans of single digits.

    The digits of a strip share slant, scale, grey and typical gap, as in one hand. Each gap and height varies a little;
    negative gaps let digits touch or overlap. The number begins anywhere, and the rest of the strip is empty. Training
    strips are drawn anew in every epoch, from the training scans alone; the other splits stay the same.

    Args:
      scans: set of the single digits: `digits`, the 1,797 embedded ones, or `mnist`, prepared by `cnnlab data prepare`.
      lengths: smallest and largest number of digits; each length is equally frequent.
      width: width of the strips in pixels; digits of a strip that would not fit are drawn smaller.
      train: number of training strips in an epoch.
      validation: number of validation strips.
      test: number of test strips.
      gaps: smallest and largest typical gap between the ink of neighbouring digits, in pixels.
      slant: standard deviation of the slant, in pixels to the right for each pixel upwards.
      scales: smallest and largest height of the digits, as a share of the scan's.
      noise: largest standard deviation of the noise, for pixels in [0, 1]; that of a strip is drawn uniformly.
      data_dir: directory of prepared sets, for `mnist`; TFDS's default if left out.
      seed: seed of the validation and test strips, and of the split of the scans.

    Raises:
      ValueError: an option is out of range, or `mnist` is not prepared.

    >>> data = strips(train=8, validation=2, test=2)
    >>> data["train"][np.arange(2)]["image"].shape, data.spec.classes[:3]
    ((2, 28, 208, 1), ('0', '1', '2'))
    """
    low, high = lengths
    if not 1 <= low <= high <= 64:
        raise ValueError(f"lengths must be the smallest and largest number of digits, within 1..64, found {lengths}")
    if not 8 * high <= width <= 4096:
        raise ValueError(f"width must lie in {8 * high}..4096 pixels, 8 for each of {high} digits, found {width}")
    if min(train, validation, test) < 1 or seed < 0:
        raise ValueError(f"sizes must be 1 or more, seed 0 or more; found {(train, validation, test)}, {seed}")
    for name, (least, most), range_ in (("gaps", gaps, (-8, 64)), ("scales", scales, (0.25, 1))):
        if not range_[0] <= least <= most <= range_[1]:
            raise ValueError(f"{name} must be two numbers in {range_[0]}..{range_[1]} in order, found {(least, most)}")
    if slant < 0 or noise < 0:
        raise ValueError(f"slant and noise must be 0 or more, found {slant} and {noise}")
    base = digits(seed=seed) if scans == "digits" else mnist(data_dir=data_dir, seed=seed)
    style = Style((low, high), width, tuple(gaps), slant, tuple(scales), noise)
    drawn = {
        split: Strips(_scans(base[split]), style, n, (seed, part))
        for part, (split, n) in enumerate(zip(_SPLITS, (train, validation, test), strict=True))
    }
    sample = drawn["train"][np.arange(min(train, _MEASURED))]["image"]
    spec = InputSpec((_SIDE, width), 1, *statistics(sample), CLASSES, fit="strip")
    splits = {split: own if split == "train" else Examples(own[np.arange(len(own))]) for split, own in drawn.items()}
    return Dataset(f"strips-{scans}", spec, splits)


class Style(NamedTuple):
    """How strips are drawn; `strips` explains the fields."""

    lengths: tuple[int, int]
    width: int
    gaps: tuple[float, float]
    slant: float
    scales: tuple[float, float]
    noise: float


class Scans(NamedTuple):
    """Scans of single digits: `image` `[n, 28, 28]` uint8, `label` `[n]`, and the places of each digit's scans."""

    image: np.ndarray
    label: np.ndarray
    of_digit: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True)
class Strips:
    """Strips that are drawn when they are read; strip i depends on the seed and on i alone.

    Attributes:
      scans: scans of the digits.
      style: how the strips are drawn.
      number: number of strips.
      seed: seed of all strips.
    """

    scans: Scans
    style: Style
    number: int
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, indices) -> Columns:
        chosen = np.atleast_1d(np.arange(self.number)[indices])
        drawn = [_draw(self.scans, self.style, self._rng(i)) for i in chosen]
        columns = {"image": np.stack([strip for strip, _ in drawn]), "text": self._padded([text for _, text in drawn])}
        return columns if np.ndim(indices) or isinstance(indices, slice) else {k: v[0] for k, v in columns.items()}

    def column(self, name: str) -> np.ndarray:
        """Returns the column `text` of all strips, or `image`, which draws them all."""
        if name == "text":
            return self._padded([_text(self.style, self._rng(i)) for i in range(self.number)])
        return self[np.arange(self.number)][name]

    def of_epoch(self, seed: int, epoch: int) -> "Strips":
        """Returns the strips of an epoch, which depend on the seed of training and on the epoch."""
        return dataclasses.replace(self, seed=(*self.seed, seed, epoch))

    def digest(self) -> str:
        """Returns a digest of the scans and of everything by which strips are drawn."""
        digest = hashlib.sha256(f"{self.style} {self.number} {self.seed}".encode())
        for array in self.scans[:2]:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]

    def _rng(self, i: int) -> np.random.Generator:
        return np.random.default_rng((*self.seed, int(i)))

    def _padded(self, texts: list[np.ndarray]) -> np.ndarray:
        out = np.full((len(texts), self.style.lengths[1]), -1, np.int32)
        for row, text in zip(out, texts, strict=True):
            row[: len(text)] = text
        return out


def _scans(examples: Examples) -> Scans:
    image, label = examples.column("image")[..., 0], examples.column("label")
    return Scans(image, label, tuple(np.flatnonzero(label == digit) for digit in range(len(CLASSES))))


def _text(style: Style, rng: np.random.Generator) -> np.ndarray:
    """Draws the digits of a strip; it is the first draw of a strip's generator."""
    return rng.integers(0, len(CLASSES), rng.integers(style.lengths[0], style.lengths[1] + 1)).astype(np.int32)


def _draw(scans: Scans, style: Style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws one strip `[28, width, 1]` uint8 and its digits."""
    text = _text(style, rng)
    n, width = len(text), style.width
    chosen = scans.image[[rng.choice(scans.of_digit[digit]) for digit in text]]
    slant = np.full(n, rng.normal(0, style.slant)) + rng.normal(0, style.slant / 4, n)
    left, right = _ink_columns(chosen, slant)
    gaps = rng.uniform(*style.gaps) + rng.uniform(-1.5, 1.5, n - 1)
    scale = rng.uniform(*style.scales)
    scale = min(scale, max(0.25, (width - 2 - gaps.sum()) / (right - left).sum()))
    scale = scale * rng.uniform(0.92, 1, n)
    step = np.concatenate([[0], (right - left)[:-1] * scale[:-1] + gaps])
    start = np.cumsum(step)
    room = width - (start[-1] + (right - left)[-1] * scale[-1])
    start = start + rng.uniform(1, room - 1) if room > 2 else start + room / 2
    rise = rng.uniform(-1, 1) * (1 - scale) * 6 + rng.normal(0, 0.7, n)
    strip = np.zeros((_SIDE, width), np.float32)
    for scan, s, z, x, own_left, up in zip(chosen, slant, scale, start, left, rise, strict=True):
        _paste(strip, scan, slant=s, scale=z, x=x - z * own_left, y=up)
    strip *= rng.uniform(0.6, 1)
    strip += rng.normal(0, rng.uniform(0, style.noise), strip.shape).astype(np.float32)
    return np.round(255 * strip.clip(0, 1)).astype(np.uint8)[..., None], text


def _ink_columns(scans: np.ndarray, slant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the left and right end of the ink of slanted scans `[n, 28, 28]`, in pixels of the scans."""
    ink = scans >= _INK
    place = np.arange(_SIDE)
    moved = place[None, None, :] + slant[:, None, None] * ((_SIDE - 1) / 2 - place)[None, :, None]
    return np.where(ink, moved, np.inf).min((1, 2)), np.where(ink, moved, -np.inf).max((1, 2)) + 1


def _paste(strip: np.ndarray, scan: np.ndarray, *, slant: float, scale: float, x: float, y: float) -> None:
    """Draws a slanted, scaled scan with its left edge at column x, y pixels below the middle; the lighter ink wins."""
    from scipy.ndimage import affine_transform

    first = int(np.floor(x - scale * abs(slant) * _SIDE / 2)) - 1
    last = int(np.ceil(x + scale * (1 + abs(slant) / 2) * _SIDE)) + 1
    first, last = max(first, 0), min(last, strip.shape[1])
    if first >= last:
        return
    # A pixel (row, column) of the strip shows the scan at row r = (row - y - middle) / scale + middle and at column
    # (column - x) / scale + slant * (r - middle).
    middle = (_SIDE - 1) / 2
    matrix = np.array([[1 / scale, 0], [slant / scale, 1 / scale]])
    offset = np.array([middle - (y + middle) / scale, (first - x) / scale - slant * (y + middle) / scale])
    shape = (_SIDE, last - first)
    drawn = affine_transform(scan.astype(np.float32) / 255, matrix, offset, shape, order=1, prefilter=False)
    np.maximum(strip[:, first:last], drawn, out=strip[:, first:last])
