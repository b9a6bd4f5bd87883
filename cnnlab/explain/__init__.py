"""Explanations of a network's answer: which pixels does it hang on, and how far can the map be trusted?"""

from cnnlab.explain import targets
from cnnlab.explain.cam import (
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    score_cam,
)
from cnnlab.explain.classes import ClassMaps, dominant_classes
from cnnlab.explain.comparison import beats, flagged
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.gradients import (
    deconvolution,
    guided_backpropagation,
    input_x_gradient,
    integrated_gradients,
    saliency,
    smooth_grad,
)
from cnnlab.explain.methods import METHODS, Method, explain
from cnnlab.explain.perturbation import occlusion, rise
from cnnlab.explain.scores import SCORES
from cnnlab.explain.verdict import judge

__all__ = [
    "METHODS",
    "SCORES",
    "ClassMaps",
    "Explanation",
    "Method",
    "beats",
    "deconvolution",
    "dominant_classes",
    "eigen_cam",
    "explain",
    "flagged",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_backpropagation",
    "hires_cam",
    "input_x_gradient",
    "integrated_gradients",
    "judge",
    "layer_cam",
    "occlusion",
    "rise",
    "saliency",
    "score_cam",
    "smooth_grad",
    "targets",
]


def __dir__() -> list[str]:
    return __all__
