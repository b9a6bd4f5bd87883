"""Measures a run for its report: rows, numbers, tables and speed of a split."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.calibration import store
from cnnlab.console import console
from cnnlab.data import Dataset, Examples
from cnnlab.evaluation.decisions import decision_report
from cnnlab.evaluation.evaluate import check_data, mean_over_known, own_batch_size, own_data
from cnnlab.evaluation.per_example import Table, example_table
from cnnlab.evaluation.rows import UNCERTAINTY, Rows, fastest_rows, row_function
from cnnlab.files.atomic import is_held
from cnnlab.quoting import counted, for_terminal
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete
from cnnlab.trained import Passes, Trained
from cnnlab.training.experiment import Experiment, from_stored
from cnnlab.training.restore import load, load_config
from cnnlab.training.run import EXPERIMENT, read_experiment, read_history


@dataclasses.dataclass(frozen=True, eq=False)
class Story:
    """What a run stores of its training.

    Attributes:
      run: run directory.
      trained: the network of the best step.
      config: config of that step, see `load_config`.
      experiment: the settings, with every `auto` resolved.
      history: one mapping for each epoch.
    """

    run: Path
    trained: Trained
    config: dict[str, Any]
    experiment: Experiment
    history: list[dict[str, float]]

    @property
    def best(self) -> dict[str, float]:
        """The epoch with the best monitored metric; empty if none is known."""
        name, sign = f"validation_{self.config['monitor']['metric']}", 1 if self.config["monitor"]["maximise"] else -1
        known = [row for row in self.history if not np.isnan(row.get(name, np.nan))]
        return max(known, key=lambda row: sign * row[name], default={})


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """A run, measured on a split.

    Attributes:
      story: what the run stores of its training.
      dataset: the data.
      split: name of the split.
      passes: number of MC-Dropout passes; None for one pass with dropout off.
      rows: rows of the split, with `image` and `class_names`.
      report: numbers and tables by name, as those of `evaluate` with details.
      decisions: `decision_report` of a task that decides; otherwise empty.
      calibrated: the same after the calibration that the run stores, if it stores one for these passes.
      fit: what the stored calibration says of itself.
      examples: table with one entry per example.
      seconds: time of predicting the split, without compilation.
    """

    story: Story
    dataset: Dataset
    split: str
    passes: Passes | None
    rows: Rows
    report: dict[str, Any]
    decisions: dict[str, float]
    calibrated: dict[str, float]
    fit: str
    examples: Table
    seconds: float

    @property
    def task(self) -> Task:
        """The task, with all defaults."""
        return complete(self.story.trained.task)


def read_story(run: str | Path) -> Story:
    """Reads what a run stores of its training.

    Raises:
      ValueError: the path is no run, it has no checkpoint yet, or a process still trains in it.
    """
    run = Path(run)
    history = read_history(run) if run.is_dir() else []
    if is_held(run):
        epochs = read_experiment(run / EXPERIMENT).training.epochs
        raise ValueError(
            f"{run} is still training ({len(history)} of {counted(epochs, 'epoch')} done); wait until it has finished, "
            "or stop it, which saves its step"
        )
    trained, config = load(run), load_config(run)
    return Story(run, trained, config, from_stored(config["experiment"]), history)


def measure(
    story: Story,
    data: str | Path | None = None,
    *,
    split: str = "test",
    mc_samples: Passes | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Measured:
    """Measures a run on a split.

    Args:
      story: the run.
      data: another labelled folder, or the new path of the run's data, as in `evaluate`.
      split: `train`, `validation` or `test`.
      mc_samples: number of passes with dropout on; by default one pass with dropout off.
      seed: seed of the dropout masks.
      quiet: whether to print no progress.

    Raises:
      ValueError: as `evaluate`.
    """
    trained, out = story.trained, console(quiet)
    task = complete(trained.task)
    dataset = own_data(story.run, data, split)
    check_data(trained, dataset)
    examples, batch_size = dataset[split], own_batch_size(story.run)
    over = "" if mc_samples is None else f" over {mc_samples} passes"
    kind = "signal" if dataset.spec.values == "signal" else "image"
    out.print(f"{for_terminal(story.run)}: measures {counted(len(examples), kind)} of the split {split}{over}")
    compute = row_function([trained], mc_samples=mc_samples, seed=seed, batch_size=batch_size, draws=task.decides)
    compute(Examples(examples[np.arange(min(batch_size, len(examples)))]))  # compiles
    rows, seconds = fastest_rows(compute, examples)
    report = {name: float(value) for name, value in task.summary(rows).items()}
    decisions, calibrated, fit = {}, {}, ""
    if task.decides:
        scored = {name: value for name, value in report.items() if name in ("nll", "brier", "ece", "ece_floor")}
        decisions = scored | decision_report(rows)
        calibrated, fit = _with_stored_fit(story, rows, report, mc_samples)
    report |= {name: mean_over_known(rows, name) for name in UNCERTAINTY[:2] if name in rows}
    table = example_table(task, rows, dataset, split)
    rows |= {"image": examples.column("image"), "class_names": dataset.spec.classes}
    report |= {"examples": len(examples)} | task.details(rows)
    return Measured(story, dataset, split, mc_samples, rows, report, decisions, calibrated, fit, table, seconds)


def _with_stored_fit(
    story: Story, rows: Rows, before: dict[str, float], passes: Passes | None
) -> tuple[dict[str, float], str]:
    """Returns the decision report with the calibration and the sets that a run stores, and a sentence on them."""
    if not (story.run / store.FILE).exists():
        return {}, ""
    try:
        fitted = store.load_post_hoc(story.run, story.trained, passes=passes)
    except ValueError as error:
        return {}, f"The stored calibration is not applied: {error}"
    after = rows | {"probs": fitted.apply(rows["probs"])}
    scores = {name: float(value) for name, value in story.trained.task.summary(after).items()}
    scores |= decision_report(after, before=before if fitted.calibration else None, fitted=fitted)
    return scores, fitted.sentence()
