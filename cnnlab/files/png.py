"""PNG files of maps and photos: which value is white, the colours of classes, writing whole or not at all."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.atomic import replacing

_ROWS = 512  # scaled at a time, so that a map may lie on disk


class PngImage(NamedTuple):
    """What a PNG shows.

    Attributes:
      pixels: uint8, `[H, W]` or `[H, W, 3]`.
      palette: `[256, 3]` uint8, the colours of indices; None for grey and RGB.
      white: the value that 255 stands for, kept as the PNG's text `white`: `pixel / 255 * white` gives values again.
    """

    pixels: np.ndarray
    palette: np.ndarray | None = None
    white: float | None = None


def write_png(path: Path, picture: PngImage, *, size: tuple[int, int] | None = None) -> None:
    """Writes a picture whole or not at all; with a `size` (height, width) each pixel is taken from the nearest one."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    image = Image.fromarray(picture.pixels)
    if size is not None:
        image = image.resize(size[::-1], Image.Resampling.NEAREST)
    if picture.palette is not None:
        image.putpalette(picture.palette.tobytes())
    text = PngInfo()
    if picture.white is not None:
        text.add_text("white", f"{picture.white:.9g}")
    with replacing(path) as part:
        image.save(part, "png", pnginfo=text)


def map_image(name: str, values: np.ndarray, num_classes: int, *, largest: float) -> PngImage:
    """Returns a segmentation's map as a picture: a mask in the colours of its classes, any other map in grey.

    Args:
      name: of the map, which says what is white (`white_of`).
      values: `[H, W]`, an array or a map on disk; NaN is black.
      num_classes: k.
      largest: value of the map, over all its bands.
    """
    white = white_of(name, num_classes, largest)
    pixels = np.empty(values.shape, np.uint8)
    for start in range(0, len(pixels), _ROWS):
        rows = np.nan_to_num(values[start : start + _ROWS] * np.float32(255 / white))
        pixels[start : start + _ROWS] = np.round(rows).clip(0, 255)
    return PngImage(pixels, class_colours(num_classes) if name == "mask" else None, white)


def white_of(name: str, num_classes: int, largest: float) -> float:
    """Returns the value that is white in the picture of a map: 255 for a mask, which holds indices.

    The largest value that variance and mutual information can have would leave their pictures black: white is the
    largest value of the map.

    >>> white_of("mean", 2, 0.9), white_of("variance", 2, 0.03)
    (1.0, 0.03)
    """
    fixed = {"mask": 255.0, "mean": 1.0, "entropy": float(np.log(num_classes))}
    return fixed.get(name, float(largest) if largest > 0 else 1.0)


def class_colours(k: int) -> np.ndarray:
    """Returns a palette `[256, 3]` uint8: the colours that k classes have in figures, then black.

    >>> class_colours(2)[:3].tolist()
    [[31, 119, 180], [255, 127, 14], [0, 0, 0]]
    """
    from matplotlib import colormaps

    colours = np.array(colormaps["tab10" if k <= 10 else "tab20"].colors)
    table = np.zeros((256, 3), np.uint8)
    table[:k] = np.round(255 * colours[np.arange(k) % len(colours)])
    return table
