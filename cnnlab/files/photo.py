"""One photo for which a network gives an answer, with what records and drawings must know of it."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cnnlab.files.images import read_header, read_pixels


@dataclasses.dataclass(frozen=True)
class Photo:
    """A photo, or one frame of a video. Its file is read only where `size` or `pixels` are asked for.

    Attributes:
      path: of the file, or of the video.
      number: of the photo, 1 the first; COCO's `image_id`.
      categories: COCO's numbers of the classes by name; 1 is the first class, if left out.
      frame: the pixels `[H, W, 3]` uint8 of a video's frame.
    """

    path: Path
    number: int = 1
    categories: Mapping[str, int] | None = None
    frame: np.ndarray | None = None

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright."""
        return read_header(self.path)[0] if self.frame is None else self.frame.shape[:2]

    @functools.cached_property
    def pixels(self) -> np.ndarray:
        """`[H, W, 3]` uint8, upright, at the photo's own size."""
        return read_pixels(self.path, size=self.size, channels=3) if self.frame is None else self.frame
