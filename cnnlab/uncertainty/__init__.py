"""Estimates of a network's uncertainty: MC-Dropout, deep ensembles and test-time augmentation."""

from cnnlab.uncertainty.detections import group_passes
from cnnlab.uncertainty.ensemble import ensemble_predict
from cnnlab.uncertainty.moments import Moments, entropy, moments
from cnnlab.uncertainty.monte_carlo import mc_moments, mc_predict
from cnnlab.uncertainty.views import DIHEDRAL, FLIPS, View, augmented_predict

__all__ = [
    "DIHEDRAL",
    "FLIPS",
    "Moments",
    "View",
    "augmented_predict",
    "ensemble_predict",
    "entropy",
    "group_passes",
    "mc_moments",
    "mc_predict",
    "moments",
]


def __dir__() -> list[str]:
    return __all__
