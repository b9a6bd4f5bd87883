"""What a comparison with another library is, and the inputs that both get.

Each comparison gives ours, theirs and, where the definitions differ, ours `put` into theirs.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special

N, K, BINS = 1200, 5, 15  # the bins divide the examples evenly


class Outcome(NamedTuple):
    ours: Any
    theirs: Any
    put: Any = None  # ours in their definition, where it is another one


class Comparison(NamedTuple):
    quantity: str
    library: str
    run: Callable[[], Outcome]
    why: str  # the difference, in a sentence; empty where there is none
    tolerance: float

    def __str__(self) -> str:
        return f"{self.quantity}, {self.library}"


COMPARISONS: list[Comparison] = []


def against(library: str, quantity: str, why: str = "", *, tolerance: float = 1e-6) -> Callable:
    """Enters a function of no argument into the list."""

    def enter(run: Callable[[], Outcome]) -> Callable[[], Outcome]:
        COMPARISONS.append(Comparison(quantity, library, run, why, tolerance))
        return run

    return enter


def torch_uncertainty(path: str) -> Any:
    """A class of torch-uncertainty by `module.Name`, without running its packages' own imports.

    Those need lightning, timm and a torchvision built for this torch; the parts compared here do not. A torchvision
    built for another one can be imported once the two operators that it registers are declared.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except ImportError:
        pass  # whoever needs it says so
    except RuntimeError:  # its operators can be declared but once
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{operator}", schema)
    module, name = f"torch_uncertainty.{path}".rsplit(".", 1)
    parts = module.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        if package not in sys.modules:
            sys.modules[package] = importlib.util.module_from_spec(importlib.util.find_spec(package))
    if "post_processing" in parts and not hasattr(sys.modules["torch_uncertainty.post_processing"], "PostProcessing"):
        shared = sys.modules["torch_uncertainty.post_processing"]
        shared.PostProcessing = importlib.import_module("torch_uncertainty.post_processing.abstract").PostProcessing
        shared.TemperatureScaler = torch_uncertainty("post_processing.calibration.temperature_scaler.TemperatureScaler")
    return getattr(importlib.import_module(module), name)


def tensors(*arrays: np.ndarray) -> list:
    import torch

    return [torch.as_tensor(np.asarray(array)) for array in arrays]


def loader(logits: np.ndarray, labels: np.ndarray):
    """One batch of everything, as torch's loaders give it."""
    return [tuple(tensors(logits, labels))]


# The data: overconfident probabilities of five classes, labels drawn from honest ones, a second such split, scores of
# examples inside and outside, and 20 sampled distributions for 50 examples.

_rng = np.random.default_rng(0)


def _drawn() -> tuple[np.ndarray, np.ndarray]:
    logits = 1.5 * _rng.normal(size=(N, K))
    labels = (_rng.random((N, 1)) > scipy.special.softmax(logits, 1).cumsum(1)).sum(1)
    return 2 * logits, np.minimum(labels, K - 1)


LOGITS, LABELS = _drawn()
TEST_LOGITS, TEST_LABELS = _drawn()
PROBS, TEST_PROBS = scipy.special.softmax(LOGITS, 1), scipy.special.softmax(TEST_LOGITS, 1)
CONFIDENCE, CORRECT = PROBS.max(1), PROBS.argmax(1) == LABELS
INSIDE, OUTSIDE = _rng.integers(0, 40, 300) / 40, _rng.integers(10, 60, 200) / 40  # with ties
SAMPLES = _rng.dirichlet(np.ones(K), (20, 50)).astype(np.float32)
ERROR = 0.1
