from .activations import activations
from .filters import filter_change, filter_similarity, filters, kernels
from .patches import TopPatches, top_patches, top_patches_by_layer
from .patterns import patterns

__all__ = [
    "TopPatches",
    "activations",
    "filter_change",
    "filter_similarity",
    "filters",
    "kernels",
    "patterns",
    "top_patches",
    "top_patches_by_layer",
]
