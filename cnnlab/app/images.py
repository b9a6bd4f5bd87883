"""Images from the body of a request: checked for bytes, type and pixels before anything is decoded."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np

from cnnlab.app.refusals import Refusal
from cnnlab.files.images import decode_pixels
from cnnlab.files.opening import ImageError, pixel_limit
from cnnlab.quoting import for_file_name

MAX_PIXELS = 32_000_000  # decoded as RGB they take 96 MB
NAME = "image"  # of an image that came without a name

_PARTS = 16  # of a multipart body
_SIGNATURES = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*"),
}
_BINARY = ("", "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream")
"""Content types that say nothing about a body; curl's `--data-binary` announces a form."""


class Upload(NamedTuple):
    """An image file as a client sent it.

    Attributes:
      name: name of the file without folders; it labels the answer and is never opened.
      content: bytes of the file.
    """

    name: str
    content: bytes


def read_upload(content_type: str, body: bytes) -> Upload:
    """Returns the image file in a body: the body itself, or the only file of a multipart form.

    Args:
      content_type: the header Content-Type: an image type, `multipart/form-data`, or nothing.
      body: the whole body.

    Raises:
      Refusal: the content type is of something else (415), or the form holds no file, several, or an empty one (400).

    >>> form = b'--x\\r\\nContent-Disposition: form-data; filename="a/b.png"\\r\\n\\r\\nBYTES\\r\\n--x--\\r\\n'
    >>> read_upload('multipart/form-data; boundary="x"', form)
    Upload(name='b.png', content=b'BYTES')
    """
    kind, _, options = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "multipart/form-data":
        upload = _only_file(body, _parameter(options, "boundary"))
    elif kind in _BINARY or kind.startswith("image/"):
        upload = Upload(NAME, body)
    else:
        raise Refusal(415, f"the body must be an image or multipart/form-data with a file, found {kind[:80]!r}")
    if not upload.content:
        raise Refusal(400, "the body is empty; send the bytes of an image file")
    return upload


@contextlib.contextmanager
def checked(upload: Upload, max_pixels: int) -> Iterator[None]:
    """Checks the type of an upload; within the block its pixels are limited, and an error of the image is a refusal.

    Raises:
      Refusal: the file is of no known type (415), has more than `max_pixels` pixels, or is damaged (422).
    """
    if not _is_image(upload.content):
        raise Refusal(415, f"{upload.name} is none of {', '.join(_SIGNATURES)} and WebP; convert it")
    try:
        with pixel_limit(max_pixels):
            yield
    except ImageError as error:
        raise Refusal(422, str(error)) from error


def image_pixels(
    upload: Upload,
    *,
    size: tuple[int, int],
    channels: int,
    fit: str = "stretch",
    decoding: str = "exact",
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decodes an image as uint8 `[H, W, C]`, as `cnnlab.files.images.read_pixels` does for a file.

    Args:
      upload: the file.
      size: height and width of the result in pixels.
      channels: 1 for grey, 3 for RGB.
      fit: `stretch`, `letterbox` or `strip`.
      decoding: `exact` or `fast`.
      max_pixels: most pixels of the stored image.

    Raises:
      Refusal: as `checked`.
    """
    with checked(upload, max_pixels):
        layout = {"size": size, "channels": channels, "fit": fit, "decoding": decoding}
        return decode_pixels(upload.content, **layout, name=upload.name)


def _is_image(content: bytes) -> bool:
    webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    return webp or any(content.startswith(beginning) for each in _SIGNATURES.values() for beginning in each)


def _only_file(body: bytes, boundary: str) -> Upload:
    """Returns the part of a multipart body that has a file name; RFC 2046, 5.1.1 and RFC 7578."""
    if not 1 <= len(boundary) <= 70:
        raise Refusal(400, "multipart/form-data needs a boundary of 1 to 70 characters")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    _, *parts = (b"\r\n" + body).split(delimiter, _PARTS + 1)
    uploads = []
    for part in parts[:_PARTS]:
        if part.startswith(b"--"):
            break
        head, _, content = part.partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _, value = line.decode("utf-8", "replace").partition(":")
            if name.strip().lower() == "content-disposition" and "filename=" in value:
                uploads.append(Upload(_plain_name(_parameter(value, "filename")), content))
    if not uploads:
        raise Refusal(400, "the form holds no file; send it as curl does with -F file=@photo.png")
    if len(uploads) > 1:
        raise Refusal(400, f"the form holds {len(uploads)} files; send one request for each")
    return uploads[0]


def _parameter(options: str, name: str) -> str:
    """Returns a parameter of a header's value, with or without quotation marks; empty if it is missing.

    >>> _parameter('form-data; name="file"; filename="a.png"', "filename"), _parameter(" boundary=x", "boundary")
    ('a.png', 'x')
    """
    match = re.search(rf'(?:^|;)\s*{name}\s*=\s*(?:"([^"]*)"|([^;\s]*))', options, re.IGNORECASE)
    return (match[1] or match[2] or "") if match else ""


def _plain_name(path: str) -> str:
    """Returns the last part of a client's path as a name; some browsers send the folders too."""
    return for_file_name(PurePosixPath(PureWindowsPath(path).name).name) if path else NAME
