"""The pixels that each unit of a layer sees."""

from collections.abc import Collection
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from cnnlab.anatomy.layers import see
from cnnlab.anatomy.receptive import ReceptiveField
from cnnlab.anatomy.trace import trace
from cnnlab.nn.taps import tap

_MARK = "output of "


class View(NamedTuple):
    """The receptive fields of a layer's units, exact for each row and each column of units.

    A unit at the border sees pixels outside the image, as if the image continued. Units whose pixels are not known
    row by row see the whole image.

    Attributes:
      rows: `[h, 2]`, for each row of units the first row of pixels that it sees, and the row after the last.
      columns: `[w, 2]`, the same for columns.
    """

    rows: np.ndarray
    columns: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Returns height and width in pixels of the largest receptive field of the layer."""
        height, width = (int((ends[:, 1] - ends[:, 0]).max()) for ends in self)
        return height, width

    def boxes(self, places: np.ndarray) -> np.ndarray:
        """Returns the receptive fields `[..., 4]` (xyxy in pixels) of units at `[..., 2]`, row and column."""
        rows, columns = self.rows[places[..., 0]], self.columns[places[..., 1]]
        return np.stack([columns[..., 0], rows[..., 0], columns[..., 1], rows[..., 1]], -1)


def views(network: nn.Module, shape: tuple[int, int, int], layers: Collection[str]) -> dict[str, View]:
    """Returns the receptive fields of the units of layers, by a trace of the network.

    As in `cnnlab.summary`, statistics over the image do not count, such as those of instance normalisation.

    Args:
      network: any Linen module.
      shape: height, width and channels of the image.
      layers: paths of the modules. The last call of a module counts.

    >>> from cnnlab.models import create_model
    >>> view = views(create_model("lenet5", num_classes=10), (28, 28, 1), ["conv2"])["conv2"]
    >>> view.size, view.rows[:2].tolist()  # a kernel of 5, a pooling of 2, a kernel of 5
    ((14, 14), [[-2, 12], [0, 14]])
    """

    def mark(module: nn.Module, call, args, kwargs):
        out, name = call(*args, **kwargs), "/".join(module.path)
        return checkpoint_name(out, _MARK + name) if name in layers and isinstance(out, jax.Array) else out

    with tap(mark):
        traced = trace(network, shape)
    fields, size = see(traced, shape[:2]), shape[:2]
    out = {}
    for step in traced.steps:
        if step.equation is not None and step.equation.primitive.name == "name":
            name = step.equation.params["name"].removeprefix(_MARK)
            if name in layers:
                units = step.equation.outvars[0].aval.shape
                pair = fields.get(step.writes[0], (None, None))
                out[name] = View(*(_ends(field, axis, units, size[axis - 1]) for axis, field in enumerate(pair, 1)))
    return out


def _ends(field: ReceptiveField | None, axis: int, units: tuple[int, ...], size: int) -> np.ndarray:
    """Returns `[n, 2]`, the ends of the receptive fields of the units along an axis of a layer's output."""
    n = units[axis] if len(units) == 4 else 1
    if field is None or len(units) != 4 or field.axes not in ((), (axis,)):
        return np.tile([0, size], (n, 1))
    ends = np.array([field.reach.of(unit if field.axes else 0) for unit in range(n)])
    return ends + np.array([0, 1])
