"""Splitting of examples into disjoint parts."""

from collections.abc import Mapping

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.ragged import take_rows


def split_columns(columns: Columns, shares: Mapping[str, float], *, seed: int) -> dict[str, Columns]:
    """Splits columns into disjoint parts in proportion to `shares`, stratified by `label`.

    Several `labels` are stratified by each example's rarest label. Without either column, all examples are one stratum.
    With a column `group`, all examples of a group go to one part; the shares and the strata are met as far as the
    groups allow. The result depends only on the columns and the seed.
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

    chosen = _whole_groups(columns["group"], strata, shares, seed) if "group" in columns else draw(random=False)
    if "group" not in columns and not all(map(len, chosen.values())):
        chosen = draw(random=True)  # random offsets give the odd examples of small classes to different splits
    for split, indices in chosen.items():
        if not len(indices):
            raise ValueError(
                f"{n} examples are too few to split {dict(shares)}: {split!r} would be empty; add some, or give it more"
            )
    return {split: take_rows(columns, indices) for split, indices in chosen.items()}


def check_shares(validation: float, test: float, things: str) -> None:
    """Raises `ValueError` unless both are shares in 0..1 that leave some of the things for training."""
    for name, share in (("validation", validation), ("test", test)):
        if not 0 < share < 1 or validation + test >= 1:
            raise ValueError(f"{name} must be a share of the {things}, the two below 1 together, found {share}")


def _whole_groups(
    groups: np.ndarray, strata: np.ndarray, shares: Mapping[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Returns the examples of each part, where a group stays whole.

    The largest groups come first. Each goes to the part that lacks its strata most, relative to what the part should
    have.
    """
    names, place = np.unique(groups.astype(str), return_inverse=True)
    if len(names) < len(shares):
        raise ValueError(
            f"{len(names)} groups are too few for {len(shares)} splits ({', '.join(names[:3])}); give --data.group "
            "another part of the path, or splits of your own"
        )
    _, kind = np.unique(strata, return_inverse=True)
    table = np.zeros((len(names), kind.max() + 1))
    np.add.at(table, (place, kind), 1)
    part = np.array(list(shares.values())) / sum(shares.values())
    wanted = part[:, None] * table.sum(0)
    lacking, target = wanted.copy(), np.empty(len(names), int)
    order = np.random.default_rng(seed).permutation(len(names))
    for group in order[np.argsort(-table[order].sum(1), kind="stable")]:
        need = (table[group] * lacking / np.maximum(wanted, 1e-9)).sum(1)
        target[group] = int(need.argmax())
        lacking[target[group]] -= table[group]
    for empty in [i for i in range(len(shares)) if not (target == i).any()]:
        donor = np.bincount(target, minlength=len(shares)).argmax()
        members = np.flatnonzero(target == donor)
        target[members[table[members].sum(1).argmin()]] = empty
    return {split: np.flatnonzero(target[place] == i) for i, split in enumerate(shares)}


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
