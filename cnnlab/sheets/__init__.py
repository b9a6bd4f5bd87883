"""Prediction of sheets: images of any size, which are predicted in overlapping windows and blended."""

from cnnlab.geometry.polygons import Shape, polygons
from cnnlab.sheets.predict import plan_sheet, predict_sheet
from cnnlab.sheets.rasters import Sheet, open_sheet
from cnnlab.sheets.tiles import Axis, tile_axis

__all__ = ["Axis", "Shape", "Sheet", "open_sheet", "plan_sheet", "polygons", "predict_sheet", "tile_axis"]


def __dir__() -> list[str]:
    return __all__
