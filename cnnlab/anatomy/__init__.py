"""What a network is made of: its layers, their cost, and how much of the image they see."""

from cnnlab.anatomy.table import Row, Summary, summary

__all__ = ["Row", "Summary", "summary"]
