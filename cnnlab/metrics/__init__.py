"""Metrics in NumPy and double precision, over all examples at once."""

from cnnlab.metrics import regression

LARGER_IS_BETTER = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "mean_iou", "dice", "pixel_accuracy", "map", "map50"), True),
    **dict.fromkeys(("loss", "crps", "nll", "brier", "ece"), False),
    **{name: metric.larger_is_better for name, metric in regression.METRICS.items()},
}
"""Metrics that can choose the best step, and whether a larger value of each is better."""
