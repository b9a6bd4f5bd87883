"""Digits as people draw them with a pen: curves drawn in code in several styles, and the embedded digits sharpened."""

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, from_arrays
from cnnlab.data.sources.digits import digits_8x8
from cnnlab.data.sources.pen_styles import STYLES, Style
from cnnlab.data.splits import split_columns
from cnnlab.geometry.ink import fit_ink

SIDE, SIZE = 20.0, 28  # of MNIST: digits of 20x20 pixels in images of 28x28
_POINTS = 40  # segments of a digit
_CHUNK = 500


def strokes(*, drawn: int = 8000, widths: int = 2, seed: int = 0) -> Dataset:
    """Draws digits with a pen, as MNIST lies: 20 pixels long, by their centre of mass in the middle of 28x28.

    Some are the 1,797 embedded digits, whose 8x8 pixels are enlarged to strokes with sharp edges. The others are curves
    in the styles of `pen_styles`, with points, slant, proportions and pen widths drawn at random. The test split is
    that of the embedded digits, so that a network is tested on digits of people.

    Args:
      drawn: number of curves.
      widths: number of pen widths in which each embedded digit is drawn.
      seed: seed of everything that is drawn, and of the split.
    """
    if drawn < 100 or widths < 1:
        raise ValueError(f"drawn must be 100 or more and widths 1 or more, found {drawn} and {widths}")
    rng = np.random.default_rng(seed)
    small, label = digits_8x8()
    parts = split_columns({"image": small, "label": label}, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=0)
    out = {name: _sharpened(columns, widths if name == "train" else 1, rng) for name, columns in parts.items()}
    curves = _curves(rng.integers(0, 10, drawn), rng)
    for name, columns in split_columns(curves, {"train": 0.95, "validation": 0.05}, seed=seed).items():
        out[name] = {column: np.concatenate([values, columns[column]]) for column, values in out[name].items()}
    return from_arrays(out, classes=tuple("0123456789"), name="strokes")


def _sharpened(columns: Columns, widths: int, rng: np.random.Generator) -> Columns:
    """Draws scans of 8x8 pixels with strokes that have sharp edges."""
    from scipy.ndimage import zoom

    images = []
    for small in np.repeat(columns["image"], widths, 0):
        large = zoom(np.pad(small, 1).astype(np.float32), 6, order=3)
        ink = large > rng.uniform(0.35, 0.6) * large.max()
        images.append(fit_ink(ink, (SIZE, SIZE), side=SIDE, width=rng.uniform(2.0, 3.4)).image)
    return {"image": _bytes(np.stack(images)), "label": np.repeat(columns["label"], widths)}


def _curves(label: np.ndarray, rng: np.random.Generator) -> Columns:
    """Draws digits `label` [n] as curves."""
    n = len(label)
    points = [_polyline(STYLES[int(digit)][rng.integers(len(STYLES[int(digit)]))], rng) for digit in label]
    start, end = (np.stack([each[i] for each in points]) for i in range(2))
    start, end = _bent(start, end, rng)
    width = rng.uniform(1.8, 3.8, n)
    start, end = _placed(start, end, width)
    parts = [_covered(start[i : i + _CHUNK], end[i : i + _CHUNK], width[i : i + _CHUNK]) for i in range(0, n, _CHUNK)]
    return {"image": _bytes(np.concatenate(parts)), "label": label}


