"""A column whose rows have different lengths, such as the boxes of photos: a batch pads its rows."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

PORTION = 4096  # rows that are padded at a time for a digest


class Ragged:
    """Rows of different lengths that behave like a padded array `[n, m, ...]`, indexed along its first axis only.

    Memory holds the entries alone. A batch has the width m of the longest row of the whole column, so that all batches
    have one shape and programs compile once.

    Attributes:
      values: `[total, ...]`, the entries of all rows, one row after the other.
      ends: `[n]`, the place in `values` behind the last entry of each row.
      fill: the value of padding.
      width: m.

    >>> column = Ragged.from_rows([np.array([3, 4]), np.array([], int)], fill=-1, width=2)
    >>> column.shape, column[[1, 0]].tolist()
    ((2, 2), [[-1, -1], [3, 4]])
    """

    def __init__(self, values: np.ndarray, ends: np.ndarray, *, fill, width: int):
        self.values, self.ends, self.fill, self.width = values, ends, fill, width

    @classmethod
    def from_rows(cls, rows: Sequence[np.ndarray], *, fill, width: int) -> "Ragged":
        """Returns the column of these rows, of which none is longer than the width."""
        return cls(np.concatenate(rows), _ends(rows), fill=fill, width=width)

    @property
    def dtype(self) -> np.dtype:
        """The type of the entries."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, m, ...)`."""
        return (len(self.ends), self.width, *self.values.shape[1:])

    @property
    def nbytes(self) -> int:
        """The bytes of the padded array."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, indices) -> np.ndarray:
        rows = np.arange(len(self))[indices]
        if rows.ndim == 0:
            return self[[int(rows)]][0]
        out = np.full((len(rows), self.width, *self.values.shape[1:]), self.fill, self.dtype)
        for place, row in enumerate(rows):
            entries = self.row(row)
            out[place, : len(entries)] = entries
        return out

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def row(self, index: int) -> np.ndarray:
        """Returns the entries of one row, without padding."""
        return self.values[self.ends[index - 1] if index else 0 : self.ends[index]]

    def take(self, indices) -> "Ragged":
        """Returns the column of these rows; the width stays."""
        rows = [self.row(row) for row in np.arange(len(self))[indices]]
        values = np.concatenate([self.values[:0], *rows])
        return Ragged(values, _ends(rows), fill=self.fill, width=self.width)

    def update(self, digest: "hashlib._Hash") -> None:
        """Adds the bytes of the padded array to a digest, a portion of the rows at a time."""
        for start in range(0, len(self), PORTION):
            digest.update(np.ascontiguousarray(self[start : start + PORTION]).data)


def take_rows(columns: Mapping[str, Any], indices) -> dict[str, Any]:
    """Returns the same rows of each column; ragged columns stay ragged, others are indexed."""
    return {name: c.take(indices) if isinstance(c, Ragged) else c[indices] for name, c in columns.items()}


def _ends(rows: Sequence[np.ndarray]) -> np.ndarray:
    return np.cumsum([len(row) for row in rows], dtype=np.int64)
