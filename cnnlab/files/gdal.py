"""Safe opening of rasters with GDAL, which guesses formats by content and follows the files that a file names."""

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from cnnlab.files.opening import ImageError

DRIVERS = ("GTiff", "JPEG", "PNG", "JP2OpenJPEG", "JP2KAK", "JP2ECW", "JP2MrSID")
"""Formats that GDAL may recognise by a file's content. Others, such as VRT and WMS, open other files that it names."""

MAX_BANDS = 1024  # hyperspectral cameras have a few hundred
_VALUES_PER_BYTE = 1_000_000  # above what the best compression of one colour, or a tile left out, reaches
_NO_NETWORK = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none"}
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIDECAR_BYTES = 10_000_000  # largest size of an .aux.xml file
_CACHE = 256  # MB; enough for a row of windows of a file that is stored row by row


def _check_folder(path: Path) -> None:
    """Refuses a raster in a folder with a pipe: GDAL looks for many files beside it, and would wait for a writer."""
    with contextlib.suppress(PermissionError), os.scandir(path.parent) as entries:
        for entry in entries:
            if not (entry.is_file() or entry.is_dir()):
                other = Path(entry.path)
                if other.is_fifo() or other.is_char_device():
                    raise ImageError(f"{other} is a pipe or a device, for which GDAL would wait; remove it")


def _check_sidecars(path: Path) -> None:
    """Raises `ImageError` if a file beside a raster could make GDAL open other files.

    These are overviews and masks that are no TIFFs, and descriptions that name an overview file.
    """
    for suffix in (".ovr", ".msk", ".OVR", ".MSK"):
        sidecar = path.with_name(path.name + suffix)
        if not (_first_bytes(sidecar, 4) or _TIFF_MAGIC[0]).startswith(_TIFF_MAGIC):
            raise ImageError(f"{sidecar} is no TIFF, which GDAL expects beside {path.name}; remove it")
    description = path.with_name(f"{path.name}.aux.xml")
    text = _first_bytes(description, _SIDECAR_BYTES + 1)
    if len(text) > _SIDECAR_BYTES or b"OVERVIEW_FILE" in text:
        raise ImageError(f"{description} names other files or is too large; remove it")


def _first_bytes(path: Path, number: int) -> bytes:
    """Returns the first bytes of a file; empty if it does not exist or its name is too long to exist."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(number)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return b""
        raise


@contextlib.contextmanager
def open_raster(path: Path) -> Iterator:
    """Opens a raster by rasterio, in one of `DRIVERS` and without the network.

    Raises:
      ImageError: the file is damaged or claims too much, or a file beside it could make GDAL open others or wait.
    """
    import rasterio
    from rasterio.io import DatasetReader

    # A file without a georeference is valid, so rasterio's warning is ignored.
    with rasterio.Env(GDAL_CACHEMAX=_CACHE, **_NO_NETWORK), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        _check_folder(path)
        _check_sidecars(path)
        try:
            file = DatasetReader(str(path.absolute()), driver=list(DRIVERS))  # rasterio.open takes only one driver
        except rasterio.errors.RasterioIOError as error:
            raise ImageError(f"cannot read {path} as a raster ({error}); repair or replace it") from error
        with file:
            _check_size(file, path)
            yield file


def _check_size(file, path: Path) -> None:
    """Refuses a raster that claims more than it can hold; GDAL takes every claim of a header for true."""
    if file.count > MAX_BANDS:
        raise ImageError(f"{path} has {file.count:,} bands, more than {MAX_BANDS:,}; save the ones that are needed")
    claimed, length = file.width * file.height * file.count, path.stat().st_size
    if claimed > _VALUES_PER_BYTE * length:
        raise ImageError(
            f"{path} claims {file.width}x{file.height} pixels of {file.count} bands in {length:,} bytes, more than "
            "compression explains; repair or replace it"
        )
