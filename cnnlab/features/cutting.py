"""Cuts patches of one size from images."""

import numpy as np


def patch_windows(boxes: np.ndarray, field: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Returns windows of one size that hold receptive fields.

    Along an axis on which the largest receptive field is as long as the image or longer, the window is the image.

    Args:
      boxes: receptive fields `[..., 4]`, xyxy in pixels; after upsampling they can differ by a pixel.
      field: height and width of the largest of them.
      size: height and width of the image.

    Returns:
      Windows `[..., 4]`, xyxy in pixels, which may reach beyond the image.

    >>> patch_windows(np.array([[-1, 0, 2, 9]]), (9, 3), (8, 8)).tolist()
    [[-1, 0, 2, 8]]
    """
    ends = []
    for axis, (side, pixels) in enumerate(zip(field[::-1], size[::-1], strict=True)):
        first, last = boxes[..., axis], boxes[..., axis + 2]
        start = first - (side - (last - first)) // 2
        whole = side >= pixels
        ends.append((np.zeros_like(start), np.full_like(start, pixels)) if whole else (start, start + side))
    (left, right), (top, bottom) = ends
    return np.stack([left, top, right, bottom], -1)


def cut(image: np.ndarray, window: np.ndarray, fill: float) -> np.ndarray:
    """Cuts a window (xyxy) from an image `[H, W, C]`; pixels outside the image get the value `fill`.

    >>> cut(np.ones((2, 2, 1)), np.array([1, 0, 3, 1]), 0.5)[..., 0].tolist()
    [[1.0, 0.5]]
    """
    left, top, right, bottom = map(int, window)
    out = np.full((bottom - top, right - left, image.shape[-1]), fill, image.dtype)
    inside = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    row, column = max(-top, 0), max(-left, 0)
    out[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return out
