"""From a drawing on the page to the input of a network: brought to lie as the digits of its training data do."""

from typing import NamedTuple

import numpy as np

from cnnlab.data import InputSpec
from cnnlab.geometry.ink import Centring, box, fit_ink, signed_distance, stroke_width

PAGE = 140  # height and width in pixels of the drawing that a page sends
_SAMPLE = 300  # training images that are measured
_FINE = 4  # enlargement for the measurement
_BLURS = np.arange(0, 2.6, 0.25)


class Lie(NamedTuple):
    """How drawn characters lie in the images of a data set.

    Attributes:
      side: longer side of a character's box in pixels, between pixels of half ink.
      width: width of its strokes in pixels.
      centring: what lies in the middle of the image: the centre of mass or the middle of the box.
      blur: standard deviation of its blur in pixels, beyond that of pixels themselves.
      dark: whether the ink is dark on a light ground.
    """

    side: float = 20.0
    width: float = 2.5
    centring: Centring = "mass"
    blur: float = 0.0
    dark: bool = False


MNIST = Lie()
"""How MNIST's digits lie in images of 28x28; the default where no training data can be measured."""


def measure(images: np.ndarray) -> Lie:
    """Measures how characters lie in training images.

    Ink is what differs from the border of the image by more than half of the image's range. `side` and `width` are
    medians. What varies less around the middle of the image counts as centred. The blur is the one with which the
    images, drawn again from the edges of their ink, come closest to themselves.

    Args:
      images: `[n, H, W]` or `[n, H, W, 1]` uint8; of many, evenly spaced ones are measured.

    Returns:
      The measured lie; MNIST's, scaled to the size, if no image holds ink.

    >>> pages = np.zeros((2, 28, 28), np.uint8)
    >>> pages[:, 4:24, 13:15] = 255
    >>> measure(pages)
    Lie(side=20.0, width=1.94, centring='mass', blur=0.0, dark=False)
    """
    from scipy.ndimage import gaussian_filter, zoom

    chosen = np.linspace(0, len(images) - 1, min(len(images), _SAMPLE)).astype(int)
    grey = np.asarray(images[chosen]).reshape(len(chosen), *images.shape[1:3]).astype(np.float32) / 255
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, :, 0], grey[:, :, -1]], 1)
    dark = bool(np.median(border) > 0.5)
    grey = 1 - grey if dark else grey
    size = grey.shape[1:3]
    sides, widths, boxes, masses = [], [], [], []
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for image in grey:
        fine = zoom(np.pad(image, 1), _FINE, order=1, grid_mode=True, mode="nearest")
        ink = fine > fine.max() / 2
        if not fine.max() or ink.all():
            continue
        row, column, height, width = box(ink)
        sides.append(max(height, width) / _FINE)
        widths.append(stroke_width(signed_distance(ink)) / _FINE)
        boxes.append((np.array([row + height / 2, column + width / 2])) / _FINE - 1)
        masses.append((np.argwhere(ink).mean(0) + 0.5) / _FINE - 1)
        sharp = ink[_FINE:-_FINE, _FINE:-_FINE].reshape(size[0], _FINE, size[1], _FINE).mean((1, 3))
        pairs.append((image / image.max(), sharp))
    if not sides:
        return MNIST._replace(side=MNIST.side * min(size) / 28, width=MNIST.width * min(size) / 28, dark=dark)
    spreads = {"mass": _off_centre(masses, size), "box": _off_centre(boxes, size)}
    errors = [np.mean([np.abs(gaussian_filter(sharp, blur) - image) for image, sharp in pairs]) for blur in _BLURS]
    return Lie(
        side=float(np.median(sides)),
        width=round(float(np.median(widths)), 2),
        centring="box" if spreads["box"] < spreads["mass"] else "mass",
        blur=float(_BLURS[int(np.argmin(errors))]),
        dark=dark,
    )


class Seen(NamedTuple):
    """A drawing as a network sees it.

    Attributes:
      image: `[H, W, C]` uint8, the input of the network.
      matrix: `[2, 3]`, maps a point `(x, y, 1)` of the image to the drawing, both in pixels.
    """

    image: np.ndarray
    matrix: np.ndarray


def to_input(
    pixels: np.ndarray, lie: Lie, spec: InputSpec, *, turn: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)
) -> Seen:
    """Returns a drawing as a network's training images lie.

    Args:
      pixels: the drawing `[PAGE, PAGE]` uint8, white ink on black.
      lie: how the training images lie.
      spec: input specification of the network.
      turn: rotation of the centred drawing in degrees, counter-clockwise.
      shift: shift of the centred drawing to the right and down, in pixels of the result.

    Returns:
      The input of the network, paper everywhere if nothing is drawn, and its place on the drawing.

    >>> drawing = np.zeros((PAGE, PAGE), np.uint8)
    >>> drawing[20:120, 60:75] = 255
    >>> image = to_input(drawing, MNIST, InputSpec((28, 28))).image
    >>> image.shape, int((image > 127).any(1).sum())
    ((28, 28, 1), 20)
    """
    from scipy.ndimage import gaussian_filter

    options = {"side": lie.side, "width": lie.width, "centring": lie.centring}
    image, matrix = fit_ink(pixels >= 128, spec.size, **options, turn=turn, shift=shift)
    image = gaussian_filter(image, lie.blur) if lie.blur else image
    image = np.round(255 * image).astype(np.uint8)
    return Seen(np.repeat((255 - image if lie.dark else image)[..., None], spec.channels, -1), matrix)


def _off_centre(points: list[np.ndarray], size: tuple[int, int]) -> float:
    """Returns the mean squared distance of points `(row, column)` from the middle of the image."""
    return float(((np.array(points) - np.array(size) / 2) ** 2).sum(1).mean())
