"""Evaluation: metrics of a network on a split, with calibration, conformal sets and out-of-distribution detection."""

from cnnlab.evaluation.evaluate import evaluate

__all__ = ["evaluate"]


def __dir__() -> list[str]:
    return __all__
