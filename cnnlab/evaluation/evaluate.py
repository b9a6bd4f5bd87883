"""Evaluation: a split's metrics, in one pass or over many, from a run's path or a network in hand."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnlab.calibration.conformal import Method, smallest_split
from cnnlab.calibration.methods import known_calibration
from cnnlab.calibration.store import PostHoc, load_post_hoc, save_post_hoc
from cnnlab.data import Dataset, Examples
from cnnlab.data.out_of_distribution import ood_examples
from cnnlab.evaluation import decisions
from cnnlab.evaluation.rows import UNCERTAINTY, Rows, row_function, with_cost
from cnnlab.files.figures import save_figures
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete
from cnnlab.trained import Passes, Trained
from cnnlab.training.experiment import Experiment
from cnnlab.training.restore import load, load_config, load_data
from cnnlab.uncertainty.monte_carlo import warn_of_limit
from cnnlab.uncertainty.views import View


def evaluate(
    run: str | Path | Trained | Sequence[str | Path | Trained],
    data: Dataset | str | Path | None = None,
    *,
    split: str = "test",
    mc_samples: Passes | None = None,
    views: str | Sequence[View] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    figures: str | Path | None = None,
    calibrate: str | None = None,
    conformal: float | None = None,
    sets: Method = "lac",
    ood: str | Path | Dataset | None = None,
    details: bool = False,
) -> dict[str, Any]:
    """The metrics of every example of a split, each counted once.

    Args:
      run: a run directory, or a network in hand; or several of one task, whose answers are averaged.
      data: the dataset; a run trained on named data finds it itself (of several, the first), or, where it was moved, at
        the path given here.
      split: `train`, `validation` or `test`.
      mc_samples: passes with dropout on, or `auto`: as many as each batch needs; one pass without, if left out.
      views: average over views of each image, as in `augmented_predict`: `flips`, `dihedral`, or some of them; not
        with `mc_samples`, `calibrate` or `conformal`.
      seed: of the dropout masks.
      batch_size: examples at a time; those of the run's own validation, if left out, of a network in hand 256.
      figures: a directory for the pictures; none if left out. Of segmentation one an image too, `images/NUMBER.png`, of
        the worst 20.
      calibrate: `temperature`, `vector`, `platt` or `isotonic`, fitted on the validation split's answers, made the same
        way; or `saved`: what the run keeps. What is fitted to a single run on its own data is kept in it, for
        `predict`.
      conformal: share of labels that a set of classes may miss; sets are fitted on the validation split, too.
      sets: `lac`, `aps` or `raps`, see `Conformal.fit`.
      ood: images unlike those learnt from: a dataset, its name (its `test` split counts), or a folder.
      details: return the task's tables too.

    Returns:
      The task's summary (classification: `accuracy`, `balanced_accuracy`, `nll`, `brier`, `ece`, `ece_floor`;
      regression: `rmse`, `mae`, `r2`; segmentation: `pixel_accuracy`, `mean_iou`, `dice`; detection: the COCO numbers)
      and `examples`. With `mc_samples` or several runs also the mean `entropy` and `mutual_information` (nats); with
      `mc_samples` also `seconds` and `passes_equivalent`: that time in multiples of one deterministic pass, both warm;
      with `auto` the mean of `num_samples` and the largest `standard_error` too. A detector then adds
      `false_positive_auroc_*`, whether doubt finds the wrong ones. With `calibrate` the summary is that of calibrated
      answers; with it, `conformal` or `ood` also `decisions.decision_report`. With `details` the tables of a detector:
      `classes`, a record of each, and `errors`, counts by cause.

    Raises:
      ValueError: the path is no run, there is no such split, the data does not fit the network, (with `mc_samples`) no
      dropout is active, (with `views`) another way to answer is asked for too, or (with the last options) the task is
      not classification with one label an image.
    """
    runs = [run] if isinstance(run, str | Path | Trained) else list(run)
    _check_runs(runs)
    members = [one if isinstance(one, Trained) else load(one) for one in runs]
    if batch_size is None:
        batch_size = _own_batch_size(runs[0])
    if views is not None and not (calibrate is None and conformal is None):
        raise ValueError(f"views {views!r} have no calibration and no conformal sets; leave out the ones or the others")
    options = {"mc_samples": mc_samples, "views": views, "seed": seed, "batch_size": batch_size}
    answers = row_function(members, draws=not (calibrate is None and conformal is None), **options)
    trained, deciding = members[0], not (calibrate is None and conformal is None and ood is None)
    if deciding:
        _require_one_label(trained.task)
        if split == "validation" and not (calibrate is None and conformal is None):
            raise ValueError(
                "calibrations and sets are fitted on the validation split, so they cannot be measured on it; take "
                "the split test"
            )
    dataset = data if isinstance(data, Dataset) else _own_data(runs[0], data)
    _check_data(trained, dataset)
    examples, others = dataset[split], None if ood is None else ood_examples(ood, trained.spec)
    before, fitted = None, None
    if calibrate is not None or conformal is not None:
        options = {"method": calibrate, "error": conformal, "sets": sets}
        fitted = _fitted(runs, trained, answers, dataset, passes=mc_samples, **options)
    if mc_samples is None:
        rows, cost = answers(examples), {}
    else:
        rows, cost = with_cost(answers, trained, examples, batch_size=batch_size)
    outside = None if others is None else answers(others)
    if fitted is not None:
        before = trained.task.summary(rows) if fitted.calibration else None
        rows, outside = (part and part | {"probs": fitted.apply(part["probs"])} for part in (rows, outside))
    report = {name: float(value) for name, value in trained.task.summary(rows).items()}
    told = UNCERTAINTY[: 3 if mc_samples == "auto" else 2]
    report |= {name: _mean(rows, name) for name in told if name in rows}
    if mc_samples == "auto":
        report["standard_error"] = float(rows["standard_error"].max())
        warn_of_limit(report["standard_error"])
    if deciding:
        report |= decisions.decision_report(rows, before=before, fitted=fitted, outside=outside)
    if calibrate is not None:
        report["calibrated"] = int(fitted.calibration is not None)
    rows |= {"image": examples.column("image"), "class_names": dataset.spec.classes}
    tables = complete(trained.task).details(rows) if details else {}
    if figures is not None:
        drawn = trained.task.figures(rows)
        if deciding:
            drawn |= decisions.decision_figures(rows, outside, (dataset.name, "" if ood is None else _name_of(ood)))
        save_figures(drawn, Path(figures))
    return report | cost | {"examples": len(examples)} | tables


def _mean(rows: Rows, name: str) -> float:
    """Of a column; of a map without the pixels that are ignored."""
    mask = rows.get("mask")
    return float((rows[name] if mask is None or rows[name].ndim == 1 else rows[name][mask >= 0]).mean())


def _check_runs(runs: Sequence[str | Path | Trained]) -> None:
    if not runs:
        raise ValueError("run names no network; give a run directory, or several")
    places = [Path(one).resolve() for one in runs if not isinstance(one, Trained)]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise ValueError(f"the run {place} is given twice; an ensemble is of networks trained apart")


def _own_batch_size(run: str | Path | Trained) -> int:
    if isinstance(run, Trained):
        return 256
    return Experiment.from_json(load_config(run)["experiment"]).training.evaluation_batch_size


def _own_data(run: str | Path | Trained, moved_to: str | Path | None) -> Dataset:
    if isinstance(run, Trained):
        raise ValueError("a network in hand does not know its data; call evaluate(trained, dataset)")
    return load_data(run, moved_to)


def _check_data(trained: Trained, dataset: Dataset) -> None:
    """Raises `ValueError` where data has other images or classes than the network was trained for."""
    mine, others = trained.spec, dataset.spec
    for part, wanted, found in (
        ("channels", mine.channels, others.channels),
        ("images", None if trained.any_size else mine.shape, None if trained.any_size else others.shape),
        ("classes", mine.classes, others.classes),
    ):
        if wanted != found:
            raise ValueError(f"the network was trained for the {part} {wanted}, {dataset.name} has {found}")


def _require_one_label(task: Task) -> None:
    if not complete(task).decides:
        raise ValueError(
            f"calibrate, conformal and ood are for classification with one label an image, the task here is {task}"
        )


def _fitted(
    runs: Sequence[str | Path | Trained],
    trained: Trained,
    answers: Callable[[Examples], Rows],
    dataset: Dataset,
    *,
    passes: Passes | None,
    method: str | None,
    error: float | None,
    sets: Method,
) -> PostHoc:
    """What a run keeps, or what the validation split says; that of a single run is kept in it."""
    path = runs[0] if len(runs) == 1 and not isinstance(runs[0], Trained) else None
    if method == "saved":
        if path is None or error is not None:
            raise ValueError("calibrate='saved' takes what one run's path keeps, sets included; leave conformal out")
        return load_post_hoc(path, trained, passes=passes)
    if method is not None:
        known_calibration(method)
    if error is not None:
        smallest_split(error)
    rows = answers(dataset["validation"])
    options = {"passes": passes, "method": method, "error": error, "sets": sets, "uniform": rows["draw"]}
    found = PostHoc.fit(rows["probs"], rows["label"], **options)
    if len(runs) > 1:
        warnings.warn("what is fitted to the mean of several runs is measured, and kept in none of them", stacklevel=3)
    elif path is not None and not (found.calibration or found.conformal):
        pass  # nothing to keep
    elif path is not None and _is_own(path, dataset):
        save_post_hoc(found, trained, path)
    elif path is not None:
        warnings.warn(f"what is fitted to other data than the run's is measured, and not kept in {path}", stacklevel=3)
    return found


def _is_own(run: str | Path, dataset: Dataset) -> bool:
    """Whether a run was validated on this validation split."""
    return load_config(run)["data"]["fingerprint"].get("validation") == dataset["validation"].digest()


def _name_of(data: str | Path | Dataset) -> str:
    return data.name if isinstance(data, Dataset) else Path(data).name
