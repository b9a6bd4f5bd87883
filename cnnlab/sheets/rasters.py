"""Reading of sheets window by window: GeoTIFFs with rasterio, other images with Pillow, arrays directly."""

import contextlib
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.eight_bits import check_range, eight_bits
from cnnlab.files.gdal import open_raster
from cnnlab.files.images import ORIENTATION, read_header, read_pixels
from cnnlab.files.opening import MAX_PIXELS, SHEET_PIXELS, ImageError, opened, pixel_limit
from cnnlab.sheets.georeference import Georeference, georeference

GEOTIFF = (".tif", ".tiff", ".jp2")
_IMAGES = (".png", ".jpg", ".jpeg")
_GEO_TAGS = {33550, 34264}  # TIFF tags: ModelPixelScale and ModelTransformation
_SAMPLE = 512  # half the side in pixels of the central square in which the range of 16-bit values is checked


class Sheet(NamedTuple):
    """An image of any size.

    Attributes:
      size: height and width in pixels.
      read: function from two slices within the sheet, rows and columns, to the pixels `[h, w, C]`, uint8 (for arrays
        also floats in [0, 1]), and a mask `[h, w]` of the pixels with data. Floats have data where they are finite.
      georeference: georeference of the sheet, or None if the file has none.
      identity: values that distinguish the sheet from others.
    """

    size: tuple[int, int]
    read: Callable[[slice, slice], tuple[np.ndarray, np.ndarray]]
    georeference: Georeference | None
    identity: tuple


@contextlib.contextmanager
def open_sheet(
    source: str | Path | np.ndarray, *, channels: int, bands: Sequence[int] | None = None
) -> Iterator[Sheet]:
    """Opens a sheet, and reads its pixels from the disk only when needed if the file's format allows it.

    Args:
      source: a file, or an array or memory map `[H, W, C]`. Files with the suffix `.npy` are read window by window. If
        rasterio is installed, so are GeoTIFFs, `.jp2` files, and images that have a world file or more than
        `MAX_PIXELS` pixels. Pillow decodes all other images as a whole, up to `SHEET_PIXELS`.
      channels: number of channels that the network takes. As in training, palettes are converted to colours, and
        colours to grey or grey to colours.
      bands: bands of a raster to use as channels without conversion, counted from 1; None means all but an alpha band.

    Raises:
      ValueError: the file is missing or damaged, or its bands or pixel type do not fit; the message names the file.
    """
    if isinstance(source, np.ndarray):
        yield _array(source, "the sheet", channels, ("array", zlib.crc32(np.ascontiguousarray(source))))
        return
    path = Path(source)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give one sheet")
    if path.suffix.lower() == ".vrt":
        raise ImageError(
            f"{path} refers to other files, which are not opened; convert it with gdal_translate to a GeoTIFF"
        )
    identity = (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns, list(bands or ()))
    if _is_raster(path):
        with _raster(path, channels, bands, identity) as sheet:
            yield sheet
        return
    if bands is not None:
        if has_rasterio() and path.suffix.lower() in GEOTIFF:
            raise ValueError(
                f"{path} is rotated by its orientation tag, so bands cannot be chosen; save it upright or omit bands"
            )
        raise ValueError(
            f"bands can be chosen only for GeoTIFFs and with rasterio (pip install 'cnnlab[geo]'), not for {path}"
        )
    if path.suffix.lower() == ".npy":
        pixels = _memory_map(path)
    else:
        with pixel_limit(SHEET_PIXELS):
            _warn_if_georeferenced(path)
            size, _ = read_header(path)
            pixels = read_pixels(path, size=size, channels=channels)
    yield _array(pixels, str(path), channels, identity)


def is_sheet(path: str | Path, size: tuple[int, int]) -> bool:
    """Returns whether a file is a sheet: it is georeferenced, or more than twice as high or wide as `size`.

    Args:
      path: path of an image file, of which only the header is read.
      size: height and width of the training images in pixels.

    Raises:
      ValueError: the file cannot be read; the message names it.
    """
    path = Path(path)
    if path.suffix.lower() == ".npy" or placed(path) is not None:
        return True
    if _is_raster(path):
        with open_raster(path) as file:
            return is_large(file.shape, size)
    with pixel_limit(SHEET_PIXELS):
        return is_large(read_header(path)[0], size)


def placed(path: Path) -> Georeference | None:
    """Returns the georeference of an image file, of which only the header is read; None if it has none."""
    if not _is_raster(path):
        return None
    with open_raster(path) as file:
        return georeference(file)


def is_large(shape: tuple[int, int], size: tuple[int, int]) -> bool:
    """Returns whether an image is more than twice as high or wide as the training images of this size.

    >>> is_large((64, 65), (32, 32)), is_large((64, 64), (32, 32))
    (True, False)
    """
    return any(have > 2 * n for have, n in zip(shape, size, strict=True))


