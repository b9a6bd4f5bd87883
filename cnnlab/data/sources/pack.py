"""Datasets that `cnnlab data pack` wrote."""

import numpy as np

from cnnlab.data.dataset import Dataset
from cnnlab.data.pack import pixel_bytes, read_pack, read_split


def pack(path: str, *, memory_megabytes: int = 1000) -> Dataset:
    """Reads a pack: the examples, classes and splits of a folder as `cnnlab data pack` wrote them.

    Args:
      path: folder of the pack.
      memory_megabytes: largest size of a set that is kept in memory, in MB; a larger set is read from disk batch by
        batch.

    Raises:
      ValueError: the folder is no pack, or a file of it is missing or damaged.

    >>> pack("photos")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ValueError: photos is no pack, it has no pack.json; ...
    """
    stored = read_pack(path)
    in_memory = pixel_bytes(stored) <= memory_megabytes * 1_000_000
    splits = {part.name: read_split(path, part, in_memory=in_memory) for part in stored.splits}
    sizes = None if stored.photo_sizes is None else np.array(stored.photo_sizes)
    return Dataset(stored.name, stored.spec, splits, stored.remarks, sizes)
