"""The context of a network that predicts pixels, and the stride at which its windows must lie."""

from typing import NamedTuple

from cnnlab.anatomy.layers import see
from cnnlab.anatomy.trace import trace
from cnnlab.trained import Trained


class Sight(NamedTuple):
    """The margin and stride that windows of a sheet must respect.

    Attributes:
      margin: pixels that an answer may depend on, to the left or right, above or below; None where it sees all.
      stride: windows whose starts differ by a multiple of it see the same pixels through the same poolings.
    """

    margin: int | None
    stride: int


# Both have the same parameters and answer the same, where the one without padding answers at all.
_MIRROR = ", as its border is 'valid'; take the same variables with border 'mirror': network.clone(border='mirror')"


def sight(trained: Trained, tile: int) -> Sight:
    """Reads margin and stride off the traced network; nothing is computed.

    Statistics over the image, as instance normalisation takes them, are left out, as in `cnnlab.summary`.

    Args:
      trained: a network `[B, H, W, C] -> [B, H, W, k]`.
      tile: height and width of the traced image in pixels.

    Raises:
      ValueError: the network cannot take such an image, or does not answer each pixel.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import TASKS
    >>> net = create_model("encoder_decoder", num_classes=2)
    >>> sight(Trained({}, net, TASKS["segmentation"](), InputSpec((32, 32))), 64)
    Sight(margin=13, stride=4)
    """
    name = type(trained.network).__name__
    try:
        traced = trace(trained.network, (tile, tile, trained.spec.channels))
    except ValueError as error:
        raise ValueError(f"{name} cannot take tiles of {tile}x{tile} pixels: {error}") from error
    if len(traced.output) != 4 or traced.output[1:3] != (tile, tile):
        cure = _MIRROR if getattr(trained.network, "border", None) == "valid" else ""
        raise ValueError(
            f"sheets need a network that answers each pixel, [B, H, W, k]; {name} gives "
            f"[B, {', '.join(map(str, traced.output[1:]))}] for tiles of {tile}x{tile}{cure}"
        )
    seen = see(traced, (tile, tile))
    written = [
        pair for step in traced.steps if step.equation for pair in zip(step.writes, step.equation.outvars, strict=True)
    ]
    last = [number for number, array in written if array.aval.shape == traced.output and number in seen]
    pair = seen[last[-1]] if last else (None, None)
    if any(view is None or not view.axes or not view.reach.shift for view in pair):
        return Sight(None, 1)
    margin = stride = 1
    for view in pair:
        ends = [
            (*view.reach.of(unit), unit * view.reach.shift / view.reach.period) for unit in range(view.reach.period)
        ]
        margin = max(margin, *(int(max(at - first, last - at)) for first, last, at in ends))
        stride = max(stride, view.reach.shift)
    return Sight(margin, stride)
