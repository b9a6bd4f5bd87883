"""Finds labels that are likely wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from cnnlab.data import Dataset, Examples
from cnnlab.data.duplicates import find_duplicates
from cnnlab.evaluation.evaluate import check_data, own_batch_size, own_data
from cnnlab.labelling.confident import ConfidentErrors, confident_errors
from cnnlab.labelling.cross_validation import FOLDS, cross_validated
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete, task_name
from cnnlab.trained import Trained, evaluation_rows
from cnnlab.training.experiment import Experiment
from cnnlab.training.restore import load, load_config, load_data
from cnnlab.training.run import read_history


class Suspects(NamedTuple):
    """Labels that are likely wrong.

    Attributes:
      table: columns `[m]` by name, the least probable label first: `rank` from 1; `file`, or `index` in the split;
        `given` and `suggested`, names of classes; `confidence`, the probability of the suggested class; and
        `probability_of_given`.
      examples: number of examples with a label.
      folds: number of networks that were trained for it; 0 if the run's own judged.
      index: `[m]` numbers of the examples in the split.
      images: the images `[n, H, W, C]` of the split, an array or files on disk.
    """

    table: dict[str, np.ndarray]
    examples: int
    folds: int
    index: np.ndarray
    images: np.ndarray


def label_errors(
    run: str | Path | Trained,
    data: Dataset | str | Path | None = None,
    *,
    split: str = "train",
    folds: int = FOLDS,
    directory: str | Path | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
    quiet: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Suspects:
    """Finds labels that networks which did not learn from them confidently contradict.

    A network may have learnt a wrong label by heart, so it cannot judge the examples of its training. If the split
    holds any of them, the run's experiment is trained again on folds of the split, and each network judges the fold
    that it has not seen. Otherwise (validation, test, another folder) the run's own network judges, without training.

    Args:
      run: run directory, or a network in memory, which always judges itself: give it data that it has not learnt from.
      data: the dataset; by default that of the run. A path is where the run's data is now, or another labelled folder
        of the same classes, as in `evaluate`.
      split: `train`, `validation` or `test`; of another folder without splits, all examples count.
      folds: number of folds, and of trainings.
      directory: directory of the folds' runs, which an interrupted call resumes; by default they are not kept.
      network: Linen module, if the run was trained with one of your own.
      task: task, if the run was trained with one of your own.
      quiet: whether the trainings print nothing.
      tell: function that gets sentences on what will be done and what it costs, before it begins.

    Raises:
      ValueError: the task is not classification with one label per image, the data has no labels or no two classes, or
        the run's data is missing.
    """
    trained = run if isinstance(run, Trained) else load(run, network=network, task=task)
    if not complete(trained.task).decides:
        raise ValueError(
            f"label errors are found for classification with one label per image; the task here is "
            f"{task_name(trained.task)}"
        )
    if folds < 2:
        raise ValueError(f"folds must be 2 or more, found {folds}")
    dataset = data if isinstance(data, Dataset) else own_data(run, data, split)
    check_data(trained, dataset)
    examples = dataset[split]
    if "label" not in examples[np.arange(1)]:
        raise ValueError(f"{dataset.name} has no labels to check; give data with the column 'label'")
    label = np.asarray(examples.column("label"))
    own = None if isinstance(run, Trained) else _training_data(run, dataset, split, tell)
    if own is None:
        tell(f"the network has not learnt from these {len(label):,} examples, so it judges them itself")
        size = own_batch_size(run)
        probs = evaluation_rows(trained, examples, batch_size=min(size, len(examples)))["probs"]
    else:
        experiment = Experiment.from_json(load_config(run)["experiment"])
        tell(_cost(Path(run), experiment, len(own["train"]), len(label), folds))
        given = Dataset(dataset.name, trained.spec, {split: examples, "validation": own["validation"]})
        options = {"network": network, "task": task, "directory": directory, "quiet": quiet}
        probs = cross_validated(experiment, given, split=split, folds=folds, **options)
    found = confident_errors(probs, label)
    return Suspects(
        _table(examples, probs, label, found, trained.spec.classes),
        int((label >= 0).sum()),
        0 if own is None else folds,
        found.index,
        examples.column("image"),
    )


def _table(
    examples: Examples, probs: np.ndarray, label: np.ndarray, found: ConfidentErrors, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the table of `Suspects`."""
    index, names, files = found.index, np.array(classes, object), getattr(examples, "files", None)
    table = {"rank": np.arange(1, len(index) + 1)}
    table |= {"index": index} if files is None else {"file": np.asarray(files, object)[index]}
    return table | {
        "given": names[label[index]],
        "suggested": names[found.suggested],
        "confidence": probs[index, found.suggested].astype(float),
        "probability_of_given": probs[index, label[index]].astype(float),
    }


def _training_data(run: str | Path, dataset: Dataset, split: str, tell: Callable[[str], None]) -> Dataset | None:
    """Returns the data of a run if its network learnt from examples of a split, otherwise None."""
    learnt = load_config(run)["data"]["fingerprint"].get("train")
    if learnt == dataset[split].digest() and "validation" in dataset.splits:
        return dataset
    own = dataset if "train" in dataset.splits and learnt == dataset["train"].digest() else None
    try:
        own = load_data(run) if own is None else own
    except ValueError as error:
        tell(f"not checked whether the network has learnt from some of these examples: {error}")
        return None
    both = {"train": own["train"], "test": dataset[split]}
    shared = find_duplicates(Dataset(dataset.name, dataset.spec, both)).get(("train", "test"))
    if shared is None or not shared.same:
        return None
    tell(f"{shared.same:,} of these examples, or more, are among the images that the network learnt from")
    return own


def _cost(run: Path, experiment: Experiment, before: int, examples: int, folds: int) -> str:
    """Says how many trainings there will be and, by the times of the run's own epochs, how long they may take."""
    seconds = [row["seconds"] for row in read_history(run) if row.get("seconds", 0) > 0]
    share = examples * (folds - 1) / folds
    time = ""
    if seconds:
        total = folds * experiment.training.epochs * float(np.median(seconds)) * share / before
        time = f", about {total:.0f} s" if total < 100 else f", about {total / 60:.0f} minutes"
        time += " by the times of the run"
    return (
        f"the network has learnt from these {examples:,} examples, so {folds} networks are trained for "
        f"{experiment.training.epochs} epochs, each on {share:,.0f} of them{time}"
    )
