import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnnlab.app.images import MAX_PIXELS, Upload, image_pixels, read_upload
from cnnlab.app.refusals import Refusal
from cnnlab.files.images import read_pixels


def encoded(kind="PNG", size=(6, 4), mode="RGB"):
    """Returns the bytes of an image of random pixels, `size` being width and height."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


def form(*parts, boundary="b"):
    """Returns a multipart body of pairs of headers and content."""
    text = b"".join(
        b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), head.encode(), content) for head, content in parts
    )
    return text + b"--%s--\r\n" % boundary.encode()


def refused(call, *arguments, **options):
    """Returns the status of the refusal."""
    with pytest.raises(Refusal) as caught:
        call(*arguments, **options)
    return caught.value.status


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_an_image_is_decoded_as_from_its_file(kind, tmp_path):
    (tmp_path / "photo").write_bytes(encoded(kind))
    layout = {"size": (8, 8), "channels": 1, "fit": "letterbox"}
    pixels = image_pixels(Upload("photo", encoded(kind)), **layout)
    assert (pixels == read_pixels(tmp_path / "photo", **layout)).all()


@pytest.mark.parametrize("kind", ["", "image/png", "image/anything", "application/octet-stream", "IMAGE/JPEG; q=1"])
def test_the_body_is_the_image_whatever_image_type_it_claims(kind):
    assert read_upload(kind, b"x") == Upload("image", b"x")


def test_the_only_file_of_a_form_is_the_image():
    text = 'Content-Disposition: form-data; name="note"', b"hello"
    file = (
        'Content-Disposition: form-data; name="file"; filename="cat.png"\r\nContent-Type: image/png',
        b"\r\n--x\r\n\r\n",
    )
    upload = read_upload("multipart/form-data; boundary=b", form(text, file))
    assert upload == Upload("cat.png", b"\r\n--x\r\n\r\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc/passwd", "passwd"), ("C:\\photos\\a.png", "a.png"), ("/", "_"), ("a\x1b;2J.png", "a_x1b;2J.png")],
)
def test_a_file_s_name_is_a_label_without_folders(name, expected):
    body = form((f'Content-Disposition: form-data; filename="{name}"', b"x"))
    assert read_upload("multipart/form-data; boundary=b", body).name == expected


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/html", b"<p>", 415),
        ("application/json", b"{}", 415),
        ("image/png", b"", 400),
        ("multipart/form-data", b"--b\r\n", 400),
        ("multipart/form-data; boundary=" + 71 * "b", b"", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", b"--b" * 100_000, 400),
        ("multipart/form-data; boundary=b", form(('Content-Disposition: form-data; name="file"', b"x")), 400),
        ("multipart/form-data; boundary=b", form(('Content-Disposition: form-data; filename="a"', b"")), 400),
    ],
)
def test_a_body_without_an_image_is_refused(kind, body, status):
    assert refused(read_upload, kind, body) == status


@pytest.mark.parametrize("content", [b"<svg></svg>", b"%PDF-1.4", b"%!PS-Adobe", b"\0" * 100, b"x"])
def test_other_types_are_refused_before_decoding(content):
    assert refused(image_pixels, Upload("a", content), size=(8, 8), channels=1) == 415


def test_a_truncated_image_is_refused():
    whole = encoded(size=(100, 100))
    assert refused(image_pixels, Upload("a", whole[:-2000]), size=(8, 8), channels=1) == 422


def test_an_image_of_more_pixels_than_the_limit_is_refused():
    assert image_pixels(Upload("a", encoded()), size=(2, 2), channels=3, max_pixels=24).shape == (2, 2, 3)
    assert refused(image_pixels, Upload("a", encoded()), size=(2, 2), channels=3, max_pixels=23) == 422


def test_a_small_file_that_claims_a_billion_pixels_is_refused_without_decoding():
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    assert MAX_PIXELS < 40_000**2
    assert refused(image_pixels, Upload("a", bomb), size=(8, 8), channels=1) == 422
