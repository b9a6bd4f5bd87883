"""Decoding of large JPEGs at a fraction of their size."""

JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif", "")
"""Suffixes, in lower case, of files that may be JPEGs; all others are decoded whole."""

MARGIN = 2  # both sides of the decoded image are at least so many times those of the result, which then differs little
_LARGEST = 8  # fraction that libjpeg decodes: 1/8 of the size


def reduce(image, size: tuple[int, int]):
    """Decodes a large JPEG at 1/2, 1/4 or 1/8 of its size and resizes it; returns any other image as it is.

    libjpeg leaves out the high frequencies of each block of 8x8 pixels, so most of the decoding is saved.

    Args:
      image: the Pillow image, opened and not decoded.
      size: height and width of the result in pixels, on the side on which the file stores it.
    """
    from PIL import Image

    (height, width), jpeg = size, image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
    fraction = min(image.height // (MARGIN * height), image.width // (MARGIN * width), _LARGEST)
    if not jpeg or fraction < 2:
        return image
    _, box = image.draft(None, (image.width // fraction, image.height // fraction))
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
