"""Boxes, warps and grids, as pure functions of arrays."""

from cnnlab.geometry import boxes, warp

__all__ = ["boxes", "warp"]
