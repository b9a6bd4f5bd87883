"""Reading of image files as uint8 arrays."""

import contextlib
import contextvars
import errno
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.listing import SUFFIXES, list_files, warn_left_out
from cnnlab.files.tiff import BITS, HEIGHT, KIND, PHOTOMETRIC, WHITE_IS_ZERO, WIDTH, directories
from cnnlab.geometry.letterbox import GREY, place

FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "AVIF", "PPM")
"""The formats that Pillow may recognise by a file's content. Others run programs, or read files that they name."""

MAX_PIXELS = 89_000_000  # a header may claim any size; Pillow warns above this one, where RGB takes 270 MB
SHEET_PIXELS = 500_000_000  # limit for a sheet that the user names: 22,000 x 22,000 pixels, 1.5 GB as RGB
ORIENTATION = 0x0112  # tag of EXIF and TIFF; an image with the values 5 to 8 is stored on its side
_limit = contextvars.ContextVar("limit", default=None)


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Returns the image files of paths: files as they are, folders as the images below them (see `listing`).

    Raises:
      ValueError: a path does not exist, or a folder contains no image.
    """
    images: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files = list_files(path)
            if not files.images:
                raise ValueError(f"{path} holds no image; looked for {', '.join(SUFFIXES)}")
            warn_left_out(path, files.others)
            images += files.images
        elif path.exists():
            images.append(path)
        else:
            raise ValueError(f"{path} does not exist; give image files or folders")
    return images


def read_pixels(path: str | Path, *, size: tuple[int, int], channels: int, fit: str = "stretch") -> np.ndarray:
    """Reads an image file as uint8 `[H, W, C]` and resizes it bilinearly, with antialiasing.

    It converts between grey and RGB, puts transparent images on white, scales 16 bits to 8 (32 bits too, if a value is
    above 255), rotates a photo upright by its EXIF tag, and reads the first frame of an animation.

    Args:
      path: path of the image file.
      size: height and width of the result in pixels.
      channels: 1 for grey, 3 for RGB.
      fit: `stretch` changes the aspect ratio; `letterbox` preserves it and fills the rest with grey, see
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
        values = _stored(image)  # before Pillow decodes the pixels and forgets how they were stored
        return _fitted(_faithful(ImageOps.exif_transpose(image), values, name), size, channels, fit)


class _Stored(NamedTuple):
    """What a file says of its values that Pillow's modes do not: their bits, and whether 0 is white."""

    bits: int
    white_is_zero: bool


def _stored(image) -> _Stored:
    tags = getattr(image, "tag_v2", {})
    sixteen = image.mode.startswith("I;16") or any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))
    bits = int(np.max(tags.get(BITS, 16 if sixteen else 8)))
    return _Stored(bits, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)


def _fitted(image, size: tuple[int, int], channels: int, fit: str) -> np.ndarray:
    from PIL import Image

    image = image.convert("L" if channels == 1 else "RGB")
    if fit == "letterbox":
        left, top, height, width = place((image.height, image.width), size)
    else:
        left, top, height, width = 0, 0, *size
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    canvas = np.full((*size, channels), GREY, np.uint8)
    canvas[top : top + height, left : left + width] = pixels.reshape(height, width, channels)
    return canvas


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


@contextlib.contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Within the block, files may have so many pixels instead of `MAX_PIXELS`: for a file that a user names.

    It holds for the thread (or the asyncio task) of the block alone.
    """
    token = _limit.set(pixels)
    try:
        yield
    finally:
        _limit.reset(token)


@contextlib.contextmanager
def opened(file, name: str) -> Iterator:
    """Opens an image file with Pillow; an error of the file becomes a `ValueError` that names it.

    Args:
      file: path or stream of the file.
      name: name of the file in error messages.

    Raises:
      ImageError: the file is no image, is damaged, has too many pixels, floating-point pixels or several pages.
      OSError: the system cannot read the file now.
    """
    from PIL import Image

    try:
        with _stream(file) as stream, _open(stream) as image:
            pages = _pages(stream) if image.format == "TIFF" else 1  # frames of other formats are an animation
            if image.width * image.height > (most := _limit.get() or MAX_PIXELS):
                raise ImageError(f"{name} has {image.width}x{image.height} pixels, more than {most:,}; shrink it")
            if image.mode == "F":
                raise ImageError(f"{name} holds floating-point pixels; save it with 8 or 16 bits")
            if pages > 1:
                raise ImageError(f"{name} is a stack of {pages} images; save each in a file of its own")
            yield image
    except ImageError:
        raise
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        if getattr(error, "errno", None) not in (None, *_OWN_FAULT):
            raise OSError(f"cannot read {name} now: {error}") from error
        cure = next((cure for ends, cure in _CURES.items() if name.lower().endswith(ends)), "repair or remove it")
        raise ImageError(f"cannot read {name} as an image ({error}); {cure}") from error


def _open(stream):
    """Opens an image by Pillow, in one of `FORMATS`.

    Pillow's own limit of pixels is one number for the whole process. It is lifted only while a larger image is opened,
    by one thread at a time; the caller checks the limit of its block.
    """
    from PIL import Image

    Image.init()
    _check_directory(stream)
    formats = [name for name in FORMATS if name in Image.OPEN]
    if _limit.get() is None:
        return Image.open(stream, formats=formats)
    with _LIFTED.lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(stream, formats=formats)
        finally:
            Image.MAX_IMAGE_PIXELS = before


class _Lifted:
    """The lock of `_open`, a new one in a forked child, where no thread would release the old one."""

    def __init__(self):
        self.lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.Lock()


_LIFTED = _Lifted()


def _check_directory(stream) -> None:
    """Raises `TiffError` for a TIFF that claims more than it can hold; Pillow would read every byte that it claims."""
    if stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        with contextlib.suppress(struct.error):
            next(directories(stream), None)
    stream.seek(0)


def _pages(stream) -> int:
    """Counts the images of the first one's size in a TIFF, without smaller copies and masks; the stream stays."""
    place, sizes = stream.tell(), []
    try:
        for tags in directories(stream):
            if not int(tags.get(KIND, 0)) & _LESSER:
                sizes.append((tags.get(WIDTH), tags.get(HEIGHT)))
    except (OSError, ValueError, TypeError, struct.error):
        pass  # the first image is whole, and nobody asks for what lies behind it
    finally:
        stream.seek(place)
    return max(sizes.count(sizes[0]), 1) if sizes else 1


