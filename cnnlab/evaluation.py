"""Evaluation: a split's metrics, in one pass or over many, from a run's path or a network in hand."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from cnnlab.compile import jit
from cnnlab.data import Dataset, Examples, InputSpec
from cnnlab.pictures import save_figures
from cnnlab.trained import Trained, evaluation_rows
from cnnlab.training.restore import load, load_data
from cnnlab.uncertainty.dropout import require_dropout
from cnnlab.uncertainty.ensemble import check_members, ensemble_moments
from cnnlab.uncertainty.moments import Moments
from cnnlab.uncertainty.monte_carlo import Passes, mc_moments, summarise

T = TypeVar("T")


def evaluate(
    run: str | Path | Trained | Sequence[str | Path | Trained],
    data: Dataset | None = None,
    *,
    split: str = "test",
    mc_samples: Passes | None = None,
    seed: int = 0,
    batch_size: int = 256,
    figures: str | Path | None = None,
) -> dict[str, float]:
    """The metrics of every example of a split, each counted once.

    Args:
      run: a run directory, or a network in hand; or several of one task, whose answers are averaged.
      data: the dataset; a run trained on named data finds it itself (of several, the first).
      split: `train`, `validation` or `test`.
      mc_samples: passes with dropout on, or `auto`: as many as each batch needs; one pass without, if left out.
      seed: of the dropout masks.
      batch_size: examples at a time.
      figures: a directory for the pictures; none if left out.

    Returns:
      The task's summary (classification: `accuracy`, `balanced_accuracy`, `nll`, `brier`, `ece`, `ece_floor`;
      regression: `rmse`, `mae`, `r2`; segmentation: `pixel_accuracy`, `mean_iou`, `dice`; detection: `map`, `map50`,
      `crowded_out`) and `examples`. With `mc_samples` or several runs also the mean `entropy` and
      `mutual_information` (nats); with `mc_samples` also `seconds` and `passes_equivalent`: that time in multiples of
      one deterministic pass, both warm; with `auto` the mean of `num_samples` too.

    Raises:
      ValueError: the path is no run, there is no such split, the data does not fit the network, or (with
      `mc_samples`) no dropout is active.
    """
    runs = [run] if isinstance(run, str | Path | Trained) else list(run)
    members = [one if isinstance(one, Trained) else load(one) for one in runs]
    check_members(members)
    trained = members[0]
    dataset = data if data is not None else _own_data(runs[0])
    check_spec(trained.spec, dataset)
    examples = dataset[split]
    batch_size = min(batch_size, len(examples))
    if len(members) > 1:
        if mc_samples is not None:
            raise ValueError(f"mc_samples is for one network, found {len(members)}; evaluate one run, or leave it out")
        rows, cost = _ensemble_rows(members, examples, batch_size=batch_size), {}
    elif mc_samples is None:
        rows, cost = evaluation_rows(trained, examples, batch_size=batch_size), {}
    else:
        rows, cost = _mc_rows(trained, examples, batch_size=batch_size, num_samples=mc_samples, seed=seed)
    report = {name: float(value) for name, value in trained.task.summary(rows).items()}
    shown = (*_UNCERTAINTY, "num_samples") if mc_samples == "auto" else _UNCERTAINTY
    report |= {name: float(rows[name].mean()) for name in shown if name in rows}
    if figures is not None:
        shown = rows | {"image": examples.column("image"), "class_names": dataset.spec.classes}
        save_figures(trained.task.figures(shown), Path(figures))
    return report | cost | {"examples": len(examples)}


def _own_data(run: str | Path | Trained) -> Dataset:
    if isinstance(run, Trained):
        raise ValueError("a network in hand does not know its data; call evaluate(trained, dataset)")
    return load_data(run)


def check_spec(spec: InputSpec, dataset: Dataset) -> None:
    """Raises `ValueError` where data has other images or classes than the network was trained for."""
    for part, wanted, found in (
        ("images", spec.shape, dataset.spec.shape),
        ("classes", spec.classes, dataset.spec.classes),
    ):
        if wanted != found:
            raise ValueError(f"the network was trained for the {part} {wanted}, {dataset.name} has {found}")


@jit(static_argnames="num_samples")
def _sampled_rows(
    trained: Trained, batch: Mapping[str, jax.Array], key: jax.Array, num_samples: Passes
) -> dict[str, jax.Array]:
    return _rows_of(trained, batch, mc_moments(trained, batch["image"], key, num_samples=num_samples))


def _rows_of(trained: Trained, batch: Mapping[str, jax.Array], found: Moments) -> dict[str, jax.Array]:
    """The task's rows of the mean, with the uncertainty of each example."""
    kept = {name: leaf for name, leaf in summarise(trained, found).items() if name in (*_UNCERTAINTY, "num_samples")}
    outputs = found.mean
    if getattr(trained.task, "reads_variance", False):
        outputs = outputs | {"variance": found.variance}
    return trained.task.rows(outputs, batch) | kept


_UNCERTAINTY = ("entropy", "mutual_information")


@jit
def _member_rows(members: tuple[Trained, ...], batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return _rows_of(members[0], batch, ensemble_moments(members, batch["image"]))


def _ensemble_rows(members: Sequence[Trained], examples: Examples, *, batch_size: int) -> dict[str, np.ndarray]:
    """Rows averaged over networks."""
    members = tuple(members)
    return evaluation_rows(
        members[0], examples, batch_size=batch_size, rows=lambda _, batch: _member_rows(members, batch)
    )


def _mc_rows(
    trained: Trained, examples: Examples, *, batch_size: int, num_samples: Passes, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Rows averaged over passes, and what they cost against one deterministic pass."""
    first = examples[np.arange(batch_size)]
    require_dropout(trained.network, trained.variables, jax.ShapeDtypeStruct(first["image"].shape, np.float32))
    key, numbers = jax.random.key(seed), itertools.count()

    def sampled(trained: Trained, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        return _sampled_rows(trained, batch, jax.random.fold_in(key, next(numbers)), num_samples)

    # Both programs are compiled on the first batch, outside the timing.
    first |= {"weight": np.ones(batch_size, np.float32)}
    jax.block_until_ready(_sampled_rows(trained, first, key, num_samples))
    evaluation_rows(trained, Examples(first), batch_size=batch_size)
    rows, seconds = _timed(lambda: evaluation_rows(trained, examples, batch_size=batch_size, rows=sampled))
    once = min(_timed(lambda: evaluation_rows(trained, examples, batch_size=batch_size))[1] for _ in range(3))
    return rows, {"seconds": seconds, "passes_equivalent": seconds / once}


def _timed(measure: Callable[[], T]) -> tuple[T, float]:
    """A result and its seconds."""
    started = time.perf_counter()
    result = measure()
    return result, time.perf_counter() - started
