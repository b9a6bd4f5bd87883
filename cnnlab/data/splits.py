"""Examples in disjoint splits."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data.columns import Columns


def split_columns(columns: Columns, shares: Mapping[str, float], *, seed: int) -> dict[str, Columns]:
    """Columns in disjoint splits, stratified by `label`, of several `labels` by each example's rarest one.

    Without either, they are drawn from all examples alike. A pure function of the seed.
    """
    n = len(columns["image"])
    strata = _rarest(columns["labels"]) if "labels" in columns else columns.get("label", np.zeros(n, np.int32))
    edges = np.cumsum([0.0, *shares.values()]) / sum(shares.values())

    def drawn(random: bool) -> dict[str, np.ndarray]:
        # Each example's place within its class, in (0, 1): cutting there gives every class the same shares.
        generator, place = np.random.default_rng(seed), np.empty(n)
        for stratum in np.unique(strata):
            members = generator.permutation(np.flatnonzero(strata == stratum))
            offset = generator.random() * (len(members) > 1) if random else 0.5
            place[members] = (np.arange(len(members)) + offset) / len(members)
        cuts = zip(shares, edges[:-1], edges[1:], strict=True)
        return {split: np.flatnonzero((low <= place) & (place < high)) for split, low, high in cuts}

    chosen = drawn(random=False)
    if not all(map(len, chosen.values())):
        chosen = drawn(random=True)  # of many small classes, each gives another split its odd example
    for split, indices in chosen.items():
        if not len(indices):
            raise ValueError(
                f"{n} examples are too few to split {dict(shares)}: {split!r} would be empty; add some, or give it more"
            )
    return {split: {name: column[indices] for name, column in columns.items()} for split, indices in chosen.items()}


def _rarest(labels: np.ndarray) -> np.ndarray:
    """Of `[n, k]` labels each example's rarest, k where it has none: rare ones are those that chance would misplace."""
    count = np.where(labels > 0, labels.astype(bool).sum(0), len(labels) + 1)
    return np.where(labels.any(1), count.argmin(1), labels.shape[1]).astype(np.int32)


def set_aside(tables: dict[str, Columns], shares: dict[str, float], seed: int) -> dict[str, Columns]:
    """`train` and the splits of `shares`; those that the tables lack are drawn from `train`, by photo."""
    missing = {name: share for name, share in shares.items() if name not in tables}
    if missing:
        tables = tables | split_columns(tables["train"], {"train": 1 - sum(missing.values()), **missing}, seed=seed)
    return {name: tables[name] for name in ("train", *shares)}
