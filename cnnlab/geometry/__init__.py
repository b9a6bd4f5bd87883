"""Pure functions of arrays for boxes, affine warps, grids of cells and letterboxes."""

from cnnlab.geometry import boxes, warp

__all__ = ["boxes", "warp"]


def __dir__() -> list[str]:
    return __all__
