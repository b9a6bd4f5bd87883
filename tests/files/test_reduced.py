"""Large JPEGs decoded at a fraction of their size."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnnlab.data.streaming import ImageFiles
from cnnlab.files.images import decode_pixels, read_pixels
from cnnlab.files.opening import ImageError

SIZE = {"size": (32, 40), "channels": 3}


def scene(height=600, width=803):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 37 + k) + np.cos(y / (23 + k)) for k in range(3)]
    return Image.fromarray((127 + 60 * np.stack(waves, -1)).astype(np.uint8))


def jpeg(path, image, orientation=1, **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, "JPEG", quality=92, exif=exif, **options)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
def test_fast_decoding_differs_by_less_than_1_of_255_on_average_whichever_way_the_photo_lies(
    tmp_path, orientation, fit
):
    path = jpeg(tmp_path / "a.jpg", scene(), orientation)
    exact, fast = (read_pixels(path, **SIZE, fit=fit, decoding=way).astype(int) for way in ("exact", "fast"))
    assert 0 < np.abs(fast - exact).mean() < 1


def test_fast_decoding_gives_the_pixels_of_pillows_thumbnail_of_the_same_fraction(tmp_path):
    path = jpeg(tmp_path / "a.jpg", scene(640, 800))
    with Image.open(path) as image:
        image.draft(None, (100, 80))  # an eighth: 640 // (2 * 32) = 10 and 800 // (2 * 40) = 10
        expected = image.resize((40, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(read_pixels(path, **SIZE, decoding="fast"), expected)


@pytest.mark.parametrize("name", ["small.jpg", "large.png", "cmyk.jpg"])
def test_fast_decoding_is_exact_for_small_photos_other_formats_and_cmyk(tmp_path, name):
    image = scene(120, 150) if name == "small.jpg" else scene()
    (image.convert("CMYK") if name == "cmyk.jpg" else image).save(tmp_path / name)
    exact, fast = (read_pixels(tmp_path / name, **SIZE, decoding=way) for way in ("exact", "fast"))
    np.testing.assert_array_equal(fast, exact)


def test_a_grey_jpeg_is_reduced_too_and_stays_grey(tmp_path):
    path = jpeg(tmp_path / "a.jpg", ImageOps.grayscale(scene()))
    pixels = read_pixels(path, **SIZE, decoding="fast")
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_a_truncated_large_jpeg_is_an_error_by_either_way(tmp_path):
    path = jpeg(tmp_path / "a.jpg", scene())
    path.write_bytes(path.read_bytes()[:9000])
    for way in ("exact", "fast"):
        with pytest.raises(ImageError, match=r"a\.jpg as an image \(.*truncated"):
            read_pixels(path, **SIZE, decoding=way)


def test_a_column_of_files_decodes_as_prediction_does_from_bytes(tmp_path):
    content = jpeg(tmp_path / "a.jpg", scene()).read_bytes()
    files = ImageFiles(tmp_path, np.array(["a.jpg"], object), (32, 40), 3, decoding="fast")
    np.testing.assert_array_equal(files[0], decode_pixels(content, **SIZE, decoding="fast"))
    assert files.digest() != ImageFiles(tmp_path, files.names, (32, 40), 3).digest()
