"""The handwritten digits that ship with scikit-learn."""

import numpy as np

from cnnlab.data.dataset import Dataset, from_arrays
from cnnlab.data.splits import split_columns


def digits(*, size: int = 28, seed: int = 0) -> Dataset:
    """Loads the 1,797 handwritten digits of scikit-learn, resized bilinearly from 8x8 pixels.

    The split into train, validation and test is 70 : 10 : 20, stratified by digit. It depends on `seed`, which belongs
    to the data and not to the experiment, so that all seeds of training share one split.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI repository, 1998.

    Args:
      size: height and width of the images in pixels.
      seed: seed of the split.
    """
    from PIL import Image

    if not 8 <= size <= 256:
        raise ValueError(f"size must lie in 8..256 pixels, found {size}")
    small, label = digits_8x8()
    image = np.stack([Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR) for pixels in small])
    columns = {"image": image, "label": label}
    splits = split_columns(columns, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=seed)
    return from_arrays(splits, classes=tuple("0123456789"), name="digits")


def digits_8x8() -> tuple[np.ndarray, np.ndarray]:
    """Returns the embedded digits as they are stored, `[1797, 8, 8]` uint8, and their labels `[1797]` int32."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return np.round(raw.images * (255 / 16)).astype(np.uint8), raw.target.astype(np.int32)
