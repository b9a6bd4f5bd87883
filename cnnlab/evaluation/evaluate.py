"""Computes the metrics of a split, in one pass or over many, for a run directory or a `Trained` network."""

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn

from cnnlab.calibration.conformal import Method, smallest_split
from cnnlab.calibration.methods import known_calibration
from cnnlab.calibration.store import PostHoc, load_post_hoc, save_post_hoc
from cnnlab.data import SOURCES, Dataset, Examples
from cnnlab.data.appearance import far_outside, measure_examples
from cnnlab.data.out_of_distribution import ood_examples
from cnnlab.evaluation import decisions
from cnnlab.evaluation.explained import check_explain, wrong_explained
from cnnlab.evaluation.per_example import example_table
from cnnlab.evaluation.rows import UNCERTAINTY, Rows, row_function, with_cost
from cnnlab.files.figures import FigureFormat, save_figures
from cnnlab.files.publishing import written
from cnnlab.files.tables import write_table
from cnnlab.tasks import Task
from cnnlab.tasks.task import complete, task_name
from cnnlab.trained import Passes, Trained
from cnnlab.training.elsewhere import run_here
from cnnlab.training.experiment import Experiment, with_defaults
from cnnlab.training.restore import load, load_appearance, load_config, load_data, load_data_at
from cnnlab.uncertainty.monte_carlo import warn_of_limit
from cnnlab.uncertainty.views import View


