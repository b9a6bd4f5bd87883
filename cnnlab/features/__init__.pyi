from .activations import activations
from .dream import dream
from .patches import TopPatches, top_patches, top_patches_by_layer
from .visualise import Visualisation, visualise

__all__ = [
    "TopPatches",
    "Visualisation",
    "activations",
    "dream",
    "top_patches",
    "top_patches_by_layer",
    "visualise",
]
