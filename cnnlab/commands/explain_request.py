"""The arguments of `cnnlab explain`."""

from collections.abc import Sequence
from typing import NamedTuple

from cnnlab.files.figures import FigureFormat


class Request(NamedTuple):
    """The arguments of `cnnlab explain`."""

    run: str
    paths: Sequence[str]
    method: Sequence[str]
    target: str | None
    layer: str | None
    mc: int | str
    verdict: bool
    scores: Sequence[str]
    classes: int
    output: str | None
    figure_format: FigureFormat
    window: tuple[int, int] | None
    frames: Sequence[int]
    invert: bool
    seed: int
    json: bool
