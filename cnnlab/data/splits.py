"""Splitting of examples into disjoint parts."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.ragged import take_rows


def split_columns(columns: Columns, shares: Mapping[str, float], *, seed: int) -> dict[str, Columns]:
    """Splits columns into disjoint parts in proportion to `shares`, stratified by `label`.

    Several `labels` are stratified by each example's rarest label. Without either column, all examples are one stratum.
    The result depends only on the columns and the seed.
    """
    n = len(columns["image"])
    strata = _rarest(columns["labels"]) if "labels" in columns else columns.get("label", np.zeros(n, np.int32))
    edges = np.cumsum([0.0, *shares.values()]) / sum(shares.values())

    def draw(random: bool) -> dict[str, np.ndarray]:
        # Each example gets a position in (0, 1) within its class. Cutting all classes at the same positions gives
        # every class the same shares.
        generator, place = np.random.default_rng(seed), np.empty(n)
        for stratum in np.unique(strata):
            members = generator.permutation(np.flatnonzero(strata == stratum))
            offset = generator.random() * (len(members) > 1) if random else 0.5
            place[members] = (np.arange(len(members)) + offset) / len(members)
        cuts = zip(shares, edges[:-1], edges[1:], strict=True)
        return {split: np.flatnonzero((low <= place) & (place < high)) for split, low, high in cuts}

    chosen = draw(random=False)
    if not all(map(len, chosen.values())):
        chosen = draw(random=True)  # random offsets give the odd examples of small classes to different splits
    for split, indices in chosen.items():
        if not len(indices):
            raise ValueError(
                f"{n} examples are too few to split {dict(shares)}: {split!r} would be empty; add some, or give it more"
            )
    return {split: take_rows(columns, indices) for split, indices in chosen.items()}


def _rarest(labels: np.ndarray) -> np.ndarray:
    """Returns the rarest label of each example, or k if it has none, for labels `[n, k]`.

    Rare labels decide the stratum, because chance would spread them most unevenly.
    """
    count = np.where(labels > 0, labels.astype(bool).sum(0), len(labels) + 1)
    return np.where(labels.any(1), count.argmin(1), labels.shape[1]).astype(np.int32)


def set_aside(tables: dict[str, Columns], shares: dict[str, float], seed: int) -> dict[str, Columns]:
    """Returns `train` and the splits in `shares`; draws those that `tables` lacks from the photos of `train`."""
    missing = {name: share for name, share in shares.items() if name not in tables}
    if missing:
        tables = tables | split_columns(tables["train"], {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    return {name: tables[name] for name in ("train", *shares)}
