"""Computes a task's rows of a split: in one pass, over passes with dropout on, over views, or over several networks."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from cnnlab.calibration.image_draws import image_draws
from cnnlab.data import Examples
from cnnlab.runtime.compile import jit
from cnnlab.tasks.task import complete
from cnnlab.trained import Passes, Trained, evaluation_rows, one_pass_rows
from cnnlab.uncertainty.dropout import require_dropout
from cnnlab.uncertainty.ensemble import ensemble_moments, members_of
from cnnlab.uncertainty.moments import Moments
from cnnlab.uncertainty.monte_carlo import mc_moments, summarise
from cnnlab.uncertainty.views import View, augmented_outputs, chosen_views

Rows = dict[str, np.ndarray]
UNCERTAINTY = ("entropy", "mutual_information", "num_samples", "standard_error")


def row_function(
    members: Sequence[Trained],
    *,
    mc_samples: Passes | None = None,
    views: str | Sequence[View] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    draws: bool = False,
) -> Callable[[Examples], Rows]:
    """Returns a function from examples to the task's rows, with one row per example, in order.

    Args:
      members: one network, or several whose predictions are averaged.
      mc_samples: number of passes with dropout on, or `auto`; by default one pass with dropout off.
      views: views of each example to average over, as in `augmented_predict`.
      seed: seed of the dropout masks.
      batch_size: largest number of examples at a time.
      draws: whether to add the column `draw`, a random number per image, see `image_draws`.

    Returns:
      A function that returns the task's rows; over passes or members also `entropy` and `mutual_information` (nats, for
      each pixel or cell where there are any), `num_samples` and `standard_error`.

    Raises:
      ValueError: the members do not fit together, several members are combined with `mc_samples` or `views`,
        `mc_samples` is combined with `views`, no dropout is active, or a view is unknown.
    """
    members = members_of(members, mc_samples=mc_samples, views=views)
    first = members[0]
    if views is not None:
        if mc_samples is not None:
            raise ValueError(f"views are for one network in one pass, found mc_samples {mc_samples}; leave one out")
        views = chosen_views(views, first.spec.size)
    if mc_samples is not None:
        require_dropout(first.network, first.variables, jax.ShapeDtypeStruct((1, *first.spec.shape), np.float32))

    def compute_rows(examples: Examples) -> Rows:
        numbers = itertools.count()

        def predict_batch(batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            if mc_samples is not None:
                return _sampled_rows(first, batch, jax.random.key(seed), next(numbers), mc_samples)
            if views is not None:
                return _augmented_rows(first, batch, views)
            return _member_rows(members, batch) if len(members) > 1 else one_pass_rows(first, batch)

        def rows(_: Trained, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
            return predict_batch(batch) | ({"draw": _image_draws(batch["image"])} if draws else {})

        return evaluation_rows(first, examples, batch_size=min(batch_size, len(examples)), rows=rows)

    return compute_rows


def with_cost(
    compute_rows: Callable[[Examples], Rows], trained: Trained, examples: Examples, *, batch_size: int
) -> tuple[Rows, dict[str, float]]:
    """Computes rows and their cost: `seconds`, and `passes_equivalent`, as a multiple of one deterministic pass.

    Both times exclude compilation.
    """
    once = row_function([trained], batch_size=batch_size)
    first = Examples(examples[np.arange(min(batch_size, len(examples)))])
    for program in (compute_rows, once):
        program(first)  # compiles
    rows, seconds = fastest_rows(compute_rows, examples)
    return rows, {"seconds": seconds, "passes_equivalent": seconds / fastest_rows(once, examples)[1]}


def fastest_rows(
    compute_rows: Callable[[Examples], Rows], examples: Examples, *, repeats: int = 3, enough: float = 2.0
) -> tuple[Rows, float]:
    """Computes rows and the shortest of several times in seconds; stops once `enough` seconds are spent."""
    times: list[float] = []
    while len(times) < repeats and sum(times) < enough:
        started = time.perf_counter()
        rows = compute_rows(examples)
        times.append(time.perf_counter() - started)
    return rows, min(times)


@jit(static_argnames="num_samples")
def _sampled_rows(
    trained: Trained, batch: Mapping[str, jax.Array], key: jax.Array, number: int, num_samples: Passes
) -> dict[str, jax.Array]:
    key = jax.random.fold_in(key, number)
    stats = mc_moments(trained, batch["image"], key, num_samples=num_samples)
    return _rows_of(trained, batch, stats, spread=num_samples != 1)


@jit(static_argnames="views")
def _augmented_rows(trained: Trained, batch: Mapping[str, jax.Array], views: tuple[View, ...]) -> dict[str, jax.Array]:
    return trained.task.rows(augmented_outputs(trained, batch["image"], views), batch)


@jit
def _member_rows(members: tuple[Trained, ...], batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return _rows_of(members[0], batch, ensemble_moments(members, batch["image"]))


_image_draws = jit(image_draws)


def _rows_of(
    trained: Trained, batch: Mapping[str, jax.Array], stats: Moments, *, spread: bool = True
) -> dict[str, jax.Array]:
    """Returns the task's rows of the mean, with each example's uncertainty; `spread` is false for a single pass."""
    uncertainty = {name: leaf for name, leaf in summarise(trained, stats).items() if name in UNCERTAINTY}
    outputs = stats.mean
    if spread and complete(trained.task).reads_variance:
        outputs = outputs | {"variance": stats.variance}
    return trained.task.rows(outputs, batch) | uncertainty
