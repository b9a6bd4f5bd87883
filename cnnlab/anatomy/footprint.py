"""The context of a network that predicts pixels, and the stride at which its windows must lie."""

from typing import NamedTuple

from cnnlab.anatomy.layers import see
from cnnlab.anatomy.trace import trace
from cnnlab.trained import Trained


class Sight(NamedTuple):
    """The margin and stride that windows of a sheet must respect.

    Attributes:
      margin: largest distance in pixels, in any direction, to a pixel on which a prediction depends; None if it depends
        on the whole image.
      stride: distance in pixels between positions of windows that align with the network's poolings.
    """

    margin: int | None
    stride: int


# Both borders use the same parameters, and predict the same for the pixels that the border 'valid' predicts.
_MIRROR = ", as its border is 'valid'; take the same variables with border 'mirror': network.clone(border='mirror')"


def sight(trained: Trained, tile: int) -> Sight:
    """Derives margin and stride from a trace of the network, without running it.

    As in `cnnlab.summary`, statistics over the image do not count, such as those of instance normalisation.

    Args:
      trained: network that maps `[B, H, W, C]` to `[B, H, W, k]`.
      tile: height and width of the traced image in pixels.

    Raises:
      ValueError: the network cannot take an image of this size, or does not predict every pixel.

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
            f"sheets need a network that predicts every pixel, [B, H, W, k]; {name} returns "
            f"[B, {', '.join(map(str, traced.output[1:]))}] for tiles of {tile}x{tile}{cure}"
        )
    fields = see(traced, (tile, tile))
    written = [
        pair for step in traced.steps if step.equation for pair in zip(step.writes, step.equation.outvars, strict=True)
    ]
    last = [number for number, array in written if array.aval.shape == traced.output and number in fields]
    pair = fields[last[-1]] if last else (None, None)
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
