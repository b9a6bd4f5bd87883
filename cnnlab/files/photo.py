"""A photo to predict, with the properties that records and drawings need."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnlab.files.images import decode_header, decode_pixels, read_header, read_pixels


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo or one frame of a video; its file is decoded at the first use of `size` or `pixels`.

    Attributes:
      path: path of the photo or of the video.
      number: number of the photo, counted from 1; the `image_id` of COCO.
      categories: COCO's category numbers by class name; by default classes are numbered from 1.
      frame: pixels `[H, W, 3]` uint8 of a video's frame; None for a photo.
      encoded: content of the photo's file, so that the file at `path` is not opened; None reads the file.
    """

    path: Path
    number: int = 1
    categories: Mapping[str, int] | None = None
    frame: np.ndarray | None = None
    encoded: bytes | None = None

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """The height and width of the upright photo in pixels."""
        if self.frame is not None:
            return self.frame.shape[:2]
        return (read_header(self.path) if self.encoded is None else decode_header(self.encoded, name=str(self.path)))[0]

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """The pixels of the upright photo at its own size, `[H, W, 3]` uint8."""
        if self.frame is not None:
            return self.frame
        layout = {"size": self.size, "channels": 3}
        if self.encoded is None:
            return read_pixels(self.path, **layout)
        return decode_pixels(self.encoded, **layout, name=str(self.path))