def _polyline(style: Style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns start and end `[_POINTS, 2]` of the segments of a style, after moving each of its points a little."""
    lengths = [np.hypot(*np.diff(np.array(stroke), axis=0).T).sum() for stroke in style]
    counts = np.maximum(3, np.floor(np.array(lengths) / sum(lengths) * (_POINTS - 3)).astype(int))
    counts[int(np.argmax(counts))] += _POINTS - counts.sum()
    jitter = rng.uniform(0.01, 0.06)
    moved: dict[tuple[float, float], np.ndarray] = {}
    starts, ends = [], []
    for stroke, count in zip(style, counts, strict=True):
        knots = []
        for point in stroke:  # a corner stands twice and moves once
            if not (knots and point == stroke[len(knots) - 1]):
                moved[point] = np.array(point) + rng.normal(0, jitter, 2)
            knots.append(moved[point])
        curve = _smooth(np.array(knots), count + 1)
        starts.append(curve[:-1])
        ends.append(curve[1:])
    return np.concatenate(starts), np.concatenate(ends)


def _smooth(knots: np.ndarray, n: int) -> np.ndarray:
    """Returns n points `[n, 2]` of the Catmull-Rom spline through knots `[k, 2]`."""
    tangent = np.zeros_like(knots)
    tangent[1:-1] = (knots[2:] - knots[:-2]) / 2
    same = np.flatnonzero((knots[1:] == knots[:-1]).all(1))
    tangent[same], tangent[same + 1] = 0, 0
    at = np.linspace(0, len(knots) - 1, n)
    i = np.minimum(at.astype(int), len(knots) - 2)
    t = (at - i)[:, None]
    return (
        (2 * t**3 - 3 * t**2 + 1) * knots[i]
        + (t**3 - 2 * t**2 + t) * tangent[i]
        + (3 * t**2 - 2 * t**3) * knots[i + 1]
        + (t**3 - t**2) * tangent[i + 1]
    )


def _bent(start: np.ndarray, end: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Changes slant, proportions and angle of every digit, and bends it by two smooth waves."""
    n = len(start)
    slant, aspect, angle = rng.normal(0.2, 0.25, n), np.exp(rng.normal(-0.3, 0.35, n)), rng.normal(0, 0.12, n)
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
    shape = np.zeros((n, 2, 2))
    shape[:, 0, 0], shape[:, 0, 1], shape[:, 1, 1] = aspect, -slant, 1
    matrix = turn @ shape
    size, phase, pace = rng.normal(0, 0.04, (n, 1, 2)), rng.uniform(0, 6.3, (n, 1, 2)), rng.uniform(2, 6, (n, 1, 2))

    def bend(points: np.ndarray) -> np.ndarray:
        points = points + size * np.sin(pace * points[..., ::-1] + phase)
        return np.einsum("nij,npj->npi", matrix, points)

    return bend(start), bend(end)


def _placed(start: np.ndarray, end: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scales digits so that their box is `SIDE` pixels long, and moves their centre of mass to the middle."""
    both = np.concatenate([start, end], 1)
    long = np.ptp(both, axis=1).max(1)
    scale = ((SIDE - width) / long)[:, None, None]
    length = np.linalg.norm(end - start, axis=-1, keepdims=True) + 1e-9
    mass = ((start + end) / 2 * length).sum(1, keepdims=True) / length.sum(1, keepdims=True)
    return (start - mass) * scale + SIZE / 2, (end - mass) * scale + SIZE / 2


def _covered(start: np.ndarray, end: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Returns the share of each pixel `[n, SIZE, SIZE]` that pens of these widths `[n]` cover along the segments."""
    place = (np.arange(SIZE) + 0.5).astype(np.float32)
    nearest = np.full((len(start), SIZE, SIZE), np.inf, np.float32)
    for i in range(start.shape[1]):
        a, along = start[:, i].astype(np.float32), (end[:, i] - start[:, i]).astype(np.float32)
        x, y = place[None, None, :] - a[:, 0, None, None], place[None, :, None] - a[:, 1, None, None]
        dx, dy = along[:, 0, None, None], along[:, 1, None, None]
        t = np.clip((x * dx + y * dy) / (dx * dx + dy * dy + 1e-9), 0, 1)
        np.minimum(nearest, (x - t * dx) ** 2 + (y - t * dy) ** 2, out=nearest)
    return np.clip(0.5 + width[:, None, None].astype(np.float32) / 2 - np.sqrt(nearest), 0, 1)


def _bytes(images: np.ndarray) -> np.ndarray:
    return np.round(images * 255).astype(np.uint8)
