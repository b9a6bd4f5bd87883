"""Photos: formats by an allow-list, bounded headers, values as every viewer shows them."""

import io
import os
import struct
import threading

import numpy as np
import pytest
from PIL import Image

from cnnlab.files.images import read_pixels
from cnnlab.files.listing import find_images
from cnnlab.files.opening import ImageError, pixel_limit

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"
RAMP = (np.arange(64 * 64).reshape(64, 64) * 16).astype(np.uint16)


def read(path, channels=1):
    return read_pixels(path, size=(64, 64), channels=channels)


def tiff(path, pixels, photometric, **options):
    rasterio = pytest.importorskip("rasterio")
    bands = pixels if pixels.ndim == 3 else pixels[None]
    options |= {"driver": "GTiff", "height": 64, "width": 64, "count": len(bands), "dtype": "uint16"}
    with rasterio.open(path, "w", photometric=photometric, **options) as file:
        file.write(bands)
    return path


@pytest.mark.parametrize(
    "content", [EPS, b"<VRTDataset/>", b"#EXTM3U\n", b"icns\0\0\0\x08"], ids=["eps", "vrt", "m3u", "icns"]
)
def test_a_format_that_is_not_allowed_is_refused_whatever_the_file_is_called(tmp_path, content):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"photo\.png"):
        read(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png is not a regular file"):
        read(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_grey_of_16_bits_whose_zero_is_white_is_inverted(tmp_path):
    black, white = (read(tiff(tmp_path / f"{kind}.tif", RAMP, kind)) for kind in ("MINISBLACK", "MINISWHITE"))
    np.testing.assert_array_equal(white, 255 - black)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_grey_of_12_bits_spans_0_to_255(tmp_path):
    assert np.ptp(read(tiff(tmp_path / "a.tif", RAMP // 16, "MINISBLACK", nbits=12))) == 255


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_colours_of_16_bits_that_hold_12_are_warned_of(tmp_path):
    dark, bright = (tiff(tmp_path / f"{n}.tif", np.stack([RAMP // n] * 3), "RGB") for n in (16, 1))
    with pytest.warns(UserWarning, match="none of them above 4095"):
        read(dark, channels=3)
    read(bright, channels=3)


def test_pillows_own_limit_of_pixels_is_the_same_after_threads_used_another(tmp_path):
    Image.new("L", (64, 64)).save(tmp_path / "a.png")
    before = Image.MAX_IMAGE_PIXELS

    def work(pixels):
        for _ in range(50):
            with pixel_limit(pixels):
                read(tmp_path / "a.png")

    threads = [threading.Thread(target=work, args=(10_000 + i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert before == Image.MAX_IMAGE_PIXELS
    with pixel_limit(64 * 64 - 1), pytest.raises(ImageError, match="more than 4,095"):
        read(tmp_path / "a.png")


def with_directories(number):
    """A TIFF and behind its image so many empty directories, which all but the last one name the next."""
    out = io.BytesIO()
    Image.new("L", (64, 64)).save(out, "TIFF")
    data = bytearray(out.getvalue() + bytes(len(out.getvalue()) % 2))
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, len(data))
    size = 2 + 12 + 4
    for i in range(number):
        following = len(data) + size if i < number - 1 else 0
        data += struct.pack("<HHHIII", 1, 254, 4, 1, 1, following)
    return bytes(data)


def test_a_tiff_of_200_000_directories_is_read_without_a_look_at_all_of_them(tmp_path, monkeypatch):
    (tmp_path / "a.tif").write_bytes(with_directories(200_000))
    reads = []
    monkeypatch.setattr("cnnlab.files.tiff._directory", lambda *args: reads.append(1) or ({254: 1}, len(reads)))
    read(tmp_path / "a.tif")
    assert len(reads) < 2000


def test_a_directory_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    entry = struct.pack("<HHII", 300, 7, 4000, 8)
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2000) + entry * 2000 + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.tif.*claims 8,000,000 bytes"):
        read(tmp_path / "a.tif")


def test_a_folder_gives_its_images_of_every_suffix_and_names_the_files_it_leaves_out(tmp_path):
    for name in ("a.jfif", "b.PPM", "night/c.png", "._c.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.warns(UserWarning, match=r"left out 1 file that is no image: notes\.txt"):
        assert [path.name for path in find_images([tmp_path])] == ["a.jfif", "b.PPM", "c.png"]


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path):
    file = io.BytesIO()
    Image.new("L", (2000, 1000)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(data[:-2] + 1000 * scan + data[-2:])
    with pytest.raises(ImageError, match=r"a\.jpg is a JPEG of 1,\d+ scans, more than 100"):
        read(tmp_path / "a.jpg")


def test_a_ppm_of_16_bits_that_holds_12_is_warned_of(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 65535\n" + np.full(6, 4000, ">u2").tobytes())
    with pytest.warns(UserWarning, match="16-bit pixels, none of them above 4095"):
        read(tmp_path / "a.ppm", channels=3)
