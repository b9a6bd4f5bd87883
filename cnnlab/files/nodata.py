"""Pixels without data in TIFF files."""

from pathlib import Path

import numpy as np

from cnnlab.files.eight_bits import strips
from cnnlab.files.opening import opened
from cnnlab.files.tiff import BLACK_IS_ZERO, WHITE_IS_ZERO, Bands, read_bands


def known_pixels(path: Path) -> np.ndarray | None:
    """Reads which pixels of a TIFF have data: at least one band differs from the nodata value, and alpha is not 0.

    It does not read a mask that is stored as a second image in the file.

    Returns:
      Boolean `[H, W]`, upright; None if all pixels have data, as in files of other formats.

    Raises:
      ValueError: colours of 16 bits have a nodata value, which cannot be recognised after scaling to 8 bits.
    """
    from PIL import ImageOps

    bands = read_bands(path)
    if bands is None or (bands.nodata is None and not bands.alpha):
        return None
    if bands.nodata is not None and bands.bits > 8 and bands.count > 1:
        raise ValueError(
            f"{path} holds colours of {bands.bits} bits, where pixels without data ({bands.nodata:g}) cannot be "
            "recognised after scaling to 8 bits; save it with 8 bits and an alpha band"
        )
    with opened(path, str(path)) as image:
        ImageOps.exif_transpose(image, in_place=True)
        known = np.empty((image.height, image.width), bool)
        for rows, strip in strips(image):
            pixels = np.asarray(strip)
            known[rows] = _known(pixels[..., None] if pixels.ndim == 2 else pixels, bands)
    return known


def _known(pixels: np.ndarray, bands: Bands) -> np.ndarray:
    """Returns which decoded pixels `[h, w, bands]` have data."""
    known = (pixels[..., : bands.count] != _decoded(bands)).any(-1) if bands.nodata is not None else True
    return known & (pixels[..., -1] > 0) if bands.alpha else known


def _decoded(bands: Bands) -> float:
    """Returns the nodata value as it is after Pillow decodes: grey of 2 to 7 bits is scaled to 0..255, MinIsWhite is
    inverted.
    """
    if bands.bits > 8 or bands.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        return bands.nodata
    largest = 2**bands.bits - 1
    value = largest - bands.nodata if bands.photometric == WHITE_IS_ZERO else bands.nodata
    return value if bands.bits in (1, 8) else value * 255 / largest
