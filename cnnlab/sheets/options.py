"""The options for the prediction of sheets and for polygons, with their defaults and help texts."""

import dataclasses
from typing import Literal

Vectors = Literal["gpkg", "geojson", "none"]


@dataclasses.dataclass(frozen=True)
class SheetOptions:
    """Options of sheets, and of the polygons of sheets and photos.

    Attributes:
      overlap: overlap of neighbouring windows in pixels, at most half a tile; by default the width that the network
        sees plus 32, or half a tile if that is less.
      bands: bands of a sheet that the network reads, counted from 1, one per channel.
      smallest: number of pixels of the smallest polygon; how many shapes are smaller is printed. With 1 every shape
        gets a polygon.
      simplify: tolerance in pixels with which polygons lose corners and the stairs of pixels, without overlaps or gaps
        between neighbours; 2 is a usual value, with 0 polygons follow the pixels. Needs the extra geo, and memory for
        all borders.
      background: class that gets no polygons: its name, first for the first class, or none.
      watershed: probability of outlines that separates shapes, for a sheet whose background class is outlines (name it
        in background). A shape begins where at least smallest pixels lie below the probability, and grows until it
        meets the next shape, so that gaps in outlines are closed. Needs the extra shapes; up to 134 megapixels.
      vectors: file format of a georeferenced sheet's polygons, or none to write no polygons.
    """

    overlap: int | None = None
    bands: tuple[int, ...] | None = None
    smallest: int = 10
    simplify: float = 0.0
    background: str = "first"
    watershed: float | None = None
    vectors: Vectors = "gpkg"

    def of_windows(self) -> list[str]:
        """Returns the names of the options that are not at their defaults and make no sense for photos."""
        return [name for name in self.given() if name in ("overlap", "bands")]

    def given(self) -> list[str]:
        """Returns the names of the options that are not at their defaults."""
        fields = dataclasses.fields(self)
        return [field.name for field in fields if getattr(self, field.name) != field.default]
