"""How well masks agree, from a confusion matrix: counts add up over images and tiles."""

import numpy as np


def scores(confusion: np.ndarray) -> dict[str, float]:
    """`pixel_accuracy`, `mean_iou` and `dice` (mean over classes) of a confusion matrix.

    A class that neither occurs nor is predicted is left out of the means.

    Args:
      confusion: `[k, k]` counts; row = true class, column = guess.

    >>> scores(np.array([[3, 1], [0, 4]]))["mean_iou"]
    0.775
    """
    confusion = np.asarray(confusion, np.float64)
    hit = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - hit
    seen = either > 0
    if not seen.any():
        return {"pixel_accuracy": float("nan"), "mean_iou": float("nan"), "dice": float("nan")}
    return {
        "pixel_accuracy": float(hit.sum() / confusion.sum()),
        "mean_iou": float((hit[seen] / either[seen]).mean()),
        "dice": float((2 * hit[seen] / (either[seen] + hit[seen])).mean()),
    }
