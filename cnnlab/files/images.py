"""Reading of image files as uint8 arrays."""

import contextlib
import contextvars
import errno
import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cnnlab.files.tiff import directories
from cnnlab.geometry.letterbox import GREY, place

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MAX_PIXELS = 89_000_000  # a header may claim any size; Pillow warns above this one, where RGB takes 270 MB
SHEET_PIXELS = 500_000_000  # limit for a sheet that the user names: 22,000 x 22,000 pixels, 1.5 GB as RGB
ORIENTATION = 0x0112  # tag of EXIF and TIFF; an image with the values 5 to 8 is stored on its side
_limit = contextvars.ContextVar("limit", default=None)


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Lists image files: each path that is a file, and the images in each folder and its subfolders, sorted.

    Hidden files and folders inside a folder are left out.

    Raises:
      ValueError: a path does not exist, or a folder contains no image.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
            inside = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not inside:
                raise ValueError(f"{path} holds no image; looked for {', '.join(SUFFIXES)}")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"{path} does not exist; give image files or folders")
    return files


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
        return _fitted(_faithful(ImageOps.exif_transpose(image), name), size, channels, fit)


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
        # Reads the stored size, because Pillow's version decides whether the `size` of a TIFF is that of the upright
        # image.
        width, height = map(image.tag_v2.get, _STORED) if image.format == "TIFF" else image.size
        sideways = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        size = (width, height) if sideways else (height, width)
        return size, 1 if image.mode in _GREY or image.mode.startswith("I") else 3


_STORED = (256, 257)  # TIFF tags of width and height
_GREY = ("1", "L", "LA")


@contextlib.contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Replaces the limit `MAX_PIXELS` within a block, for a file that the user names."""
    from PIL import Image

    before, token = Image.MAX_IMAGE_PIXELS, _limit.set(pixels)
    Image.MAX_IMAGE_PIXELS = pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
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
        with _stream(file) as stream, Image.open(stream) as image:
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


def _pages(stream) -> int:
    """Counts the images of a TIFF with the size of the first, without thumbnails and masks.

    The position of the stream does not change.
    """
    position, sizes = stream.tell(), []
    try:
        for tags in directories(stream):
            if not tags.get(_KIND, 0) & _THUMBNAIL_OR_MASK:
                sizes.append([tags.get(tag) for tag in _STORED])
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        pass  # damage after the first image does not matter
    finally:
        stream.seek(position)
    return max(sizes.count(sizes[0]), 1) if sizes else 1


_KIND, _THUMBNAIL_OR_MASK = 254, 0b101  # NewSubfileType of TIFF 6.0: bit 0 is a smaller copy, bit 2 a mask


@contextlib.contextmanager
def _stream(file) -> Iterator:
    """Opens a path as a stream, because Pillow maps a path into memory and 13.0 then misreads a sideways grey TIFF."""
    if hasattr(file, "read"):
        yield file
        return
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


def _faithful(image, name: str):
    """Converts an image to L, RGB, or another mode that Pillow converts to them correctly."""
    from PIL import Image

    if image.mode.startswith("I"):  # integers of 16 or 32 bits; Pillow's own conversion would clip at 255
        pixels = np.asarray(image)
        if image.mode == "I" and pixels.max() <= 255:  # 8 bits stored as 32
            return Image.fromarray(pixels.clip(0).astype(np.uint8))
        check_range(pixels, name)
        return Image.fromarray(eight_bits(pixels.clip(0, 65535)))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image
