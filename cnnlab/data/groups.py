"""Groups of examples that must stay in one split: the images of a patient, a map sheet or a video."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from cnnlab.data.columns import Columns

FOLDER = "folder"
"""The word for groups by the folder of a file."""


def groups_of(names: Sequence[str], group: str) -> np.ndarray:
    r"""Returns the group of each file `[n]`, read from its path.

    Args:
      names: paths of the files below the folder of the data, with slashes.
      group: `folder` for the folder of a file, or a regular expression that occurs in every path: its first part in
        parentheses, or all of it, names the group.

    Raises:
      ValueError: the expression is none, or does not occur in a path.

    >>> groups_of(["a/p1_left.png", "a/p1_right.png", "b/p2_left.png"], r"(p\d+)_").tolist()
    ['p1', 'p1', 'p2']
    """
    if group == FOLDER:
        return np.array([str(PurePosixPath(name).parent) for name in names], object)
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ValueError(
            f"group must be {FOLDER!r}, a column of targets.csv or a regular expression for the path, found {group!r} "
            f"({error})"
        ) from error
    found = [pattern.search(name) for name in names]
    if None in found:
        raise ValueError(
            f"group {group!r} is no column and does not occur in the path {names[found.index(None)]!r}; give "
            f"{FOLDER!r}, a column of targets.csv or a regular expression that occurs in every path"
        )
    return np.array([match[1] if pattern.groups else match[0] for match in found], object)


def without_groups(tables: Mapping[str, Columns]) -> dict[str, Columns]:
    """Returns the tables without their column `group`, after checking that no group is in two of them.

    Raises:
      ValueError: a group is in two splits.
    """
    first: dict[str, str] = {}
    for split, columns in tables.items():
        for group in set(columns.get("group", ())):
            if (other := first.setdefault(group, split)) != split:
                raise ValueError(
                    f"the group {group!r} is in the splits {other} and {split} of the folder; move its files into one, "
                    "or leave --data.group out"
                )
    return {split: {name: c for name, c in columns.items() if name != "group"} for split, columns in tables.items()}
