"""Image files as arrays."""

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
MAX_PIXELS = 89_000_000  # a file may claim any size; Pillow warns above this one, where RGB takes 270 MB
SHEET_PIXELS = 500_000_000  # 22,000 x 22,000, for one that is named; 1.5 GB
ORIENTATION = 0x0112  # the tag of EXIF and TIFF; 5 to 8 lie on their side
_limit = contextvars.ContextVar("limit", default=None)


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Files as they are given, folders as the images in them (sorted, subfolders too, hidden ones left out).

    Raises:
      ValueError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
            inside = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not inside:
                raise ValueError(f"{path} holds no image; looked for {', '.join(SUFFIXES)}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist; give image files or folders")
    return found


def read_pixels(path: str | Path, *, size: tuple[int, int], channels: int, fit: str = "stretch") -> np.ndarray:
    """One file as uint8 `[H, W, C]`.

    Grey and RGB are converted into each other, transparency is laid on white, 16 bits are scaled to 8 (32 too, if a
    value is above 255), a photo is turned upright by its EXIF tag, of an animation the first frame counts, and the
    whole image is resized bilinearly (with antialiasing), whatever its shape.

    Args:
      path: an image file.
      size: height and width in pixels.
      channels: 1 for grey, 3 for RGB.
      fit: `stretch`, or `letterbox`: the shape is kept and the rest grey; see `cnnlab.geometry.letterbox`.

    Raises:
      ValueError: the file is no image, is damaged, or is larger than `MAX_PIXELS`; it is named.
    """
    return _pixels(path, str(path), size, channels, fit)


def decode_pixels(
    encoded: bytes, *, size: tuple[int, int], channels: int, fit: str = "stretch", name: str = "a record"
) -> np.ndarray:
    """The same for a file's bytes; `name` is what errors call it."""
    return _pixels(io.BytesIO(encoded), name, size, channels, fit)


def fit_pixels(pixels: np.ndarray, *, size: tuple[int, int], channels: int, fit: str = "stretch") -> np.ndarray:
    """The same for pixels that are read already, `[H, W, 3]` uint8."""
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
    """The size (height, width; upright) and the channels (1 or 3) of a file, its pixels left unread.

    Raises:
      ValueError: as `read_pixels`.
    """
    return _header(path, str(path))


def decode_header(encoded: bytes, *, name: str = "a record") -> tuple[tuple[int, int], int]:
    """The same for a file's bytes; `name` is what errors call it."""
    return _header(io.BytesIO(encoded), name)


def _header(file, name: str) -> tuple[tuple[int, int], int]:
    with opened(file, name) as image:
        # As stored: a TIFF's `size` is upright or not, by Pillow's version.
        width, height = map(image.tag_v2.get, _STORED) if image.format == "TIFF" else image.size
        turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        size = (width, height) if turned else (height, width)
        return size, 1 if image.mode in _GREY or image.mode.startswith("I") else 3


_STORED = (256, 257)  # the tags of a TIFF's width and height
_GREY = ("1", "L", "LA")


@contextlib.contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Within, files may have so many pixels, in place of `MAX_PIXELS`: for one that a user names, not for folders."""
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
    """The file by Pillow; whatever goes wrong with it becomes a `ValueError` that names it."""
    from PIL import Image

    try:
        with _stream(file) as stream, Image.open(stream) as image:
            pages = _pages(stream) if image.format == "TIFF" else 1  # frames of other kinds are an animation's
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
    """How many images of one size a TIFF holds, smaller copies and masks left out; the stream is left where it was."""
    place, found = stream.tell(), []
    try:
        for tags in directories(stream):
            if not tags.get(_KIND, 0) & _LESSER:
                found.append([tags.get(tag) for tag in _STORED])
    except (OSError, SyntaxError, ValueError, TypeError, struct.error):
        pass  # what lies behind the first image is damaged, and nobody asks for it
    finally:
        stream.seek(place)
    return max(found.count(found[0]), 1) if found else 1


_KIND, _LESSER = 254, 0b101  # TIFF 6.0's NewSubfileType: bit 0 a smaller copy, bit 2 a mask


@contextlib.contextmanager
def _stream(file) -> Iterator:
    """A path opened: Pillow maps the file of a path, and 13.0 so misreads a grey TIFF that lies on its side."""
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

# What Pillow's decoders raise for damaged files: mostly OSError, the rest from its parsers of headers and chunks.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


# Of the system's errors those that are about one file: missing (a link to nothing), closed to us, a folder. Others,
# such as a failing disk or too many open files, prove nothing about it, so that no reader may leave it out.
_OWN_FAULT = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP)


class ImageError(ValueError):
    """One file that cannot be read as an image, so that a reader of many can tell it from its own mistakes."""


def eight_bits(pixels: np.ndarray, bits: int = 16) -> np.ndarray:
    """Whole numbers of so many bits as uint8, 0..255 for the whole range.

    >>> eight_bits(np.array([0, 256, 65535])).tolist(), eight_bits(np.array([0, 4095]), 12).tolist()
    ([0, 0, 255], [0, 255])
    """
    return (pixels if bits == 8 else pixels.astype(np.uint32) * 255 // (2**bits - 1)).astype(np.uint8)


def check_range(pixels: np.ndarray, name: str | Path) -> None:
    """Warns, once a folder, of 16 bits that hold the values of 12 or fewer: as 8 bits they are nearly black."""
    largest = int(pixels.max(initial=0))
    if 0 < largest < 4096:
        warnings.warn(
            f"an image in {Path(name).parent} holds 16-bit pixels, and none was seen above 4095: as 8 bits they are "
            "0..15 of 255, nearly black; stretch such images first, all alike, as by gdal_translate -scale 0 4095 0 "
            "65535",
            stacklevel=2,
        )


def _faithful(image, name: str):
    """Any mode as L, RGB or one that Pillow converts to them faithfully."""
    from PIL import Image

    if image.mode.startswith("I"):  # whole numbers of 16 or 32 bits; Pillow's own conversion would clip at 255
        pixels = np.asarray(image)
        if image.mode == "I" and pixels.max() <= 255:  # 8 bits kept in 32
            return Image.fromarray(pixels.clip(0).astype(np.uint8))
        check_range(pixels, name)
        return Image.fromarray(eight_bits(pixels.clip(0, 65535)))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image
