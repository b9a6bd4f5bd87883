"""Metrics in NumPy and double precision, over all examples at once."""

_ERRORS = frozenset({"loss", "nll", "brier", "ece", "rmse", "mae"})


def smaller_is_better(name: str) -> bool:
    """Whether a smaller value of the metric of this name is the better one."""
    return name in _ERRORS
