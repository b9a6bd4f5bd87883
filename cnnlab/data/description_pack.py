"""Describes a pack: its splits, its classes and nine of its training images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnlab.data.pack import read_pack, read_split
from cnnlab.data.spec import InputSpec
from cnnlab.data.targets import RARE
from cnnlab.plots.contact_sheet import Annotated, contact_sheet
from cnnlab.plots.traces import recordings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def of_pack(root: Path) -> dict[str, Any]:
    """Describes a pack, as the fields of a `Description`."""
    stored = read_pack(root)
    splits = {part.name: read_split(root, part, in_memory=False) for part in stored.splits}
    classes: dict[str, int] = {}
    for examples in splits.values():
        for name in {"label", "labels"} & set(examples.columns):
            column = examples.column(name)
            own = np.bincount(column, minlength=len(stored.spec.classes)) if column.ndim == 1 else column.sum(0)
            classes = {k: classes.get(k, 0) + int(n) for k, n in zip(stored.spec.classes, own, strict=True)}
    size = "x".join(map(str, stored.spec.shape))
    return {
        "splits": {split: len(examples) for split, examples in splits.items()},
        "classes": classes,
        "rare": tuple(name for name, number in classes.items() if number < RARE),
        "sizes": {},
        "objects": None,
        "boxes": None,
        "notes": [f"examples of {stored.name}, {size}, with {stored.column}", *stored.remarks],
        "draw": lambda: _sheet(splits["train"].column("image"), stored.spec),
    }


def _sheet(images: Any, spec: InputSpec) -> "Figure":
    places = np.unique(np.linspace(0, len(images) - 1, min(len(images), 9)).astype(int))
    shown, names = images[places], [f"example {place}" for place in places]
    if spec.values == "signal":
        return recordings(list(shown[:, 0]), names, rate=spec.rate)
    photos = [np.broadcast_to(image, (*spec.size, 3)) for image in shown]
    nothing = np.zeros((0, 4)), [], None
    return contact_sheet([Annotated(*photo, *nothing) for photo in zip(photos, names, strict=True)], ())
