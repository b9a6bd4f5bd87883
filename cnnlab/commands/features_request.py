"""The arguments of `cnnlab features`."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from cnnlab.files.figures import FigureFormat


class Request(NamedTuple):
    """The arguments of `cnnlab features`."""

    run: str
    layer: Sequence[str]
    unit: Sequence[int]
    image: str | None
    scale: Literal["unit", "layer"]
    patches: bool
    visualise: bool
    count: int
    most: int
    split: str
    data_path: str | None
    batch_size: int | None
    seed: int
    output: str | None
    figure_format: FigureFormat
    json: bool
