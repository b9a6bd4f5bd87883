"""Batches as a pure function of examples, seed and epoch: nothing to store, nothing to resume."""

from collections.abc import Iterator

import numpy as np

from cnnlab.data.dataset import Columns, Examples


def training_batches(
    examples: Examples, *, batch_size: int, seed: int, epoch: int, start: int = 0
) -> Iterator[Columns]:
    """One shuffled epoch from its step `start` on. The remainder is dropped: padding rows would spoil batch norm.

    Raises:
      ValueError: `batch_size` is not in 1..len(examples).
    """
    steps = steps_per_epoch(examples, batch_size)
    order = np.random.default_rng((seed, epoch)).permutation(len(examples))
    for step in range(start, steps):
        indices = order[step * batch_size : (step + 1) * batch_size]
        yield examples[indices] | {"weight": np.ones(batch_size, np.float32)}


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Whole batches in one epoch."""
    if not 1 <= batch_size <= len(examples):
        raise ValueError(
            f"batch size must lie in 1..{len(examples)}, the number of training examples, found {batch_size}; "
            "lower --training.batch-size or add data"
        )
    return len(examples) // batch_size


def evaluation_batches(examples: Examples, *, batch_size: int) -> Iterator[Columns]:
    """Every example once, in order; the last batch is filled up with rows of `weight` 0, so one compile serves all."""
    if batch_size < 1:
        raise ValueError(f"batch size must be 1 or more, found {batch_size}")
    for start in range(0, len(examples), batch_size):
        places = np.arange(start, start + batch_size)
        batch = examples[np.minimum(places, len(examples) - 1)]
        yield batch | {"weight": (places < len(examples)).astype(np.float32)}