def evaluate(
    run: str | Path | Trained | Sequence[str | Path | Trained],
    data: Dataset | str | Path | None = None,
    *,
    network: nn.Module | None = None,
    task: Task | None = None,
    split: str = "test",
    mc_samples: Passes | None = None,
    views: str | Sequence[View] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    figures: str | Path | None = None,
    figure_format: FigureFormat = "png",
    calibrate: str | None = None,
    conformal: float | None = None,
    sets: Method = "lac",
    ood: str | Path | Dataset | None = None,
    explain: str | None = None,
    predictions: str | Path | None = None,
    details: bool = False,
) -> dict[str, Any]:
    """Evaluates one network or an ensemble on a split; every example counts once.

    Args:
      run: a run directory, its address, or a `Trained` network; or several with the same task, whose predictions are
        averaged.
      data: the dataset. A run that was trained on named data loads it itself (of several runs, the first does), also
        from the path `data` if the files were moved. The path may also be another labelled folder of the same classes,
        in any order; see `cnnlab.data.labelled`.
      network: Linen module, if the run was trained with one of your own.
      task: task, if the run was trained with one of your own.
      split: `train`, `validation` or `test`; of another folder without splits, all examples count.
      mc_samples: number of passes with dropout on, or `auto`, as many as each batch needs; by default one pass with
        dropout off.
      views: views of each image to average over, as in `augmented_predict`: `flips`, `dihedral`, or a sequence; not
        with `mc_samples`, `calibrate` or `conformal`.
      seed: seed of the dropout masks.
      batch_size: number of examples at a time; by default that of the run's validation, 256 for a `Trained` network.
      figures: directory for the figures; by default none are drawn. Segmentation also draws `images/NUMBER`, one
        figure for each of the 20 worst images.
      figure_format: file type of the figures: `png`, `pdf` or `svg`.
      calibrate: `temperature`, `vector`, `platt` or `isotonic`, fitted on the validation split's predictions, which are
        computed in the same way; or `saved`, the calibration that the run stores. A calibration of a single run on its
        own data is stored in it, for `predict`.
      conformal: share of labels that a set of classes may miss; the sets are fitted on the validation split, too.
      sets: method of the sets: `lac`, `aps` or `raps`, see `Conformal.fit`.
      ood: out-of-distribution images: a dataset, its name (its `test` split is used), or a folder.
      explain: method of explanation, such as `grad_cam`, whose maps of the prediction and of the truth are drawn beside
        each wrong prediction in the figure `wrong`; it needs `figures`.
      predictions: file for a table with one row per example: file, split, truth, prediction, probability, doubt;
        Parquet if its suffix is `.parquet`, else CSV.
      details: whether to return the task's tables too.

    Returns:
      The task's summary (classification: `accuracy`, `balanced_accuracy`, `nll`, `brier`, `ece`, `ece_floor`;
      regression: `rmse`, `mae`, `r2`; segmentation: `pixel_accuracy`, `mean_iou`, `dice`; detection: COCO's scores)
      and `examples`. With `mc_samples` or several runs it adds the mean `entropy` and `mutual_information` (nats). With
      `mc_samples` it also adds `seconds` and `passes_equivalent`, this time as a multiple of one deterministic pass,
      both without compilation; with `auto` also the mean of `num_samples` and the largest `standard_error`. A detector
      then adds `false_positive_auroc_*`, which measure whether doubt detects false boxes. With `calibrate` the summary
      is that of the calibrated predictions. With `calibrate`, `conformal` or `ood` it adds
      `decisions.decision_report`. With `details` it adds a detector's tables: `classes`, one record per class, and
      `errors`, counts by cause.

    Raises:
      ValueError: the path is no run, the split does not exist, the data does not fit the network, no dropout is active
        (with `mc_samples`), `views` is combined with an option that excludes it, or the task is not classification with
        one label per image (with `calibrate`, `conformal` or `ood`).
    """
    runs = [run] if isinstance(run, str | Path | Trained) else list(run)
    runs = [each if isinstance(each, Trained) else run_here(each) for each in runs]
    _check_runs(runs)
    check_trained_alike(runs)
    members = [run if isinstance(run, Trained) else load(run, network=network, task=task) for run in runs]
    if batch_size is None:
        batch_size = own_batch_size(runs[0])
    if views is not None and not (calibrate is None and conformal is None):
        raise ValueError(f"views {views!r} cannot be combined with calibrate or conformal; leave out either")
    options = {"mc_samples": mc_samples, "views": views, "seed": seed, "batch_size": batch_size}
    compute_rows = row_function(members, draws=not (calibrate is None and conformal is None), **options)
    trained, deciding = members[0], not (calibrate is None and conformal is None and ood is None)
    if deciding:
        _require_one_label(trained.task)
        if split == "validation" and not (calibrate is None and conformal is None):
            raise ValueError(
                "calibrations and sets are fitted on the validation split, so they cannot be evaluated on it; use "
                "the split test"
            )
    if explain is not None:
        check_explain(trained, explain)
    dataset = data if isinstance(data, Dataset) else own_data(runs[0], data, split)
    check_data(trained, dataset)
    examples, ood_split = dataset[split], None if ood is None else ood_examples(ood, trained.spec)
    before, fitted = None, None
    if calibrate is not None or conformal is not None:
        options = {"method": calibrate, "error": conformal, "sets": sets}
        fitted = _fitted(runs, trained, compute_rows, dataset, passes=mc_samples, **options)
    if mc_samples is None:
        rows, cost = compute_rows(examples), {}
    else:
        rows, cost = with_cost(compute_rows, trained, examples, batch_size=batch_size)
    ood_rows = None if ood_split is None else compute_rows(ood_split)
    if fitted is not None:
        before = trained.task.summary(rows) if fitted.calibration else None
        rows, ood_rows = (part and part | {"probs": fitted.apply(part["probs"])} for part in (rows, ood_rows))
    _warn_if_different(runs[0], examples)
    report = {name: float(value) for name, value in trained.task.summary(rows).items()}
    columns = UNCERTAINTY[: 3 if mc_samples == "auto" else 2]
    report |= {name: mean_over_known(rows, name) for name in columns if name in rows}
    if mc_samples == "auto":
        report["standard_error"] = float(rows["standard_error"].max())
        warn_of_limit(report["standard_error"])
    if deciding:
        report |= decisions.decision_report(rows, before=before, fitted=fitted, ood=ood_rows)
    if calibrate is not None:
        report["calibrated"] = int(fitted.calibration is not None)
    if predictions is not None:
        with written(predictions) as file:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_table(file, example_table(trained.task, rows, dataset, split))
    rows |= {"image": examples.column("image"), "class_names": dataset.spec.classes}
    tables = complete(trained.task).details(rows) if details else {}
    if figures is not None:
        task_figures = trained.task.figures(rows)
        if deciding:
            task_figures |= decisions.decision_figures(
                rows, ood_rows, (dataset.name, "" if ood is None else _name_of(ood))
            )
        if explain is not None:
            task_figures["wrong"] = wrong_explained(members, rows, explain)
        with written(figures) as folder:
            save_figures(task_figures, folder, figure_format=figure_format)
    return report | cost | {"examples": len(examples)} | tables


def _warn_if_different(run: str | Path | Trained, examples: Examples) -> None:
    """Warns if the images of a split look very different from those on which a run was trained."""
    usual = None if isinstance(run, Trained) else load_appearance(run)
    sentence = None if usual is None else far_outside(usual, measure_examples(examples))
    if sentence is not None:
        warnings.warn(sentence, stacklevel=3)


def mean_over_known(rows: Rows, name: str) -> float:
    """Computes the mean of a column; of a map, only over the pixels that are not ignored."""
    mask = rows.get("mask")
    return float((rows[name] if mask is None or rows[name].ndim == 1 else rows[name][mask >= 0]).mean())


def _check_runs(runs: Sequence[str | Path | Trained]) -> None:
    if not runs:
        raise ValueError("run names no network; pass a run directory, or several")
    places = [Path(run).resolve() for run in runs if not isinstance(run, Trained)]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise ValueError(f"the run {place} is given twice; an ensemble needs networks that were trained separately")


