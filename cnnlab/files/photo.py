"""A photo to predict, with the properties that records and drawings need."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnlab.files.images import read_header, read_pixels


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo or one frame of a video; its file is read at the first use of `size` or `pixels`.

    Attributes:
      path: path of the photo or of the video.
      number: number of the photo, counted from 1; the `image_id` of COCO.
      categories: COCO's category numbers by class name; by default classes are numbered from 1.
      frame: pixels `[H, W, 3]` uint8 of a video's frame; None for a photo.
    """

    path: Path
    number: int = 1
    categories: Mapping[str, int] | None = None
    frame: np.ndarray | None = None

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """The height and width of the upright photo in pixels."""
        return read_header(self.path)[0] if self.frame is None else self.frame.shape[:2]

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """The pixels of the upright photo at its own size, `[H, W, 3]` uint8."""
        return read_pixels(self.path, size=self.size, channels=3) if self.frame is None else self.frame
