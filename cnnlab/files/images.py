"""Reading of image files as uint8 arrays."""

import io
from pathlib import Path

import numpy as np

from cnnlab.files.eight_bits import stored_values, to_eight_bits
from cnnlab.files.opening import check_scans, opened
from cnnlab.files.reduced import reduce
from cnnlab.files.tiff import HEIGHT, WIDTH
from cnnlab.geometry.letterbox import GREY, Placement, place, place_strip

ORIENTATION = 0x0112  # tag of EXIF and TIFF; an image with the values 5 to 8 is stored on its side


def read_pixels(
    path: str | Path, *, size: tuple[int, int], channels: int, fit: str = "stretch", decoding: str = "exact"
) -> np.ndarray:
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
      decoding: `exact` decodes every file whole. `fast` decodes a JPEG of at least four times the result's size at 1/2,
        1/4 or 1/8, which takes a fraction of the time; its values differ from the exact ones by less than 1 of 255 on
        average.

    Raises:
      ValueError: the file is no image, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    return _pixels(path, str(path), size, channels, fit, decoding)


def decode_pixels(
    encoded: bytes,
    *,
    size: tuple[int, int],
    channels: int,
    fit: str = "stretch",
    decoding: str = "exact",
    name: str = "a record",
) -> np.ndarray:
    """Decodes the bytes of an image file, as `read_pixels` does; `name` is its name in error messages."""
    return _pixels(io.BytesIO(encoded), name, size, channels, fit, decoding)


def fit_pixels(
    pixels: np.ndarray, *, size: tuple[int, int], channels: int, fit: str = "stretch", decoding: str = "exact"
) -> np.ndarray:
    """Converts and resizes pixels `[H, W, 3]` uint8, as `read_pixels` does; they are decoded already."""
    from PIL import Image

    return _fitted(Image.fromarray(pixels), size, channels, fit)


def _pixels(file, name: str, size: tuple[int, int], channels: int, fit: str, decoding: str) -> np.ndarray:
    from PIL import ImageOps

    if channels not in (1, 3):
        raise ValueError(f"image files have 1 or 3 channels, this network takes {channels}; pass arrays instead")
    with opened(file, name) as image:
        check_scans(image, name)
        if decoding == "fast":
            placement = _placement(_upright(image), size, fit)
            sides = placement.height, placement.width
            image = reduce(image, sides[::-1] if _is_sideways(image) else sides)
        stored = stored_values(image)
        ImageOps.exif_transpose(image, in_place=True)
        return _fitted(to_eight_bits(image, stored, name), size, channels, fit)


def _fitted(image, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    left, top, height, width = _placement((image.height, image.width), size, fit)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image).reshape(height, width, channels)
    canvas = np.full((*size, channels), _background(pixels) if fit == "strip" else GREY, np.uint8)
    canvas[top : top + height, left : left + width] = pixels
    return canvas


def _placement(photo: tuple[int, int], size: tuple[int, int], fit: str) -> Placement:
    """Returns the place of a photo of some height and width on its canvas."""
    if fit == "letterbox":
        return place(photo, size)
    return place_strip(photo, size) if fit == "strip" else Placement(0, 0, *size)


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
        return _upright(image), 1 if image.mode in _GREY or image.mode.startswith("I") else 3


def _upright(image) -> tuple[int, int]:
    """Returns the height and width of the upright image."""
    # The stored size, because Pillow's version decides whether the `size` of a TIFF is that of the upright image.
    width, height = map(image.tag_v2.get, (WIDTH, HEIGHT)) if image.format == "TIFF" else image.size
    return (width, height) if _is_sideways(image) else (height, width)


def _is_sideways(image) -> bool:
    return image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)


_GREY = ("1", "L", "LA")
