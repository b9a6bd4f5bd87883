"""How sure a network is."""

from cnnlab.uncertainty.augmented import DIHEDRAL, FLIPS, View, augmented_predict
from cnnlab.uncertainty.boxes import group_passes
from cnnlab.uncertainty.calibration import CALIBRATIONS, Isotonic, Platt, Temperature, Vector, fit_calibration
from cnnlab.uncertainty.conformal import Conformal
from cnnlab.uncertainty.ensemble import ensemble_predict
from cnnlab.uncertainty.moments import Moments, entropy, moments
from cnnlab.uncertainty.monte_carlo import mc_moments, mc_predict
from cnnlab.uncertainty.post_hoc import PostHoc, load_post_hoc, save_post_hoc

__all__ = [
    "CALIBRATIONS",
    "DIHEDRAL",
    "FLIPS",
    "Conformal",
    "Isotonic",
    "Moments",
    "Platt",
    "PostHoc",
    "Temperature",
    "Vector",
    "View",
    "augmented_predict",
    "ensemble_predict",
    "entropy",
    "fit_calibration",
    "group_passes",
    "load_post_hoc",
    "mc_moments",
    "mc_predict",
    "moments",
    "save_post_hoc",
]
