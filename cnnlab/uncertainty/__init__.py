"""How sure a network is."""

from cnnlab.uncertainty.moments import Moments, entropy, moments
from cnnlab.uncertainty.monte_carlo import mc_moments, mc_predict

__all__ = ["Moments", "entropy", "mc_moments", "mc_predict", "moments"]
