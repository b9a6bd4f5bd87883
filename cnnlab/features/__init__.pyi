from .activations import activations
from .patches import TopPatches, top_patches, top_patches_by_layer

__all__ = ["TopPatches", "activations", "top_patches", "top_patches_by_layer"]
