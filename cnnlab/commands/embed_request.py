"""The arguments of `cnnlab embed`."""

from collections.abc import Sequence
from typing import NamedTuple


class Request(NamedTuple):
    """The arguments of `cnnlab embed`."""

    run: str
    paths: Sequence[str]
    layer: str | None
    method: Sequence[str]
    split: Sequence[str]
    count: int
    neighbours: int | None
    mc: int | None
    seed: int
    near: Sequence[str]
    plus: Sequence[str]
    minus: Sequence[str]
    nearest: int
    metric: str
    output: str | None
    format: str
    skip_unreadable: bool
    json: bool
