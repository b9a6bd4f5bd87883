"""Compares runs on the same examples: paired differences with intervals, and the examples on which they differ."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from cnnlab.console import console, progress_bar
from cnnlab.data import Dataset
from cnnlab.evaluation.evaluate import check_data, check_trained_alike, own_batch_size, own_data
from cnnlab.evaluation.per_example import Table, example_table
from cnnlab.evaluation.rows import Rows, row_function
from cnnlab.metrics.paired import Difference, McNemar, bootstrap_differences, mcnemar
from cnnlab.quoting import cut
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete
from cnnlab.trained import Passes, Trained
from cnnlab.training.restore import load

SECONDS = 60.0
"""Time for the bootstrap of one pair of runs; slow scores, such as a detector's, get fewer draws."""

FEWEST = 50
"""Least number of draws, however slow the scores are."""


class Against(NamedTuple):
    """The comparison of one run with the first.

    Attributes:
      differences: difference of every score, this run minus the first, with its interval.
      draws: number of bootstrap samples behind the intervals.
      test: McNemar's test, if the task has right and wrong examples.
    """

    differences: dict[str, Difference]
    draws: int
    test: McNemar | None


class Comparison(NamedTuple):
    """Several runs on the same examples; every other run is compared with the first.

    Attributes:
      names: names of the runs.
      scores: scores of each run.
      against: comparison of every run but the first with the first.
      examples: table of each run with one entry per example, as in `example_table`.
      score: column of `examples` by which the runs' results for an example are compared; empty if the task has none.
      level: nominal level of the intervals.
    """

    names: tuple[str, ...]
    scores: list[dict[str, float]]
    against: list[Against]
    examples: list[Table]
    score: str
    level: float

    def differing(self) -> np.ndarray:
        """Returns the indices of examples on which the runs differ, the largest difference first.

        Where examples are right or wrong, these are the examples that some runs get right and others wrong.
        """
        if not self.score:
            return np.array([], int)
        values = np.stack([np.asarray(table[self.score], np.float64) for table in self.examples])
        spread = np.nan_to_num(values.max(0) - values.min(0))
        if "correct" in self.examples[0]:
            right = np.stack([table["correct"] for table in self.examples])
            spread = np.where(right.any(0) & ~right.all(0), spread, 0)
        order = np.argsort(-spread, kind="stable")
        return order[spread[order] > 0]


def compare(
    runs: Sequence[str | Path | Trained],
    data: Dataset | str | Path | None = None,
    *,
    split: str = "test",
    mc_samples: Passes | None = None,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    quiet: bool = True,
) -> Comparison:
    """Compares networks on the same examples.

    Each bootstrap sample takes the same examples for both networks, so the intervals are those of the difference.

    Args:
      runs: two or more run directories or `Trained` networks of one task. The first is the one to compare with.
      data: the dataset, or the new path of the first run's data, as in `evaluate`.
      split: `train`, `validation` or `test`.
      mc_samples: number of passes with dropout on; by default one pass with dropout off.
      draws: number of bootstrap samples; fewer if the scores are so slow that they would take more than a minute.
      level: nominal share of samples whose interval contains the true difference.
      seed: seed of the samples and of the dropout masks.
      quiet: whether to print no progress.

    Raises:
      ValueError: there are fewer than two runs, they have different tasks, classes or images, or they learnt from the
        examples of the split.
    """
    if len(runs) < 2:
        raise ValueError(f"a comparison needs two runs or more, found {len(runs)}")
    members = [run if isinstance(run, Trained) else load(run) for run in runs]
    names = tuple(f"network {i + 1}" if isinstance(run, Trained) else str(run) for i, run in enumerate(runs))
    task = members[0].task
    for name, member in zip(names, members, strict=True):
        if type(member.task) is not type(task):
            raise ValueError(
                f"runs of one task can be compared, found {type(task).__name__} in {names[0]} and "
                f"{type(member.task).__name__} in {name}"
            )
        if member.spec.classes != members[0].spec.classes:
            first, other = (cut(", ".join(spec.classes), 60) for spec in (members[0].spec, member.spec))
            raise ValueError(
                f"runs of the same classes can be compared, found {first} in {names[0]} and {other} in {name}"
            )
    check_trained_alike(runs)
    dataset = data if isinstance(data, Dataset) else own_data(runs[0], data, split)
    for member in members:
        check_data(member, dataset)
    rows = []
    for run, member in zip(runs, members, strict=True):
        options = {"mc_samples": mc_samples, "seed": seed, "batch_size": own_batch_size(run)}
        rows.append(row_function([member], **options)(dataset[split]))
    scores = [dict(member.task.summary(part)) for member, part in zip(members, rows, strict=True)]
    tables = [example_table(m.task, part, dataset, split) for m, part in zip(members, rows, strict=True)]
    against = []
    for name, part, table in list(zip(names, rows, tables, strict=True))[1:]:
        drawn, differences = _differences(task, rows[0], part, draws, level, seed, console(quiet), name)
        test = mcnemar(tables[0]["correct"], table["correct"]) if "correct" in table else None
        against.append(Against(differences, drawn, test))
    return Comparison(names, scores, against, tables, complete(task).example_score, level)


def _differences(
    task: Task, first: Rows, second: Rows, draws: int, level: float, seed: int, out: Console, name: str
) -> tuple[int, dict[str, Difference]]:
    """Computes the differences with as many draws as fit into `SECONDS`; returns their number, too."""
    started = time.perf_counter()
    task.summary(first)
    seconds = 2 * (time.perf_counter() - started)
    draws = min(draws, max(FEWEST, int(SECONDS / max(seconds, 1e-9))))
    done = 0
    with progress_bar(out, texts={"label": f"bootstrap of {name}"}, total=2 * draws + 2) as update:

        def summary(rows: Mapping[str, np.ndarray]) -> dict[str, float]:
            nonlocal done
            done += 1
            update(completed=done)
            return task.summary(rows)

        return draws, bootstrap_differences(summary, first, second, level=level, draws=draws, seed=seed)
