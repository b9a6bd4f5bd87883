"""The images that `cnnlab explain` explains: photos, windows of sheets and frames of videos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.commands.common import Misuse
from cnnlab.files.images import fit_pixels, read_pixels
from cnnlab.files.listing import find_images
from cnnlab.files.opening import ImageError
from cnnlab.files.photo import Photo
from cnnlab.files.video import SUFFIXES, open_video
from cnnlab.predictions.predict import fitting_size
from cnnlab.sheets.rasters import is_sheet, open_sheet
from cnnlab.trained import Trained


class Input(NamedTuple):
    """An image and what it is called.

    Attributes:
      path: its file.
      part: window or frame of the file, such as `frame 12`; empty for a photo.
      pixels: `[H, W, C]` uint8, as the network reads it.
    """

    path: Path
    part: str
    pixels: np.ndarray


def read_inputs(
    trained: Trained, paths: Sequence[str], *, window: tuple[int, int] | None, frames: Sequence[int]
) -> Iterator[Input | ImageError]:
    """Yields the images of all paths in order; each is read when it is needed. A file that cannot be read is an error.

    Args:
      trained: the network.
      paths: image files, folders and videos.
      window: row and column of a sheet's window; None for the middle.
      frames: numbers of a video's frames, from 1.

    Raises:
      ValueError: a path does not exist, or a file has no such window or frame; it is named.
    """
    if any(number < 1 for number in frames):
        raise Misuse(f"frames are counted from 1, found {min(frames)}")
    fitting, sheets = fitting_size(trained), trained.any_size and not trained.spec.resized
    for path in map(Path, paths):
        if path.suffix.lower() in SUFFIXES:
            yield from _frames(trained, path, sorted(set(frames)))
            continue
        for file in find_images([path]):
            try:
                if window is not None or (sheets and is_sheet(file, trained.spec.size)):
                    yield _window(trained, file, window)
                else:
                    yield Input(file, "", read_pixels(file, **trained.spec.layout | {"size": fitting(Photo(file))}))
            except ImageError as error:
                yield error


def _window(trained: Trained, file: Path, corner: tuple[int, int] | None) -> Input:
    """Reads a window of the training images' size."""
    height, width = trained.spec.size
    with open_sheet(file, channels=trained.spec.channels) as sheet:
        rows, columns = (have - need for have, need in zip(sheet.size, (height, width), strict=True))
        if min(rows, columns) < 0:
            raise ValueError(f"{file} has {sheet.size[0]}x{sheet.size[1]} pixels; a window has {height}x{width}")
        row, column = (rows // 2, columns // 2) if corner is None else corner
        if not (0 <= row <= rows and 0 <= column <= columns):
            raise ValueError(f"--window must lie in 0..{rows} and 0..{columns} for {file}, found {row} and {column}")
        pixels, _ = sheet.read(slice(row, row + height), slice(column, column + width))
    if pixels.dtype != np.uint8:
        pixels = np.rint(255 * pixels).astype(np.uint8)
    return Input(file, f"window {row} {column}", pixels)


def _frames(trained: Trained, path: Path, numbers: Sequence[int]) -> Iterator[Input]:
    """Yields the frames of a video by their numbers."""
    left = set(numbers)
    with open_video(path) as video:
        for number, frame in enumerate(video.frames, 1):
            if number in left:
                left.remove(number)
                yield Input(path, f"frame {number}", fit_pixels(frame.pixels, **trained.spec.layout))
            if not left:
                return
    raise ValueError(f"{path} has no frame {min(left)}; --frames counts from 1")
