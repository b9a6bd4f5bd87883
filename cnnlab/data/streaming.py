"""Image files as a column of examples: a few threads decode the files of a batch when it is read."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.files.images import read_pixels
from cnnlab.files.opening import ImageError

HASHED_FILES = 1000  # files whose content enters the digest of a streamed split; the names and sizes of all do
HASHED_BYTES = 1 << 20  # bytes that are hashed of each of these files


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files that behave like an array `[n, H, W, C]` uint8 that is indexed along its first axis only.

    `files[3]` decodes one image, `files[[3, 5]]` decodes a batch. No image stays in memory.

    A forked process may read them. JAX itself supports no fork once it has run, so a loader should start its worker
    processes by `spawn`, or before the first call of JAX.

    Attributes:
      root: folder of the files.
      names: paths of the files relative to it.
      size: height and width in pixels to which every file is resized (see `read_pixels`).
      channels: 1 for grey, 3 for RGB.
      fit: `stretch`, `letterbox` or `strip`.
      decoding: `exact` or `fast`.
    """

    root: Path
    names: np.ndarray
    size: tuple[int, int]
    channels: int
    fit: str = "stretch"
    decoding: str = "exact"

    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Returns `(n, H, W, C)`."""
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
        """Returns the files at these indices without reading them."""
        return dataclasses.replace(self, names=self.names[indices])

    def readable(self) -> tuple[np.ndarray, list[str]]:
        """Decodes every file once. Returns which ones can be read, `[n]` bool, and the error messages of the others."""
        wrong = list(_threads().map(self._error, self.names))
        return np.array([message is None for message in wrong]), [message for message in wrong if message]

    def digest(self) -> str:
        """Returns a digest of all names and sizes, and of the content of some files.

        Only the first mebibyte of up to 1,000 files, spread evenly, is read, because hashing every file of a large set
        would take hours.
        """
        own = [value for value, usual in ((self.fit, "stretch"), (self.decoding, "exact")) if value != usual]
        digest = hashlib.sha256(f"{self.shape}{''.join(own)}".encode())
        for name in self.names:
            digest.update(f"{name} {(self.root / name).stat().st_size}\n".encode())
        for place in np.linspace(0, len(self) - 1, min(len(self), HASHED_FILES)).astype(int):
            with open(self.root / self.names[place], "rb") as file:
                digest.update(file.read(HASHED_BYTES))
        return digest.hexdigest()

    @property
    def _layout(self) -> dict[str, Any]:
        return {"size": self.size, "channels": self.channels, "fit": self.fit, "decoding": self.decoding}

    def _read(self, name: str) -> np.ndarray:
        try:
            return read_pixels(self.root / name, **self._layout)
        except ImageError as error:
            raise skippable(error) from error

    def _error(self, name: str) -> str | None:
        """Returns the error message of a file that cannot be read, otherwise None."""
        try:
            read_pixels(self.root / name, **self._layout)
        except ImageError as error:
            return str(error)
        return None


def skippable(error: ImageError) -> ImageError:
    """Returns the error with advice on how to continue without the file."""
    return ImageError(f"{error}; --data.skip-unreadable leaves such files out")


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """Returns the thread pool that all columns share.

    Pillow decodes without Python's lock, so threads run in parallel, and more threads than cores gain nothing.
    """
    return concurrent.futures.ThreadPoolExecutor(min(16, _cores()), thread_name_prefix="decode")


def _cores() -> int:
    """Returns how many cores this process may use; a job of a cluster often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads, and makes a pool of its own
    os.register_at_fork(after_in_child=_threads.cache_clear)