_LESSER = 0b101  # of TIFF 6.0's NewSubfileType: bit 0 is a smaller copy, bit 2 a mask


@contextlib.contextmanager
def _stream(file) -> Iterator:
    """Opens a path, which must be a regular file: to open a pipe would wait for its writer.

    Pillow maps the file of a path into memory, and then misreads a grey TIFF that lies on its side; hence a stream.
    """
    if hasattr(file, "read"):
        yield file
        return
    mode = os.stat(file).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ImageError(f"{file} is not a regular file but a pipe, a socket or a device; give an image file")
    with open(file, "rb") as stream:
        yield stream


_CURES = {
    (".heic", ".heif"): "save it as JPEG or PNG",
    (".tif", ".tiff"): "repair or remove it, or, of three bands, say that they are colours: gdal_translate -co "
    "PHOTOMETRIC=RGB",
}

# Errors that Pillow raises for damaged files: mostly OSError; the others come from its parsers of headers and chunks.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


# System errors that concern one file: missing (a dangling link), no permission, a folder. Others, such as a failing
# disk or too many open files, say nothing about the file, so no reader may skip it.
_OWN_FAULT = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP)


class ImageError(ValueError):
    """A file cannot be read as an image; a reader of many files can skip it."""


def eight_bits(pixels: np.ndarray, bits: int = 16) -> np.ndarray:
    """Scales integers of a number of bits to uint8, so that the full range becomes 0..255.

    >>> eight_bits(np.array([0, 256, 65535])).tolist(), eight_bits(np.array([0, 4095]), 12).tolist()
    ([0, 0, 255], [0, 255])
    """
    return (pixels if bits == 8 else pixels.astype(np.uint32) * 255 // (2**bits - 1)).astype(np.uint8)


def check_range(pixels: np.ndarray, name: str | Path) -> None:
    """Warns, once a folder, if 16-bit pixels use at most 12 bits, because they are nearly black as 8 bits."""
    largest = int(pixels.max(initial=0))
    if 0 < largest < 4096:
        warnings.warn(
            f"an image in {Path(name).parent} holds 16-bit pixels, none of them above 4095: as 8 bits they are "
            "0..15 of 255, nearly black; stretch all images alike first, such as: gdal_translate -scale 0 4095 0 65535",
            stacklevel=2,
        )


def _faithful(image, stored: _Stored, name: str):
    """Converts any mode to L, RGB, or one that Pillow converts to these without loss.

    Args:
      image: the image, upright.
      stored: how the file holds its values. Pillow inverts grey whose 0 is white in 8 bits or fewer alone.
      name: what the warning calls the image.
    """
    from PIL import Image

    if image.mode.startswith("I"):  # whole numbers of 9 to 32 bits; Pillow's own conversion would clip at 255
        pixels = np.asarray(image)
        if image.mode == "I" and pixels.max() <= 255 and not stored.white_is_zero:  # 8 bits in a file of 32
            return Image.fromarray(pixels.clip(0).astype(np.uint8))
        bits = min(stored.bits, 16)
        pixels = pixels.clip(0, 2**bits - 1)
        if bits == 16:
            check_range(pixels, name)
        grey = eight_bits(pixels, bits)
        return Image.fromarray(255 - grey if stored.white_is_zero else grey)
    if stored.bits == 16 and image.mode in ("RGB", "RGBA", "LA"):  # Pillow has cut the values to 8 bits
        check_range(np.asarray(image).astype(np.int64) * 256, name)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image
