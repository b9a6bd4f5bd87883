"""Image files as a column of examples: decoded when a batch asks for them, by a few threads, never all at once."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
from pathlib import Path

import numpy as np

from cnnlab.files.images import ImageError, read_pixels

HASHED_FILES = 1000  # of a streamed split; every file's name and size enter its digest besides
HASHED_BYTES = 1 << 20  # of each of them


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files that behave like an array `[n, H, W, C]` uint8 which is indexed along its first axis only.

    `files[3]` is one image, `files[[3, 5]]` a batch; memory holds what was asked for and nothing else.

    Attributes:
      root: the folder.
      names: of the files, relative to it.
      size: height and width in pixels; files are resized to it (see `read_pixels`).
      channels: 1 or 3.
      fit: `stretch` or `letterbox`.
    """

    root: Path
    names: np.ndarray
    size: tuple[int, int]
    channels: int
    fit: str = "stretch"

    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(n, H, W, C)`."""
        return (len(self.names), *self.size, self.channels)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, indices) -> np.ndarray:
        names = self.names[indices]
        if isinstance(names, str):
            return self._read(names)
        out = np.empty((len(names), *self.size, self.channels), np.uint8)
        for place, pixels in enumerate(_threads().map(self._read, names)):
            out[place] = pixels
        return out

    def take(self, indices) -> "ImageFiles":
        """The files at these places, still unread."""
        return dataclasses.replace(self, names=self.names[indices])

    def readable(self) -> tuple[np.ndarray, list[str]]:
        """Decodes every file once and keeps none: which can be read, `[n]` bool, and what is wrong with the others."""
        wrong = list(_threads().map(self._error, self.names))
        return np.array([message is None for message in wrong]), [message for message in wrong if message]

    def digest(self) -> str:
        """Of all names and sizes, and of the first mebibyte of up to 1,000 files spread evenly: seconds, not hours."""
        digest = hashlib.sha256(f"{self.shape}{'' if self.fit == 'stretch' else self.fit}".encode())
        for name in self.names:
            digest.update(f"{name} {(self.root / name).stat().st_size}\n".encode())
        for place in np.linspace(0, len(self) - 1, min(len(self), HASHED_FILES)).astype(int):
            with open(self.root / self.names[place], "rb") as file:
                digest.update(file.read(HASHED_BYTES))
        return digest.hexdigest()

    def _read(self, name: str) -> np.ndarray:
        try:
            return read_pixels(self.root / name, size=self.size, channels=self.channels, fit=self.fit)
        except ImageError as error:
            raise skippable(error) from error

    def _error(self, name: str) -> str | None:
        try:
            read_pixels(self.root / name, size=self.size, channels=self.channels)
        except ImageError as error:
            return str(error)
        return None


def skippable(error: ImageError) -> ImageError:
    """The error with the way to go on without the file."""
    return ImageError(f"{error}; --data.skip-unreadable leaves such files out")


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """One pool for all: Pillow decodes without Python's lock, so more threads than cores gain nothing."""
    return concurrent.futures.ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="decode")
