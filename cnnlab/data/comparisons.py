"""The table `pairs.csv`, which says of two photos of a folder which one is above the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.streaming import ImageFiles
from cnnlab.data.tables import read_table
from cnnlab.files.strict_json import shown
from cnnlab.quoting import counted

PAIRS = "pairs.csv"


class Comparisons(NamedTuple):
    """Pairs of photos with their order.

    Attributes:
      photos: `[m]` paths of the photos relative to the folder, sorted.
      pairs: `[n, 2]` int32, for each pair the index of the photo above and that of the photo below.
      split: `[n]` split of each pair; None if the table defines no splits.
    """

    photos: np.ndarray
    pairs: np.ndarray
    split: np.ndarray | None

    def remarks(self) -> tuple[str, ...]:
        """Returns sentences on pairs that occur several times, and on photos in pairs of several splits."""
        directed, times = np.unique(self.pairs, axis=0, return_counts=True)
        _, orders = np.unique(np.sort(directed, axis=1), axis=0, return_counts=True)
        again, both = int((times - 1).sum()), int((orders == 2).sum())
        said = [f"{counted(again, 'row')} of {PAIRS} repeat an earlier one; all count"] if again else []
        said += [f"{counted(both, 'pair')} of {PAIRS} occur in both orders; all count"] if both else []
        if self.split is not None and (shared := self._shared()):
            said.append(
                f"{shared:,} of {len(self.photos):,} photos are in pairs of several splits of {PAIRS}, so scores say "
                "little about photos that training has not seen"
            )
        return tuple(said)

    def _shared(self) -> int:
        """Returns the number of photos in pairs of several splits."""
        seen = np.stack([np.isin(np.arange(len(self.photos)), self.pairs[self.split == s]) for s in set(self.split)])
        return int((seen.sum(0) > 1).sum())


def read_comparisons(root: Path) -> Comparisons:
    """Reads `root/pairs.csv`, a UTF-8 table with one row per pair.

    The header is `above,below`: two files of the folder, of which the first is above the second. An optional column
    `split` (train, validation or test) is filled in all rows. A pair may occur several times, also in both orders.

    Raises:
      ValueError: the table is missing, or the header or a row does not fit; the message names the row's line.
    """
    path = root / PAIRS
    if not path.is_file():
        raise ValueError(f"{root} has no {PAIRS}; add one with the header above,below and a row for each pair of files")
    table = read_table(path, header="above,below", row="pair")
    if not {"above", "below"} <= set(table.column) <= {"above", "below", "split"}:
        names = shown(",".join(table.column))
        raise ValueError(f"{path} must have the columns 'above', 'below' and perhaps 'split', found {names}")
    files = np.array([table.files("above"), table.files("below")], object)
    if len(same := np.flatnonzero(files[0] == files[1])):
        raise ValueError(f"{table.at(same[0])}: {files[0, same[0]]!r} is above itself; name two files")
    photos, place = np.unique(files.astype(str), return_inverse=True)
    return Comparisons(photos.astype(object), place.reshape(files.shape).T.astype(np.int32), table.splits())


def divide_pairs(pairs: np.ndarray, group: np.ndarray, shares: Mapping[str, float], *, seed: int) -> np.ndarray:
    """Divides the photos at random, and returns the split of each pair `[n]`: the later one of its photos' splits.

    So no photo of the last split is in a pair of another. Every pair is in some split, and the last ones get more than
    their share: if a fifth of the photos is for the test, more than a third of the pairs is.

    Args:
      pairs: `[n, 2]` indices of photos.
      group: `[m]` group of each photo; photos of a group stay together.
      shares: share of the groups for each split, in order; every split but the first gets one group at least.
      seed: seed of the division.

    >>> divide_pairs(np.array([[0, 1], [1, 2], [2, 3]]), np.arange(4), {"train": 0.75, "test": 0.25}, seed=1).tolist()
    ['test', 'train', 'train']
    """
    _, group = np.unique(group[pairs].astype(str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(group.max() + 1)
    part, done = np.zeros(len(order), int), 0
    for place, share in reversed([*enumerate(shares.values())][1:]):
        number = max(1, round(share / sum(shares.values()) * len(order)))
        part[order[done : done + number]] = place
        done += number
    return np.array(list(shares), object)[part[group.reshape(pairs.shape)].max(1)]


def pair_columns(files: ImageFiles, pairs: np.ndarray, chosen: np.ndarray, *, in_memory: bool) -> Columns:
    """Returns the columns of pairs, with two rows for each: first the photo above, then the one below.

    Args:
      files: all photos.
      pairs: `[n, 2]` indices of photos, as in `Comparisons`.
      chosen: `[k]` indices of the pairs.
      in_memory: whether the photos are decoded, each once.

    Returns:
      `image` `[2k, H, W, C]`, `pair` (the pair's index), `above` (1 or 0) and `photo` (the photo's index).
    """
    photo = pairs[chosen].reshape(-1)
    used, place = np.unique(photo, return_inverse=True)
    return {
        "image": files.take(used)[:][place] if in_memory else files.take(photo),
        "pair": np.repeat(chosen, 2).astype(np.int32),
        "above": np.tile(np.array([1, 0], np.int32), len(chosen)),
        "photo": photo.astype(np.int32),
    }