def check_trained_alike(runs: Sequence[str | Path | Trained]) -> None:
    """Warns if runs learnt from different training examples: one may have learnt from the test examples of another."""
    stored = {str(run): load_config(run)["data"] for run in runs if not isinstance(run, Trained)}
    for run, data in list(stored.items())[1:]:
        first, own = next(iter(stored.items()))
        if data["fingerprint"].get("train") != own["fingerprint"].get("train"):
            warnings.warn(
                f"{run} learnt from other training examples ({data['name']}) than {first} ({own['name']}); if they "
                "contain examples of this split, its scores are too good",
                stacklevel=3,
            )


def own_batch_size(run: str | Path | Trained) -> int:
    """Returns the batch size of a run's validation; 256 for a network in memory."""
    if isinstance(run, Trained):
        return 256
    return Experiment.from_json(load_config(run)["experiment"]).training.evaluation_batch_size


def own_data(run: str | Path | Trained, place: str | Path | None, split: str) -> Dataset:
    """Loads the data of a run, from a new path if it has moved, or a split of another labelled folder.

    It raises `ValueError` for a network in memory.
    """
    if isinstance(run, Trained):
        raise ValueError("a Trained network does not know its data; call evaluate(trained, dataset)")
    return load_data(run) if place is None else load_data_at(run, place, split)


def check_data(trained: Trained, dataset: Dataset) -> None:
    """Raises `ValueError` if the data has other images or classes than the network was trained for."""
    own, other = trained.spec, dataset.spec
    for part, expected, actual in (
        ("channels", own.channels, other.channels),
        ("images", None if trained.any_size else own.shape, None if trained.any_size else other.shape),
        ("classes", own.classes, other.classes),
    ):
        if expected != actual:
            raise ValueError(f"the network was trained for the {part} {expected}, {dataset.name} has {actual}")


def _require_one_label(task: Task) -> None:
    if not complete(task).decides:
        raise ValueError(
            "calibrate, conformal and ood need classification with one label per image; the task here is "
            f"{task_name(task)}"
        )


def _fitted(
    runs: Sequence[str | Path | Trained],
    trained: Trained,
    compute_rows: Callable[[Examples], Rows],
    dataset: Dataset,
    *,
    passes: Passes | None,
    method: str | None,
    error: float | None,
    sets: Method,
) -> PostHoc:
    """Loads a run's calibration and sets, or fits them on the validation split and stores them in a single run."""
    path = runs[0] if len(runs) == 1 and not isinstance(runs[0], Trained) else None
    if method == "saved":
        if path is None or error is not None:
            raise ValueError("calibrate='saved' loads calibration and sets of one run directory; leave conformal out")
        return load_post_hoc(path, trained, passes=passes)
    classes = len(dataset.spec.classes)
    needed = 0 if method is None else known_calibration(method).smallest(classes)
    if "validation" not in dataset.splits:
        raise ValueError(
            f"{dataset.name} has no validation split, on which calibrations and sets are fitted; fit them on the run's "
            "own data first, then use calibrate='saved' (--calibrate saved)"
        )
    needed += 0 if error is None else smallest_split(error)
    rows = compute_rows(dataset["validation"])
    options = {"passes": passes, "method": method, "error": error, "sets": sets, "uniform": rows["draw"]}
    cure = "use more validation examples" if path is None else _cure(path, needed)
    fitted = PostHoc.fit(rows["probs"], rows["label"], **options, cure=cure)
    if len(runs) > 1:
        warnings.warn("a fit to the mean of several runs is evaluated, but not stored in any of them", stacklevel=3)
    elif path is not None and _is_own(path, dataset):
        save_post_hoc(fitted, trained, path)
    elif path is not None:
        warnings.warn(f"a fit to other data than the run's is evaluated, but not stored in {path}", stacklevel=3)
    return fitted


def _cure(run: str | Path, needed: int) -> str:
    """Returns how a run gets the validation examples that a fit needs, or more.

    It is a flag if a share of the examples decides their number, and half of the examples is enough.
    """
    config = load_config(run)
    sizes, data = config["data"]["sizes"], Experiment.from_json(config["experiment"]).data
    found, wholes = sizes["validation"], (sizes["train"] + sizes["validation"], sum(sizes.values()))
    share = with_defaults(data, SOURCES).options.get("validation") if data.name in SOURCES else None
    rounding = len(config["spec"]["classes"])  # each class is divided by itself
    if not isinstance(share, float) or all(abs(found - share * whole) > rounding for whole in wholes):
        return "use more validation examples"
    larger = max(0.25 if share < 0.2 else 0.5, math.ceil(20 * needed / min(wholes)) / 20)
    if larger > 0.5:
        return f"half of the {min(wholes):,} examples for training and validation are too few; use more images"
    return f"for more than these {found:,} validation examples train again with --data.validation {larger}"


def _is_own(run: str | Path, dataset: Dataset) -> bool:
    """Returns whether a run was validated on the validation split of this dataset."""
    return load_config(run)["data"]["fingerprint"].get("validation") == dataset["validation"].digest()


def _name_of(data: str | Path | Dataset) -> str:
    return data.name if isinstance(data, Dataset) else Path(data).name
