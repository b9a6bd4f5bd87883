"""Probes: what makes images hard for a network, and how its layers answer to shifts and sums of images."""

from cnnlab.probe.distortions import DISTORTIONS, Distortion, distort
from cnnlab.probe.report import probe

__all__ = ["DISTORTIONS", "Distortion", "distort", "probe"]


def __dir__() -> list[str]:
    return __all__
