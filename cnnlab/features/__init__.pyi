from .activations import activations
from .dream import dream
from .filters import filter_change, filter_similarity, filters, kernels
from .patches import TopPatches, top_patches, top_patches_by_layer
from .patterns import patterns
from .spectrum import singular_values
from .visualise import Visualisation, visualise

__all__ = [
    "TopPatches",
    "Visualisation",
    "activations",
    "dream",
    "filter_change",
    "filter_similarity",
    "filters",
    "kernels",
    "patterns",
    "singular_values",
    "top_patches",
    "top_patches_by_layer",
    "visualise",
]
