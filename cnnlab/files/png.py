"""PNG files of maps and drawings: class colours, the value of white, and atomic writes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.colours import of_class
from cnnlab.files.atomic import replacing

_ROWS = 512  # rows that are scaled at a time, so that a map on disk need not fit in memory


class PngImage(NamedTuple):
    """The content of a PNG file.

    Attributes:
      pixels: uint8, `[H, W]` or `[H, W, 3]`.
      palette: colours of indices, `[256, 3]` uint8; None for grey and RGB.
      white: value of a map at pixel 255, stored as the PNG's text `white`: `pixel / 255 * white` is the map's value.
      fits: whether the pixels cover a photo, so that they are resized to its size; a drawing with more is stored as is.
    """

    pixels: np.ndarray
    palette: np.ndarray | None = None
    white: float | None = None
    fits: bool = True


def write_png(path: Path, image: PngImage, *, size: tuple[int, int] | None = None) -> None:
    """Writes a PNG file atomically; with a `size` (height, width) it resizes to the nearest pixels."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    raster = Image.fromarray(image.pixels)
    if size is not None:
        raster = raster.resize(size[::-1], Image.Resampling.NEAREST)
    if image.palette is not None:
        raster.putpalette(image.palette.tobytes())
    text = PngInfo()
    if image.white is not None:
        text.add_text("white", f"{image.white:.9g}")
    with replacing(path) as part:
        raster.save(part, "png", pnginfo=text)


def map_image(name: str, values: np.ndarray, num_classes: int, *, largest: float) -> PngImage:
    """Converts a map of a segmentation to an image: a mask in the colours of its classes, any other map in grey.

    Args:
      name: name of the map, which determines the value of white (`white_of`).
      values: map `[H, W]` in memory or on disk; NaN is black.
      num_classes: number of classes.
      largest: largest value of the map over all its bands.
    """
    white = white_of(name, num_classes, largest)
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(pixels), _ROWS):
        rows = np.nan_to_num(values[start : start + _ROWS] * np.float32(255 / white))
        pixels[start : start + _ROWS] = np.round(rows).clip(0, 255)
    return PngImage(pixels, class_colours(num_classes) if name == "mask" else None, white)


def white_of(name: str, num_classes: int, largest: float) -> float:
    """Returns the value that is white in the image of a map: 255 for a mask, whose pixels are class indices.

    For variance and mutual information it is the largest value of the map, because the largest possible value would
    leave the image black.

    >>> white_of("mean", 2, 0.9), white_of("variance", 2, 0.03)
    (1.0, 0.03)
    """
    fixed = {"mask": 255.0, "mean": 1.0, "entropy": float(np.log(num_classes))}
    return fixed.get(name, float(largest) if largest > 0 else 1.0)


def class_colours(k: int) -> np.ndarray:
    """Returns a palette `[256, 3]` uint8: the colours of k classes, as in figures, then black.

    >>> class_colours(2)[:3].tolist()
    [[0, 114, 178], [230, 159, 0], [0, 0, 0]]
    """
    table = np.zeros((256, 3), np.uint8)
    table[:k] = [of_class(i) for i in range(k)]
    return table
