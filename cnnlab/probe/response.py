"""How a network's answers change as its images become harder."""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Examples
from cnnlab.data.columns import follows
from cnnlab.geometry.warp import warp_masks
from cnnlab.probe.distortions import Distortion, Motion, distorted, move_maps
from cnnlab.runtime.compile import jit
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained, evaluation_rows, one_pass_rows
from cnnlab.uncertainty.monte_carlo import mc_predict

Rows = dict[str, np.ndarray]
Explain = Callable[[Trained, jax.Array], jax.Array]
"""A function of network and images `[B, H, W, C]` in [0, 1] that returns maps `[B, H, W]`."""


def unmovable(examples: Examples, distortion: Distortion) -> str | None:
    """Returns why a distortion cannot be measured on these examples, or None if it can."""
    columns = examples[np.arange(1)]
    if distortion.move is None:
        return None
    fixed = sorted(set(columns) - follows("pixels", "nearest", "smooth", "boxes", "still"))
    if fixed:
        return f"the column {', '.join(fixed)} cannot move with the pixels"
    if distortion.bends and "boxes" in columns:
        return "boxes stay straight where it bends the image"
    return None


def respond(
    trained: Trained,
    examples: Examples,
    distortions: Mapping[str, Distortion],
    *,
    key: jax.Array,
    batch_size: int,
    mc_samples: int | None = None,
    explain: Explain | None = None,
    advance: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Measures success, confidence, doubt and the drift of explanations for each distortion and strength.

    The same key gives each image the same random draws at all strengths of a distortion.

    Args:
      trained: the network.
      examples: one split, in memory.
      distortions: what to measure, by name.
      key: random key.
      batch_size: examples at a time.
      mc_samples: passes with dropout on that measure doubt; None measures none.
      explain: function that explains predictions; None measures no drift.
      advance: function that is called before each measurement with the name of the distortion.

    Returns:
      `score`, the name of the entry of the task's summary that measures success: the accuracy, or what selects the
      best step; and `response`, a record for each distortion and strength: `distortion`, `strength`, its `label`, the
      score under its name, and, where the task and the options have them, `confidence` (mean probability of the
      predicted classes; for detection the mean score of each image's best box), `mutual_information` (mean, in nats;
      without class probabilities `standard_deviation`, the root of the passes' mean variance, in the targets' unit),
      and `drift`, the mean of `map_drift`.
    """
    options = {"key": key, "batch_size": batch_size, "mc_samples": mc_samples, "explain": explain}
    originals: list[jax.Array] = []  # explanations of the original images, batch by batch
    records: list[dict[str, Any]] = []
    unchanged, score = None, ""
    for name, distortion in distortions.items():
        for strength in distortion.strengths:
            advance(name)
            if unchanged is not None and strength == distortion.strengths[0]:
                measured = unchanged
            else:
                score, measured = _measure(trained, examples, distortion, strength, originals, **options)
            unchanged = measured if unchanged is None else unchanged
            records.append(
                {"distortion": name, "strength": float(strength), "label": distortion.text(strength)} | measured
            )
    return {"score": score, "response": records}


def _measure(
    trained: Trained,
    examples: Examples,
    distortion: Distortion,
    strength: float,
    originals: list[jax.Array],
    *,
    key: jax.Array,
    batch_size: int,
    mc_samples: int | None,
    explain: Explain | None,
) -> tuple[str, dict[str, float]]:
    """Measures one distortion at one strength; returns the score's name too. The first call fills `originals`."""
    numbers = itertools.count()

    def rows(trained: Trained, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        number = next(numbers)
        draw, passes = jax.random.split(jax.random.fold_in(key, number))
        batch = distorted(batch, distortion, jnp.float32(strength), draw)
        out = dict(one_pass_rows(trained, batch))
        if mc_samples:
            prediction = mc_predict(trained, batch["image"], key=passes, num_samples=mc_samples)
            out |= _doubt(prediction, batch.get("mask"))
        if explain is not None:
            maps = explain(trained, batch["image"])
            if number == len(originals):
                originals.append(maps)
            out["drift"] = _drift(originals[number], maps, distortion, jnp.float32(strength), draw)
        return out

    rows = evaluation_rows(trained, examples, batch_size=batch_size, rows=rows)
    extra = {name: rows.pop(name) for name in (*_DOUBTS, "drift") if name in rows}
    summary = trained.task.summary(rows)
    score = "accuracy" if "accuracy" in summary else complete(trained.task).monitor
    measured = {score: float(summary[score])} | mean_confidence(rows)
    if "variance" in extra:
        measured["standard_deviation"] = float(np.sqrt(extra.pop("variance").mean()))
    return score, measured | {name: _mean(values) for name, values in extra.items()}


_DOUBTS = ("mutual_information", "variance")


def _mean(values: np.ndarray) -> float:
    """Returns the mean over the examples for which a value is defined; NaN if it is defined for none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def mean_confidence(rows: Rows) -> dict[str, float]:
    """Returns `confidence`, as `respond` defines it, from the rows of a split; empty if the task has none."""
    if "confidence" in rows:  # of the pixels
        return {"confidence": float(rows["confidence"][rows["mask"] >= 0].mean())}
    if "score" in rows:  # of the boxes
        return {"confidence": float(rows["score"].max(1).mean())}
    if "probs" in rows:
        return {"confidence": float(rows["probs"].max(-1).mean())}
    return {}


@jit
def _doubt(prediction: Mapping[str, Any], mask: jax.Array | None) -> dict[str, jax.Array]:
    """Returns the doubt `[B]` of a prediction over passes; pixels that are ignored do not count."""
    name = "mutual_information" if "mutual_information" in prediction else "variance"
    values = prediction[name]
    values = values["value"] if isinstance(values, dict) else values
    known = jnp.ones_like(values) if mask is None else (mask >= 0).astype(values.dtype)
    axes = tuple(range(1, values.ndim))
    return {name: (values * known).sum(axes) / known.sum(axes)}


@jit(static_argnames="distortion")
def _drift(
    original: jax.Array, maps: jax.Array, distortion: Distortion, strength: jax.Array, key: jax.Array
) -> jax.Array:
    known = jnp.ones_like(original)
    if distortion.move is not None:
        motion = distortion.move(key, len(maps), maps.shape[1:], strength)
        original = move_maps(original[..., None], motion)[..., 0]
        known = _inside(maps.shape, motion)
    return map_drift(original, maps, known)


def _inside(shape: tuple[int, ...], motion: Motion) -> jax.Array:
    """Returns 1 where a moved map shows the original and 0 where it shows what came from outside, `[B, H, W]`."""
    ones = jnp.ones(shape, jnp.int32)
    return warp_masks(ones, motion.matrix, outside=0, displacement=motion.displacement).astype(jnp.float32)


def map_drift(original: jax.Array, maps: jax.Array, known: jax.Array) -> jax.Array:
    """Computes 1 minus the correlation of two maps of an image over the known pixels.

    Args:
      original: maps `[B, H, W]` of the original images, moved along with them.
      maps: maps `[B, H, W]` of the distorted images.
      known: 1 where the pixels of both show the same part of the scene, 0 elsewhere, `[B, H, W]`.

    Returns:
      The drift `[B]`: 0 for equal maps, 1 for unrelated ones, 2 for opposite ones; NaN if a map is constant.

    >>> maps = jnp.arange(4.0).reshape(1, 2, 2)
    >>> map_drift(maps, 1 - maps, jnp.ones_like(maps)).round(4).tolist()
    [2.0]
    """
    total = functools.partial(jnp.sum, axis=(1, 2), keepdims=True)
    a, b = ((x - total(known * x) / total(known)) * known for x in (original, maps))
    return 1 - (total(a * b) / jnp.sqrt(total(a * a) * total(b * b)))[:, 0, 0]
