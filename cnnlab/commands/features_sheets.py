"""The sheets of `cnnlab features`: filters, activations, patches and images of the units of a layer."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cnnlab.anatomy.views import View
from cnnlab.explain.taps import Layer, is_spatial
from cnnlab.features.filters import filters, kernels
from cnnlab.features.patches import TopPatches
from cnnlab.features.patterns import patterns
from cnnlab.features.visualise import Visualisation
from cnnlab.plots.features import Unit, bar_sheet, pair_sheet, tile_sheet, unit_sheet
from cnnlab.plots.gallery import gallery
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained

_PAGE, _LETTERS = 32, 16  # units of a sheet of patches, and letters of the name of a class
_PAGE_BYTES = 1 << 28  # of the patches and patterns of a sheet, so that a sheet of large ones has fewer units
_COLOURS = "orange is positive, blue negative"
_SCALES = {"unit": "each unit has its own scale", "layer": "all units have one scale"}


class Subject(NamedTuple):
    """A layer that is shown.

    Attributes:
      layer: the layer.
      convolution: name of the convolution whose feature maps it holds; None for another layer.
      units: numbers of the units on the sheets.
      view: receptive fields of its units.
      classes: names of its units if they are those of the classes; empty for others.
    """

    layer: Layer
    convolution: str | None
    units: list[int]
    view: View
    classes: Sequence[str]

    @property
    def title(self) -> str:
        """Returns the first line of its sheets."""
        number = self.layer.shape[-1]
        shown = "" if len(self.units) == number else f", of which {len(self.units)} are shown"
        seen = "each sees the whole image"
        if is_spatial(self.layer):
            seen = f"receptive field {'x'.join(map(str, self.view.size))} pixels"
        return f"{for_terminal(self.layer.name)}: {number} units{shown}; {seen}"

    @property
    def labels(self) -> list[str]:
        """Returns a label for each unit."""
        if not self.classes:
            return [f"unit {unit}" for unit in self.units]
        return [f"unit {unit} ({self.classes[unit][:_LETTERS]})" for unit in self.units]


def filter_sheets(trained: Trained, before: Trained | None, subject: Subject, scale: str) -> dict[str, Any]:
    """Draws the kernels of a layer, beside those before training if these are known; nothing without kernels."""
    if subject.convolution is None:
        return {}
    pictures, depth = _pictures(trained, subject)
    averaged = "" if depth in (1, 3) else f", averaged over their depth of {depth}"
    colours = "grey is zero, colours are those of the image" if depth == 3 else _COLOURS
    remark = f"the kernels of {subject.convolution}{averaged}; {colours}; {_SCALES[scale]}"
    if before is None:
        return {"filters": tile_sheet(pictures, subject.labels, title=f"{subject.title}\n{remark}", scale=scale)}
    title = f"{subject.title}\nbefore and after training: {remark}"
    first, _ = _pictures(before, subject)
    return {"filters": pair_sheet(first, pictures, subject.labels, title=title, scale=scale)}


def _pictures(trained: Trained, subject: Subject) -> tuple[list[np.ndarray], int]:
    """Returns a tile for each filter, and the depth of the kernels."""
    name = subject.convolution
    pictures = filters(trained, name)[name][subject.units]
    tiles = [each if each.shape[-1] == 3 else each[..., 0] for each in pictures]
    return tiles, kernels(trained, name)[name].shape[2]


def activation_sheet(subject: Subject, image: np.ndarray, values: np.ndarray, scale: str) -> dict[str, Any]:
    """Draws a layer's activations `[..., C]` for an image `[H, W, C]`: maps, or a bar for each unit of a vector."""
    values = np.asarray(values, np.float32)
    if values.size == values.shape[-1]:
        title = f"{subject.title}\nactivations for the image"
        bars = values.reshape(-1)[subject.units]
        return {"activations": bar_sheet(bars, subject.labels, title=title, image=image)}
    title = f"{subject.title}\nactivations for the image; {_COLOURS}; {_SCALES[scale]}"
    tiles = [image, *(_folded(values[..., unit]) for unit in subject.units)]
    return {"activations": tile_sheet(tiles, ["image", *subject.labels], title=title, scale=scale)}


def _folded(values: np.ndarray) -> np.ndarray:
    """Returns a map as it is, and values on other axes in rows of a square, which ends with zeros.

    >>> _folded(np.array([1, 2, 3])).tolist()
    [[1, 2], [3, 0]]
    """
    if values.ndim == 2:
        return values
    side = math.ceil(math.sqrt(values.size))
    padded = np.pad(values.reshape(-1), (0, -values.size % side))
    return padded.reshape(-1, side)


def image_sheet(subject: Subject, seen: Visualisation) -> dict[str, Any]:
    """Draws the images that were made for units."""
    title = f"{subject.title}\nan image made for each unit, and the mean of its activations"
    labels = [f"{label}: {value:.3g}" for label, value in zip(subject.labels, seen.activation, strict=True)]
    return {"images": gallery(seen.images, labels, title=title, columns=8)}


def patch_sheets(
    trained: Trained, best: TopPatches, subject: Subject, seen: Visualisation | None
) -> tuple[dict[str, Any], str | None]:
    """Draws the patches of each unit, their patterns and the image that was made for it, on as many pages as needed.

    Returns the pages, and the reason if there are no patterns.
    """
    count = best.values.shape[1]
    number = max(1, min(_PAGE, _PAGE_BYTES // (5 * count * math.prod(best.shape))))  # a byte and a float32 a value
    sheets, reason = {}, None
    for start in range(0, len(subject.units), number):
        units = subject.units[start : start + number]
        try:
            patterned = None if reason else patterns(trained, best, units)
        except ValueError as error:
            patterned, reason = None, str(error)
        patches, blocks = best.patches(units), []
        for row, unit in enumerate(units):
            fires = best.fires[unit]
            often = "never fires" if fires == 0 else f"fires on {100 * fires:.0f} %"
            label, image = f"{subject.labels[start + row]}: up to {best.values[unit, 0]:.3g}, {often}", None
            if seen is not None:
                image = seen.images[start + row]
                label += f"; {made_for(best, seen, start + row)}"
            blocks.append(Unit(label, patches[row], None if patterned is None else patterned[row], image, fires == 0))
        title = _patch_title(best, subject, patterned is not None, seen is not None)
        sheets["patches" if start == 0 else f"patches_{start // number + 1}"] = unit_sheet(blocks, title=title)
    return sheets, reason


def made_for(best: TopPatches, seen: Visualisation, row: int) -> str:
    """Returns how the image that was made for a unit compares with the data.

    A unit after a ReLU that noise does not excite has no gradient, so its image stays noise.
    """
    if not seen.fires[row]:
        return "noise does not excite it"
    return f"image above {best.percentile(int(seen.units[row]), float(seen.activation[row])):.0f} %"


def _patch_title(best: TopPatches, subject: Subject, patterned: bool, visualised: bool) -> str:
    what = "{} patches that excite each unit most, at most one an image"
    what = what if is_spatial(subject.layer) else "{} images that excite each unit most"
    title = f"{subject.title}\nthe {what.format(best.values.shape[1])}"
    if patterned:
        title += ", what in them excites it (deconvolution)"
    if visualised:
        title += f",\nand an image made for it, with the share of {len(best.mean):,} images whose mean it exceeds"
    return title
