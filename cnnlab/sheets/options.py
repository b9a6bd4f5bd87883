"""The options for the prediction of sheets, with their defaults and help texts."""

import dataclasses
from typing import Literal

Vectors = Literal["gpkg", "geojson", "none"]


@dataclasses.dataclass(frozen=True)
class SheetOptions:
    """Options that apply to sheets only.

    Attributes:
      overlap: of a sheet's windows in pixels, at most half a tile; what the network sees and 32 more, if left out and
        half a tile allows it.
      bands: bands of a sheet, counted from 1, one a channel.
      smallest: pixels of a sheet's smallest polygon.
      background: the class that gets no polygons: its name, first, or none.
      watershed: of a sheet whose background is outlines (its name in background), their probability below which a shape
        begins, on smallest pixels or more, to be flooded up to where it meets the next one: gaps in outlines are
        closed. Needs the extra shapes; up to 134 megapixels.
      vectors: format of a georeferenced sheet's polygons, or none for no polygons.
    """

    overlap: int | None = None
    bands: tuple[int, ...] | None = None
    smallest: int = 1
    background: str = "first"
    watershed: float | None = None
    vectors: Vectors = "gpkg"

    def given(self) -> list[str]:
        """Returns the names of the options that are not at their defaults."""
        fields = dataclasses.fields(self)
        return [field.name for field in fields if getattr(self, field.name) != field.default]
