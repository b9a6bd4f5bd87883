"""Evaluation: a split's metrics, in one pass or over many, from a run's path or a network in hand."""

import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np

from cnnlab.compile import jit
from cnnlab.data import SOURCES, Dataset, Examples, augment
from cnnlab.plots import figures as plots
from cnnlab.trained import Trained, evaluation_rows
from cnnlab.training.experiment import Experiment, load_experiment_data
from cnnlab.training.restore import check_data, load, open_step
from cnnlab.training.run import read_history
from cnnlab.uncertainty.dropout import require_dropout
from cnnlab.uncertainty.monte_carlo import default_chunk, mc_moments, summarise


def evaluate(
    run: str | Path | Trained,
    data: Dataset | None = None,
    *,
    split: str = "test",
    mc_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    figures: str | Path | None = None,
) -> dict[str, float]:
    """The metrics of every example of a split, each counted once.

    Args:
      run: a run directory, or a network in hand.
      data: the dataset; a run trained on named data finds it itself.
      split: `train`, `validation` or `test`.
      mc_samples: passes with dropout on; one pass without, if left out.
      seed: of the dropout masks.
      batch_size: examples at a time.
      figures: a directory for the pictures; none if left out.

    Returns:
      The task's summary (classification: `accuracy`, `nll`, `brier`, `ece`, `ece_floor`; regression: `rmse`, `mae`,
      `r2`; segmentation: `pixel_accuracy`, `mean_iou`, `dice`; detection: `map`, `map50`) and `examples`. With
      `mc_samples` also the mean `entropy` and `mutual_information` (nats), `seconds`, and `passes_equivalent`: that
      time in multiples of one deterministic pass, both warm.

    Raises:
      ValueError: the path is no run, there is no such split, the data is not what the run was trained with, or (with
      `mc_samples`) no dropout is active.
    """
    trained = run if isinstance(run, Trained) else load(run)
    dataset = data if data is not None else run_data(run)
    examples = dataset[split]
    batch_size = min(batch_size, len(examples))
    if mc_samples is None:
        rows, cost = evaluation_rows(trained, examples, batch_size=batch_size), {}
    else:
        rows, cost = _mc_rows(trained, examples, batch_size=batch_size, num_samples=mc_samples, seed=seed)
    report = {name: float(value) for name, value in trained.task.summary(rows).items()}
    report |= {name: float(rows[name].mean()) for name in ("entropy", "mutual_information") if name in rows}
    if figures is not None:
        shown = rows | {"image": examples.column("image"), "class_names": dataset.spec.classes}
        plots.save(trained.task.figures(shown), Path(figures))
    return report | cost | {"examples": len(examples)}


def run_data(run: str | Path | Trained) -> Dataset:
    """The dataset that a run was trained with, its splits verified."""
    if isinstance(run, Trained):
        raise ValueError("a network in hand does not know its data; call evaluate(trained, dataset)")
    with open_step(run) as (_, _, config):
        experiment = Experiment.from_json(config["experiment"])
        dataset = load_experiment_data(experiment)
        check_data(config, dataset.fingerprint(), run)
        return dataset


def training_curves(run: str | Path, directory: str | Path) -> list[Path]:
    """Writes the picture of a run's loss and monitored metric."""
    with open_step(run) as (_, _, config):
        figure = plots.curves(read_history(Path(run)), config["monitor"]["metric"])
    return plots.save({"curves": figure}, Path(directory))


def augmentation_sheet(run: str | Path, directory: str | Path, *, examples: int = 8, draws: int = 3) -> list[Path]:
    """Writes the picture of what a run was trained on: examples as they are above several draws of each.

    Returns:
      The file; none where the run augments nothing.
    """
    with open_step(run) as (_, _, config):
        experiment = Experiment.from_json(config["experiment"])
    augmentation = experiment.training.augmentation
    if experiment.data.name not in SOURCES or not (augmentation.moves or augmentation.recolours):
        return []
    dataset = load_experiment_data(experiment)
    batch = dataset["train"][np.arange(min(examples, len(dataset["train"])))]
    keys = jax.random.split(jax.random.key(experiment.seed), draws)
    program = jit(functools.partial(augment, augmentation=augmentation))
    drawn = [jax.device_get(program(batch, key)) for key in keys]
    titles = ["original", *["drawn"] * draws]
    return plots.save(
        {"augmentation": plots.augmentations([batch, *drawn], titles, dataset.spec.classes)}, Path(directory)
    )


@jit(static_argnames=("num_samples", "chunk"))
def _sampled_rows(
    trained: Trained, batch: Mapping[str, jax.Array], key: jax.Array, num_samples: int, chunk: int
) -> dict[str, jax.Array]:
    found = mc_moments(trained, batch["image"], key, num_samples=num_samples, chunk=chunk)
    rows = trained.task.rows(found.mean, batch)
    return rows | {name: leaf for name, leaf in summarise(trained, found).items() if name in _UNCERTAINTY}


_UNCERTAINTY = ("entropy", "mutual_information")


def _mc_rows(
    trained: Trained, examples: Examples, *, batch_size: int, num_samples: int, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Rows averaged over passes, and what they cost against one deterministic pass."""
    if num_samples < 1:
        raise ValueError(f"mc_samples must be 1 or more, found {num_samples}")
    first = examples[np.arange(batch_size)]
    require_dropout(trained.network, trained.variables, jax.ShapeDtypeStruct(first["image"].shape, np.float32))
    key, chunk = jax.random.key(seed), min(default_chunk(), num_samples)

    def sampled(trained: Trained, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        return _sampled_rows(trained, batch, key, num_samples, chunk)

    _, once = _timed(lambda: evaluation_rows(trained, examples, batch_size=batch_size))
    rows, seconds = _timed(lambda: evaluation_rows(trained, examples, batch_size=batch_size, rows=sampled))
    return rows, {"seconds": seconds, "passes_equivalent": seconds / once}


def _timed(measure: Callable[[], dict], repeats: int = 3) -> tuple[dict, float]:
    """The result, and the median time of a warm call in seconds."""
    measure()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = measure()
        times.append(time.perf_counter() - started)
    return result, sorted(times)[len(times) // 2]