def has_rasterio() -> bool:
    """Returns whether the extra `geo` is installed."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


def _is_raster(path: Path) -> bool:
    """Returns whether rasterio reads the file window by window: a GeoTIFF, or a georeferenced or large image.

    GDAL ignores an orientation tag. Pillow therefore reads a file that has one and is not georeferenced, and rotates it
    upright, as in training.
    """
    if not has_rasterio() or path.suffix.lower() not in (*GEOTIFF, *_IMAGES):
        return False
    try:
        with open_raster(path) as file:
            if georeference(file) is not None or file.width * file.height > SHEET_PIXELS:
                return True
            large = file.width * file.height > MAX_PIXELS
    except ValueError:
        return path.suffix.lower() in GEOTIFF  # for other images Pillow reports the error
    return (large or path.suffix.lower() in GEOTIFF) and not _is_rotated(path)


def _is_rotated(path: Path) -> bool:
    try:
        with pixel_limit(SHEET_PIXELS), opened(path, str(path)) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return False  # otherwise Pillow decodes the whole image to look for EXIF data behind the pixels
            return image.getexif().get(ORIENTATION, 1) != 1
    except ValueError:
        return False  # a file that Pillow cannot read has no orientation tag


def _warn_if_georeferenced(path: Path) -> None:
    """Warns that the georeference of a GeoTIFF is lost without rasterio."""
    if path.suffix.lower() in GEOTIFF:
        with opened(path, str(path)) as image:
            if _GEO_TAGS & {*getattr(image, "tag_v2", ())}:
                warnings.warn(f"{path} is georeferenced; pip install 'cnnlab[geo]' to keep its place", stacklevel=2)


def _array(pixels: np.ndarray, name: str, channels: int, identity: tuple) -> Sheet:
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] != channels or 0 in pixels.shape:
        raise ImageError(f"{name} must be [H, W, {channels}] for this network, found {list(pixels.shape)}")
    if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
        raise ImageError(f"{name} must be uint8 (0..255) or floating point ([0, 1]), found {pixels.dtype}")

    def read(rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        window = np.array(pixels[rows, columns])
        valid = np.isfinite(window).all(-1)
        window = np.where(valid[..., None], window, np.zeros((), window.dtype))
        if window.dtype.kind == "f" and not 0 <= window.min() <= window.max() <= 1:
            raise ValueError(
                f"{name} holds floats from {window.min():g} to {window.max():g}; they must lie in [0, 1]: divide by 255"
            )
        return window, valid

    return Sheet(pixels.shape[:2], read, None, identity)


def _memory_map(path: Path) -> np.ndarray:
    """Maps the array of a `.npy` file into memory; raises `ImageError` for pickled objects and archives."""
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy's header parser can raise any error of Python's parser
        raise ImageError(f"cannot read {path} as an array ({error}); save it by numpy.save") from error


@contextlib.contextmanager
def _raster(path: Path, channels: int, bands: Sequence[int] | None, identity: tuple) -> Iterator[Sheet]:
    import rasterio
    from rasterio.enums import ColorInterp, MaskFlags
    from rasterio.windows import Window

    with open_raster(path) as file:
        colours = [i for i, kind in enumerate(file.colorinterp, 1) if kind != ColorInterp.alpha]
        chosen = list(bands or colours)
        palette = [dict(enumerate(file.colorinterp, 1)).get(band) for band in chosen] == [ColorInterp.palette]
        palette = palette and file.dtypes[chosen[0] - 1] == "uint8"
        number = 3 if palette else len(chosen)
        converts = (bands is None or palette) and {number, channels} == {1, 3}
        if (number != channels and not converts) or not all(1 <= band <= file.count for band in chosen):
            raise (ImageError if bands is None else ValueError)(
                f"{path} has {len(colours)} bands, but this network takes {channels}; choose as many of "
                f"1..{file.count} with --bands or bands={tuple((colours * channels)[:channels])}, "
                f"found {bands or 'none chosen'}"
            )
        if len(file.subdatasets) > 1:
            raise ImageError(f"{path} is a stack of {len(file.subdatasets)} images; save each in a file of its own")
        kinds = {file.dtypes[band - 1] for band in chosen}
        if kinds not in ({"uint8"}, {"uint16"}):
            raise ImageError(
                f"{path} holds {', '.join(sorted(kinds))} pixels; save all bands with 8 bits, or all with 16 bits"
            )
        bits = int(file.tags(chosen[0], ns="IMAGE_STRUCTURE").get("NBITS", 8 * np.dtype(*kinds).itemsize))
        if kinds == {"uint16"} and bits == 16:
            side = slice(max(file.height // 2 - _SAMPLE, 0), file.height // 2 + _SAMPLE)
            middle = Window.from_slices(side, slice(max(file.width // 2 - _SAMPLE, 0), file.width // 2 + _SAMPLE))
            with contextlib.suppress(rasterio.errors.RasterioIOError):
                values = file.read(chosen, window=middle.intersection(Window(0, 0, file.width, file.height)))
                check_range(int(values.max()), path)
        table = _palette(file) if palette else None
        white_is_zero = file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
        all_valid = all(MaskFlags.all_valid in file.mask_flag_enums[band - 1] for band in chosen)

        def read(rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
            window = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            try:
                pixels = file.read(chosen, window=window)
                valid = np.ones(pixels.shape[1:], bool) if all_valid else file.read_masks(chosen, window=window).any(0)
            except rasterio.errors.RasterioIOError as error:
                raise ImageError(f"cannot read {path} at {window} ({error}); it is damaged or cut off") from error
            if pixels.dtype == np.uint16:
                pixels = eight_bits(pixels, bits)
            if table is not None:
                pixels = table[pixels[0]]
            else:
                pixels = np.moveaxis(pixels, 0, -1)
                if bits < 8:
                    pixels = np.array([255 * value // (2**bits - 1) for value in range(2**bits)], np.uint8)[pixels]
                pixels = 255 - pixels if white_is_zero else pixels  # as Pillow does in training
            return _convert_colours(pixels, channels) * valid[..., None].astype(np.uint8), valid

        yield Sheet((file.height, file.width), read, georeference(file), identity)


def _palette(file) -> np.ndarray:
    """Returns the palette `[256, 3]` of a raster with one band."""
    table = np.zeros((256, 3), np.uint8)
    for place, colour in file.colormap(1).items():
        table[place] = colour[:3]
    return table


def _convert_colours(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Converts colours `[h, w, 3]` to grey with Pillow's luma, as in training, or grey to colours."""
    if pixels.shape[-1] == channels or channels not in (1, 3):
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, -1)
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    return ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)[..., None]
