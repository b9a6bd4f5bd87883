"""Out-of-sample probabilities: an experiment trained again on folds, each network judging what it has not seen."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import flax.linen as nn
import numpy as np

from cnnlab.data import Dataset, Examples
from cnnlab.data.records import Records
from cnnlab.data.streaming import ImageFiles
from cnnlab.tasks import Task
from cnnlab.trained import evaluation_rows
from cnnlab.training.experiment import Experiment
from cnnlab.training.loop import train_plan
from cnnlab.training.plan import make_plan

FOLDS = 4  # three times the work of one training; each network learns from three quarters of the examples


def cross_validated(
    experiment: Experiment,
    dataset: Dataset,
    *,
    split: str = "train",
    folds: int = FOLDS,
    directory: str | Path | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Trains an experiment on all folds but one, in turn, and returns the probabilities `[n, k]` of the fold left out.

    Folds are drawn class by class. The validation split of the dataset chooses the step of each network.

    Args:
      experiment: settings of each training.
      dataset: the data, with a split `validation` and labels.
      split: name of the split that is judged.
      folds: number of folds, and of trainings.
      directory: directory of the runs `fold1`, `fold2`, ..., which an interrupted call resumes; by default they are not
        kept.
      network: Linen module of the caller's own.
      task: task of the caller's own.
      quiet: whether to print nothing.

    Raises:
      ValueError: there are fewer than two folds, or fewer labelled examples than folds.
    """
    examples = dataset[split]
    place = fold_of(examples.column("label"), folds, seed=experiment.seed)
    training = dataclasses.replace(experiment.training, seeds=1)
    experiment = dataclasses.replace(experiment, training=training)
    kept = Path(directory) if directory is not None else Path(tempfile.mkdtemp(prefix="cnnlab-folds-"))
    probs = None
    try:
        for fold in range(folds):
            inside = np.flatnonzero(place == fold)
            parts = {"train": taken(examples, place != fold), "validation": dataset["validation"]}
            data = dataclasses.replace(dataset, splits=parts, remarks=())
            plan = make_plan(experiment, data=data, network=network, task=task)
            heading = f"fold {fold + 1} of {folds}: learns from {len(parts['train']):,}, judges {len(inside):,}"
            trained = train_plan(plan, kept / f"fold{fold + 1}", heading=heading, quiet=quiet)
            judged, size = taken(examples, place == fold), experiment.training.evaluation_batch_size
            rows = evaluation_rows(trained, judged, batch_size=min(size, len(judged)))
            probs = np.zeros((len(examples), rows["probs"].shape[1])) if probs is None else probs
            probs[inside] = rows["probs"]
    finally:
        if directory is None:
            shutil.rmtree(kept, ignore_errors=True)
    return probs


def fold_of(label: np.ndarray, folds: int, *, seed: int) -> np.ndarray:
    """Returns the fold 0..folds-1 of each example `[n]`; each class is dealt out evenly, in random order.

    >>> np.bincount(fold_of(np.array([0, 0, 0, 0, 1, 1]), 2, seed=0)).tolist()
    [3, 3]
    """
    if not 2 <= folds <= len(label):
        raise ValueError(f"folds must lie in 2..{len(label)}, the number of examples, found {folds}")
    order = np.random.default_rng(seed).permutation(len(label))
    order = order[np.argsort(label[order], kind="stable")]
    place = np.empty(len(label), int)
    place[order] = np.arange(len(label)) % folds
    return place


def taken(examples: Examples, chosen: np.ndarray) -> Examples:
    """Returns the chosen examples `[n]` bool; images on disk are not read."""
    index = np.flatnonzero(chosen)
    on_disk = ImageFiles | Records
    columns = {n: c.take(index) if isinstance(c, on_disk) else c[index] for n, c in examples.columns.items()}
    return Examples(columns, files=None if examples.files is None else examples.files[index])
