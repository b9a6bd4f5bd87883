"""Batches of examples for training and evaluation.

Batches depend only on the examples, the seed and the epoch, so that resuming a run needs no stored state.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Examples
from cnnlab.data.prefetch import ahead
from cnnlab.data.streaming import ImageFiles


def training_batches(
    examples: Examples,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    images_per_class: int = 1,
    group_by: str = "label",
    rows: slice = slice(None),
) -> Iterator[Columns]:
    """Yields the batches of one shuffled epoch, beginning with its step `start`.

    The remainder is dropped, because padding rows would distort batch normalisation. Examples that are decoded on
    demand are read two batches ahead, so that decoding overlaps the training step. Examples with `of_epoch`, such as
    random crops, are drawn anew in each epoch. The `weight` is that of the examples, or 1.

    Args:
      examples: the examples.
      batch_size: number of examples in a batch.
      seed: seed of the order.
      epoch: number of the epoch.
      start: step at which to begin.
      images_per_class: number of examples of one group that stand together, as in `epoch_order`.
      group_by: column that defines the groups.
      rows: rows of each batch to read and yield, if other processes read the others.

    Raises:
      ValueError: `batch_size` is not in 1..len(examples), or a file cannot be read.
    """
    steps_per_epoch(examples, batch_size)
    if hasattr(examples, "of_epoch"):
        examples = examples.of_epoch(seed, epoch)
    grouping = {"images_per_class": images_per_class, "group_by": group_by}
    order = epoch_order(examples, batch_size, seed=seed, epoch=epoch, **grouping)
    order = order[start:, rows]
    for columns in _gather(examples, order):
        yield {"weight": np.ones(order.shape[1], np.float32)} | columns


def epoch_order(
    examples: Examples,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    images_per_class: int = 1,
    group_by: str = "label",
) -> np.ndarray:
    """Returns the indices of the examples in each step of a shuffled epoch: `[steps, batch_size]`, no remainder.

    With `images_per_class` above 1 each class is cut into groups of so many random examples, and the groups are
    shuffled, so that a batch holds several examples of a class. No example occurs twice. The last group of a class may
    be smaller, and the border of two batches may divide a group. Examples with the same value in the column `group_by`
    are of one class: with `pair` and 2 the examples of a pair stand together, and no even batch divides one.
    """
    n, rng = len(examples), np.random.default_rng((seed, epoch))
    order = rng.permutation(n)
    if images_per_class > 1:
        of = np.asarray(examples.column(group_by))
        order = order[np.argsort(of[order], kind="stable")]
        classes = np.split(order, np.flatnonzero(np.diff(of[order])) + 1)
        groups = [np.split(own, range(images_per_class, len(own), images_per_class)) for own in classes]
        groups = [group for own in groups for group in own]
        order = np.concatenate([groups[i] for i in rng.permutation(len(groups))])
    steps = n // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
    """Returns the number of whole batches in one epoch."""
    if not 1 <= batch_size <= len(examples):
        raise ValueError(
            f"batch size must lie in 1..{len(examples)}, the number of training examples, found {batch_size}; "
            "lower --training.batch-size or add data"
        )
    return len(examples) // batch_size


def evaluation_batches(examples: Examples, *, batch_size: int, rows: slice = slice(None)) -> Iterator[Columns]:
    """Yields every example once, in order.

    The last batch is padded with rows of `weight` 0, so that all batches have one shape and compile once. The `weight`
    of all others is 1, whatever training weighs them. `rows` of each batch are read and yielded, if other processes
    read the others.
    """
    if batch_size < 1:
        raise ValueError(f"batch size must be 1 or more, found {batch_size}")
    starts = range(0, len(examples), batch_size)
    portions = (np.minimum(np.arange(start, start + batch_size)[rows], len(examples) - 1) for start in starts)
    for start, columns in zip(starts, _gather(examples, portions), strict=True):
        places = np.arange(start, start + batch_size)[rows]
        yield columns | {"weight": (places < len(examples)).astype(np.float32)}


def _gather(examples: Examples, portions: Iterable[np.ndarray]) -> Iterator[Columns]:
    """Yields the examples of each batch of indices, read ahead if they are not in memory."""
    if getattr(examples, "in_memory", False):
        return (examples[indices] for indices in portions)  # a thread would cost more than the gather
    # While the last file of a batch is decoded, the other decoding threads begin with the next batch.
    in_files = isinstance(getattr(examples, "columns", {}).get("image"), ImageFiles)
    return ahead(examples.__getitem__, portions, threads=2 if in_files else 1)
