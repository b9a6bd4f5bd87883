"""Opening of image files: which formats are read, how large a file may be, and what its errors say."""

import contextlib
import contextvars
import errno
import os
import stat
import struct
import threading
import zlib
from collections.abc import Iterator

from cnnlab.files.tiff import HEIGHT, KIND, WIDTH, directories

FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "GIF", "WEBP", "AVIF", "PPM")
"""The formats that Pillow may recognise by a file's content. Others run programs, or read files that they name."""

MAX_PIXELS = 89_000_000  # a header may claim any size; Pillow warns above this one, where RGB takes 270 MB
SHEET_PIXELS = 500_000_000  # limit for a sheet that the user names: 22,000 x 22,000 pixels, 1.5 GB as RGB
MAX_SCANS = 100  # of a JPEG
_LARGE = 1_000_000  # pixels; in smaller images a scan takes no time
_limit = contextvars.ContextVar("limit", default=None)


class ImageError(ValueError):
    """A file cannot be read as an image; a reader of many files can skip it."""


@contextlib.contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
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
    from PIL import Image, UnidentifiedImageError

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
    except MemoryError as error:
        raise ImageError(f"{name} needs more memory than is free; shrink it") from error
    except (*_DAMAGE, Image.DecompressionBombError) as error:
        fault = getattr(error, "errno", None)
        if fault is not None and fault not in _OWN_FAULT:
            raise OSError(f"cannot read {name} now: {error}") from error
        cure = next((cure for ends, cure in _CURES.items() if name.lower().endswith(ends)), "repair or remove it")
        reason = "its format is unknown" if isinstance(error, UnidentifiedImageError) else error
        reason, cure = _OWN_FAULT.get(fault, (reason, cure))
        raise ImageError(f"cannot read {name} as an image ({reason}); {cure}") from error


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


def check_scans(image, name: str) -> None:
    """Raises `ImageError` for a JPEG of so many scans that a small file would take minutes; call it before decoding.

    Each scan passes over the whole image. The libraries' own encoders write at most `MAX_SCANS`, as GDAL reads.
    """
    if image.format in ("JPEG", "MPO") and image.width * image.height > _LARGE:
        place = image.fp.tell()
        image.fp.seek(0)
        scans = image.fp.read().count(b"\xff\xda")
        image.fp.seek(place)
        if scans > MAX_SCANS:
            raise ImageError(f"{name} is a JPEG of {scans:,} scans, more than {MAX_SCANS}; save it anew")


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


# System errors that concern one file, each with what is wrong and what to do. Others, such as a failing disk or too
# many open files, say nothing about the file, so no reader may skip it.
_DENIED = "reading it is not permitted", "change its permissions"
_OWN_FAULT = {
    errno.ENOENT: ("there is no such file", "check its path"),
    errno.EISDIR: ("it is a directory", "give an image file"),
    errno.ELOOP: ("its link leads nowhere", "check its path"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
}
