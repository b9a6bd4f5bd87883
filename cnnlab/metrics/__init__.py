"""Metrics in NumPy and double precision, over all examples at once."""

LARGER_IS_BETTER = {
    **dict.fromkeys(
        ("accuracy", "balanced_accuracy", "mean_iou", "dice", "pixel_accuracy", "map", "map50", "r2"), True
    ),
    **dict.fromkeys(("loss", "crps", "nll", "brier", "ece", "rmse", "mae"), False),
}
"""The metrics that can choose a best step, and which way."""
