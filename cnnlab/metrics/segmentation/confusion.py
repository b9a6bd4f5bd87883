"""Agreement of masks, computed from a confusion matrix whose counts add up over images and tiles."""

import numpy as np


def confusion_matrix(guess: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Counts pixels by true class (row) and predicted class (column), `[k, k]`; pixels with the label -1 do not count.

    Args:
      guess: predicted classes, whole numbers in 0..k-1; any shape.
      truth: true classes, whole numbers in 0..k-1, or -1; same shape as `guess`.
      k: number of classes.

    Raises:
      ValueError: the shapes differ, or a value is not a class.

    >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, -1]), 2).tolist()
    [[1, 1], [0, 0]]
    """
    guess, truth = np.asarray(guess), np.asarray(truth)
    if guess.shape != truth.shape:
        raise ValueError(f"guess and truth must have one shape, found {list(guess.shape)} and {list(truth.shape)}")
    known = truth != -1
    guess, truth = guess[known].astype(np.int64), truth[known].astype(np.int64)
    for name, values in (("guess", guess), ("truth", truth)):
        if values.size and not 0 <= values.min() <= values.max() < k:
            raise ValueError(f"{name} must lie in 0..{k - 1}, found {values.min()}..{values.max()}")
    return np.bincount(truth * k + guess, minlength=k * k).reshape(k, k)


def class_scores(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Computes `iou` and `dice` of every class, `[k]`; NaN for a class that neither occurs nor is predicted.

    Args:
      confusion: `[k, k]` counts; row = true class, column = predicted class.

    >>> class_scores(np.array([[3, 1], [0, 4]]))["iou"].tolist()
    [0.75, 0.8]
    """
    confusion = np.asarray(confusion, np.float64)
    hit = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - hit
    either = np.where(either > 0, either, np.nan)
    return {"iou": hit / either, "dice": 2 * hit / (either + hit)}


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Computes `pixel_accuracy`, `mean_iou` and `dice` (averaged over classes) from a confusion matrix.

    A class that neither occurs nor is predicted is left out of the means.

    Args:
      confusion: `[k, k]` counts; row = true class, column = predicted class.

    >>> scores(np.array([[3, 1], [0, 4]]))["mean_iou"]
    0.775
    """
    confusion = np.asarray(confusion, np.float64)
    if not confusion.sum():
        return {"pixel_accuracy": float("nan"), "mean_iou": float("nan"), "dice": float("nan")}
    each = class_scores(confusion)
    return {
        "pixel_accuracy": float(np.trace(confusion) / confusion.sum()),
        "mean_iou": float(np.nanmean(each["iou"])),
        "dice": float(np.nanmean(each["dice"])),
    }
