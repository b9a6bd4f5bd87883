"""Maps that calibrate probabilities after training, fitted on a validation split.

Every map takes probabilities `[..., k]` and returns probabilities. It uses their logarithms as logits. For a single
pass these differ from the network's own logits by a constant per example, which a softmax cancels. Means over
MC-Dropout passes or over an ensemble have no other logits. Average first, then calibrate the mean (Rahaman and Thiery,
Uncertainty Quantification and Deep Ensembles, NeurIPS 2021), and fit the map on means over the same number of passes
as it is applied to. A probability of 0 counts as the smallest positive float32, as in the likelihood.
"""

from typing import Any, Protocol

import numpy as np

from cnnlab.calibration.isotonic import Isotonic
from cnnlab.calibration.platt import Platt
from cnnlab.calibration.temperature import Temperature
from cnnlab.calibration.vector import Vector
from cnnlab.errors import unknown
from cnnlab.files import strict_json


class Calibration(Protocol):
    """A fitted map of probabilities: a frozen dataclass of numbers that `strict_json.encode` converts to JSON.

    To add a method, write such a class in a file of its own and enter it in `CALIBRATIONS`.
    """

    @staticmethod
    def smallest(classes: int) -> int:
        """Returns the smallest number of examples for a fit."""

    @classmethod
    def fit(cls, probs: np.ndarray, labels: np.ndarray, *, penalty: float = 0.0) -> "Calibration":
        """Fits the map on probabilities `[n, k]` and labels `[n]` of a validation split.

        A penalty above 0 draws it to the identity, and lets it have an optimum on any split.
        """

    def apply(self, probs: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities in the shape of `probs`."""

    def report(self) -> dict[str, float]:
        """Returns the numbers of the map that an evaluation reports, by name."""


CALIBRATIONS: dict[str, type[Calibration]] = {
    "temperature": Temperature,
    "vector": Vector,
    "platt": Platt,
    "isotonic": Isotonic,
}
"""Classes of calibration maps, by the name of the method."""


def fit_calibration(method: str, probs: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fits a calibration map, chosen by its name in `CALIBRATIONS`, on a validation split.

    Args:
      method: `temperature`, `vector`, `platt` or `isotonic`.
      probs: probabilities `[n, k]`.
      labels: true classes `[n]`.

    Raises:
      ValueError: the name is unknown, or the split is not suitable (see each map's `fit`).

    >>> probs, labels = np.array([[0.99, 0.01]] * 100), np.array([0] * 75 + [1] * 25)  # right 3 times in 4
    >>> fit_calibration("temperature", probs, labels).apply(probs[0]).round(6).tolist()
    [0.75, 0.25]
    """
    return known_calibration(method).fit(probs, labels)


def to_json(calibration: Calibration) -> dict[str, Any]:
    """Converts a fitted map to a JSON object that holds its method and its numbers.

    >>> to_json(Temperature(1.5)), from_json({"method": "temperature", "temperature": 1.5})
    ({'method': 'temperature', 'temperature': 1.5, 'log_error': 0.0}, Temperature(temperature=1.5, log_error=0.0))
    """
    (method,) = (name for name, kind in CALIBRATIONS.items() if type(calibration) is kind)
    return {"method": method, **strict_json.encode(calibration)}


def from_json(value: dict[str, Any]) -> Calibration:
    """Converts the result of `to_json` back to a map.

    Raises:
      ValueError: the method or a key is unknown, or a number is missing or out of range.
    """
    if not isinstance(value, dict) or not isinstance(value.get("method"), str):
        raise ValueError(f"a calibration must be an object with the key method, found {strict_json.shown(value)}")
    numbers = {key: item for key, item in value.items() if key != "method"}
    return strict_json.decode(known_calibration(value["method"]), numbers, "calibration")


def known_calibration(method: str) -> type[Calibration]:
    """Returns the class of a calibration map by its name; raises `ValueError` for an unknown name."""
    if method not in CALIBRATIONS:
        raise unknown("calibration", method, CALIBRATIONS)
    return CALIBRATIONS[method]
