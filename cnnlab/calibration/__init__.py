"""Post-hoc calibration of probabilities, and conformal sets of classes, fitted on a validation split."""

from cnnlab.calibration.choice import Quality, choose_calibration
from cnnlab.calibration.conformal import Conformal
from cnnlab.calibration.isotonic import Isotonic
from cnnlab.calibration.methods import CALIBRATIONS, Calibration, fit_calibration
from cnnlab.calibration.platt import Platt
from cnnlab.calibration.store import PostHoc, load_post_hoc, save_post_hoc
from cnnlab.calibration.temperature import Temperature
from cnnlab.calibration.vector import Vector

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "Conformal",
    "Isotonic",
    "Platt",
    "PostHoc",
    "Quality",
    "Temperature",
    "Vector",
    "choose_calibration",
    "fit_calibration",
    "load_post_hoc",
    "save_post_hoc",
]


def __dir__() -> list[str]:
    return __all__
