"""How close predicted numbers are."""

import numpy as np


def errors(values: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """`rmse` and `mae` in the targets' unit, and `r2`, each a mean over targets.

    `r2` is 1 - residual / total sum of squares, 0 for a target that does not vary.

    Args:
      values: `[n, d]` predictions.
      targets: `[n, d]`.

    >>> errors(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))["mae"]
    1.0
    """
    values, targets = np.asarray(values, np.float64), np.asarray(targets, np.float64)
    residual = ((values - targets) ** 2).mean(0)
    total = targets.var(0)
    r2 = np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), 0.0)
    return {
        "rmse": float(np.sqrt(residual).mean()),
        "mae": float(np.abs(values - targets).mean()),
        "r2": float(r2.mean()),
    }
