"""Reading of image files as uint8 arrays."""

import io
from pathlib import Path

import numpy as np

from cnnlab.files.eight_bits import stored_values, to_eight_bits
from cnnlab.files.opening import check_scans, opened
from cnnlab.files.tiff import HEIGHT, WIDTH
from cnnlab.geometry.letterbox import GREY, place, place_strip

ORIENTATION = 0x0112  # tag of EXIF and TIFF; an image with the values 5 to 8 is stored on its side


def read_pixels(path: str | Path, *, size: tuple[int, int], channels: int, fit: str = "stretch") -> np.ndarray:
    """Reads an image file as uint8 `[H, W, C]` and resizes it bilinearly, with antialiasing.

    It converts between grey and RGB, puts transparent images on white, scales 16 bits to 8 (32 bits too, if a value is
    above 255), rotates a photo upright by its EXIF tag, and reads the first frame of an animation.

    Args:
      path: path of the image file.
      size: height and width of the result in pixels.
      channels: 1 for grey, 3 for RGB.
      fit: `stretch` changes the aspect ratio; `letterbox` preserves it and fills the rest with grey; `strip` fills the
        height and pads a narrower strip on the right with the median colour of its border. See
        `cnnlab.geometry.letterbox`.

    Raises:
      ValueError: the file is no image, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    return _pixels(path, str(path), size, channels, fit)


def decode_pixels(
    encoded: bytes, *, size: tuple[int, int], channels: int, fit: str = "stretch", name: str = "a record"
) -> np.ndarray:
    """Decodes the bytes of an image file, as `read_pixels` does; `name` is its name in error messages."""
    return _pixels(io.BytesIO(encoded), name, size, channels, fit)


def fit_pixels(pixels: np.ndarray, *, size: tuple[int, int], channels: int, fit: str = "stretch") -> np.ndarray:
    """Converts and resizes pixels `[H, W, 3]` uint8, as `read_pixels` does."""
    from PIL import Image

    return _fitted(Image.fromarray(pixels), size, channels, fit)


def _pixels(file, name: str, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    from PIL import ImageOps

    if channels not in (1, 3):
        raise ValueError(f"image files have 1 or 3 channels, this network takes {channels}; pass arrays instead")
    with opened(file, name) as image:
        check_scans(image, name)
        stored = stored_values(image)
        ImageOps.exif_transpose(image, in_place=True)
        return _fitted(to_eight_bits(image, stored, name), size, channels, fit)


def _fitted(image, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if fit == "letterbox":
        left, top, height, width = place((image.height, image.width), size)
    elif fit == "strip":
        left, top, height, width = place_strip((image.height, image.width), size)
    else:
        left, top, height, width = 0, 0, *size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(height, width, channels)
    canvas = np.full((*size, channels), _background(pixels) if fit == "strip" else GREY, np.uint8)
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _background(pixels: np.ndarray) -> np.ndarray:
    """Returns the median colour `[C]` of the border of an image `[H, W, C]`."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.median(border, 0).astype(np.uint8)


def read_header(path: str | Path) -> tuple[tuple[int, int], int]:
    """Reads the size (height and width of the upright image) and the channels (1 or 3) from the header of a file.

    Raises:
      ValueError: as `read_pixels`.
    """
    return _header(path, str(path))


def decode_header(encoded: bytes, *, name: str = "a record") -> tuple[tuple[int, int], int]:
    """Reads the header from the bytes of a file, as `read_header` does; `name` is its name in error messages."""
    return _header(io.BytesIO(encoded), name)


def _header(file, name: str) -> tuple[tuple[int, int], int]:
    with opened(file, name) as image:
        # The stored size, because Pillow's version decides whether the `size` of a TIFF is that of the upright image.
        width, height = map(image.tag_v2.get, (WIDTH, HEIGHT)) if image.format == "TIFF" else image.size
        sideways = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        size = (width, height) if sideways else (height, width)
        return size, 1 if image.mode in _GREY or image.mode.startswith("I") else 3


_GREY = ("1", "L", "LA")
