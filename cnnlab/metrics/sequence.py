"""Metrics of strings: character and word error rates, and the share of strings without an error.

The edit distance is the smallest number of characters to substitute, insert and delete (Levenshtein 1966).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np


class Edits(NamedTuple):
    """The edits that turn a true sequence into a predicted one; `inserted` counts what only the prediction has."""

    substituted: int
    inserted: int
    deleted: int


def edits(predicted: Sequence[Hashable], true: Sequence[Hashable]) -> Edits:
    """Counts the edits of a shortest way from the true sequence to the predicted one.

    Of several shortest ways it takes one with the most substitutions.

    >>> edits("sitting", "kitten")  # k becomes s, e becomes i, and g is inserted
    Edits(substituted=2, inserted=1, deleted=0)
    """
    if list(predicted) == list(true):
        return Edits(0, 0, 0)
    # Each entry is (distance, -substituted, inserted, deleted), so that the smallest is the best way.
    above = [(j, 0, j, 0) for j in range(len(predicted) + 1)]
    for i, symbol in enumerate(true, 1):
        row = [(i, 0, 0, i)]
        for j, other in enumerate(predicted, 1):
            d, s, n, m = above[j - 1]
            diagonal = above[j - 1] if symbol == other else (d + 1, s - 1, n, m)
            d, s, n, m = row[j - 1]
            insertion = (d + 1, s, n + 1, m)
            d, s, n, m = above[j]
            row.append(min(diagonal, insertion, (d + 1, s, n, m + 1)))
        above = row
    _, substituted, inserted, deleted = above[-1]
    return Edits(-substituted, inserted, deleted)


def error_rate(predicted: Sequence[Sequence[Hashable]], true: Sequence[Sequence[Hashable]]) -> float:
    """Computes the edits of all sequences, divided by the length of all true ones; it may be above 1.

    Of strings it is the character error rate (CER), of lists of words the word error rate (WER). If all true sequences
    are empty, it is the number of edits.

    >>> error_rate(["1926", "7"], ["1925", "71"])  # 2 edits of 6 characters
    0.3333333333333333
    """
    check_pairs(predicted, true)
    wrong = sum(sum(edits(p, t)) for p, t in zip(predicted, true, strict=True))
    return wrong / max(1, sum(map(len, true)))


def string_scores(predicted: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Computes `cer`, `wer` (words are separated by spaces) and `exact`, the share of strings without an error.

    >>> string_scores(["10 men", "7"], ["10 man", "7"])
    {'cer': 0.14285714285714285, 'wer': 0.3333333333333333, 'exact': 0.5}
    """
    words = [[text.split() for text in part] for part in (predicted, true)]
    exact = np.mean([p == t for p, t in zip(predicted, true, strict=True)]) if len(true) else np.nan
    return {"cer": error_rate(predicted, true), "wer": error_rate(*words), "exact": float(exact)}


def check_pairs(predicted: Sequence, true: Sequence) -> None:
    """Raises `ValueError` unless there are as many predictions as true sequences, and at least one."""
    if len(predicted) != len(true):
        raise ValueError(f"predicted and true must have one length, found {len(predicted)} and {len(true)}")
    if not len(true):
        raise ValueError("there are no strings to score; give one or more")
