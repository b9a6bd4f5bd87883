"""How good a network is on a split, and how far its answers can be acted on."""

from cnnlab.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
