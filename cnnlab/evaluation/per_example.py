"""Tables with one entry per example of a split: file, truth, prediction, probability and doubt."""

import os

import numpy as np

from cnnlab.data import Dataset
from cnnlab.evaluation.rows import UNCERTAINTY, Rows
from cnnlab.files.addresses import is_address
from cnnlab.files.cache import address
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete

Table = dict[str, np.ndarray]
"""Columns `[n]` by name."""


def example_table(task: Task, rows: Rows, dataset: Dataset, split: str) -> Table:
    """Returns the table of a split: `file` or `index`, `split`, the task's columns, and the uncertainty.

    Args:
      task: the task.
      rows: rows of the split, from `row_function`.
      dataset: the data.
      split: name of the split.
    """
    examples = dataset[split]
    files = getattr(examples, "files", None)
    n = len(examples)
    table: Table = (
        {"index": np.arange(n)} if files is None else {"file": np.array([_from_here(file) for file in files], object)}
    )
    table |= {"split": np.full(n, split, object)}
    table |= complete(task).per_example(rows | {"class_names": dataset.spec.classes})
    return table | {name: _mean(rows[name]) for name in UNCERTAINTY if name in rows}


def _from_here(file: str) -> str:
    """Returns the address of a file elsewhere, and a path relative to the current directory of one inside it."""
    if is_address(place := address(file)):
        return place
    here = os.getcwd()
    return os.path.relpath(file, here) if os.path.abspath(file).startswith(os.path.join(here, "")) else file


def _mean(values: np.ndarray) -> np.ndarray:
    """Averages maps to one number per example."""
    return values.reshape(len(values), -1).mean(1, dtype=np.float64)
