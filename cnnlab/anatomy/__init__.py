"""The layers of a network, their cost, and their receptive fields."""

from cnnlab.anatomy.table import Row, Summary, summary

__all__ = ["Row", "Summary", "summary"]


def __dir__() -> list[str]:
    return __all__
