"""Where a TIFF holds no data."""

from pathlib import Path

import numpy as np

from cnnlab.files.images import opened
from cnnlab.files.tiff import BLACK_IS_ZERO, WHITE_IS_ZERO, Bands, read_bands


def known_pixels(path: Path) -> np.ndarray | None:
    """Where a TIFF holds data, `[H, W]` upright: some band has another value than its nodata, and alpha is not 0.

    None where it does everywhere, as files of other kinds do. A mask kept as a second image in the file is not read.

    Raises:
      ValueError: colours of 16 bits have a nodata value, which cannot be told once they are cut to 8.
    """
    from PIL import ImageOps

    bands = read_bands(path)
    if bands is None or (bands.nodata is None and not bands.alpha):
        return None
    if bands.nodata is not None and bands.bits > 8 and bands.count > 1:
        raise ValueError(
            f"{path} holds colours of {bands.bits} bits, where pixels without data ({bands.nodata:g}) cannot be told; "
            "save it with 8 bits and an alpha band"
        )
    with opened(path, str(path)) as image:
        pixels = np.asarray(ImageOps.exif_transpose(image))
    values = pixels[..., None] if pixels.ndim == 2 else pixels
    known = (values[..., : bands.count] != _decoded(bands)).any(-1) if bands.nodata is not None else True
    return known & (values[..., -1] > 0) if bands.alpha else known


def _decoded(bands: Bands) -> float:
    """The nodata value as Pillow decodes it: grey of less than 8 bits scaled up, but for one, white as the largest."""
    if bands.bits > 8 or bands.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        return bands.nodata
    largest = 2**bands.bits - 1
    value = largest - bands.nodata if bands.photometric == WHITE_IS_ZERO else bands.nodata
    return value if bands.bits in (1, 8) else value * 255 / largest
