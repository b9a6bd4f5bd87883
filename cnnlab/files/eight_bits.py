"""Image values of any depth as 8 bits, strip by strip, so that a large image is not copied as a whole."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.tiff import BITS, PHOTOMETRIC, WHITE_IS_ZERO

_STRIP = 1 << 20  # pixels
_TWELVE_BITS = 4095


class StoredValues(NamedTuple):
    """How a file stores its values, which Pillow's mode does not say.

    Attributes:
      bits: bits of a value.
      white_is_zero: whether 0 is white.
    """

    bits: int
    white_is_zero: bool


def stored_values(image) -> StoredValues:
    """Reads how a file stores its values; call it before Pillow decodes the pixels and drops this information."""
    tags = getattr(image, "tag_v2", {})
    forms = [tile.args for tile in getattr(image, "tile", ())]  # of a PPM the largest value, if it is not 255
    sixteen = image.mode.startswith("I;16") or any(";16" in str(form) or "65535" in str(form) for form in forms)
    bits = int(np.max(tags.get(BITS, 16 if sixteen else 8)))
    return StoredValues(bits, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)


def to_eight_bits(image, stored: StoredValues, name: str):
    """Converts an image of any mode to L, RGB, or a mode that Pillow converts to these without loss.

    Args:
      image: the Pillow image, upright.
      stored: how the file stores its values. Pillow inverts grey whose 0 is white only up to 8 bits.
      name: name of the image in the warning.
    """
    from PIL import Image

    if image.mode.startswith("I"):  # whole numbers of 9 to 32 bits; Pillow's own conversion would clip at 255
        largest = image.getextrema()[1]
        if image.mode == "I" and largest <= 255 and not stored.white_is_zero:  # 8 bits in a file of 32
            return _convert(image, "L", lambda strip: Image.fromarray(np.asarray(strip).clip(0).astype(np.uint8)))
        bits = min(stored.bits, 16)
        if bits == 16:
            check_range(min(largest, 2**16 - 1), name)

        def grey(strip):
            values = eight_bits(np.asarray(strip).clip(0, 2**bits - 1), bits)
            return Image.fromarray(255 - values if stored.white_is_zero else values)

        return _convert(image, "L", grey)
    if stored.bits == 16 and image.mode in ("RGB", "RGBA", "LA"):  # Pillow has cut the values to 8 bits
        step = 255 if image.format == "PPM" else 256  # of a PPM, Pillow rounds them
        check_range(step * max(largest for _, largest in image.getextrema()), name)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        return _convert(image, "RGB", _on_white)
    return image


def _on_white(image):
    from PIL import Image

    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _convert(image, mode: str, function: Callable):
    """Applies a function of Pillow images strip by strip; returns an image of a mode."""
    from PIL import Image

    converted = Image.new(mode, image.size)
    for rows, strip in strips(image):
        converted.paste(function(strip), (0, rows.start))
    return converted


def strips(image) -> Iterator[tuple[slice, object]]:
    """Yields the rows and the part of a Pillow image for consecutive strips of about a million pixels."""
    height = max(_STRIP // image.width, 1)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def eight_bits(pixels: np.ndarray, bits: int = 16) -> np.ndarray:
    """Scales integers of a number of bits to uint8, so that the full range becomes 0..255.

    >>> eight_bits(np.array([0, 256, 65535])).tolist(), eight_bits(np.array([0, 4095]), 12).tolist()
    ([0, 0, 255], [0, 255])
    """
    return (pixels if bits == 8 else pixels.astype(np.uint32) * 255 // (2**bits - 1)).astype(np.uint8)


def check_range(largest: int, name: str | Path) -> None:
    """Warns, once a folder, if the largest 16-bit value needs at most 12 bits: as 8 bits the image is nearly black."""
    if 0 < largest <= _TWELVE_BITS:
        warnings.warn(
            f"an image in {Path(name).parent} holds 16-bit pixels, none of them above 4095: as 8 bits they are "
            "0..15 of 255, nearly black; stretch all images alike first, such as: gdal_translate -scale 0 4095 0 65535",
            stacklevel=2,
        )
