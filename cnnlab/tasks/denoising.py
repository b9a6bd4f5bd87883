"""Denoising: one number or several for each time step of a signal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Dataset, InputSpec
from cnnlab.files.photo import Photo
from cnnlab.plots.traces import traces
from cnnlab.tasks.regression import Regression
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows

_DRAWN = 4  # signals in the figure


@dataclasses.dataclass(frozen=True)
class Denoising(Regression):
    """A task that predicts one number or several for each time step, such as the clean signal of a noisy one.

    It reads the column `clean` `[B, 1, T, d]` and, if the data has it, `pixel_weight` `[B, 1, T]`, the weight of each
    step in the loss, 0 where the truth is not known. `value` is `[B, 1, T, d]`. The losses, the units, the two
    variances and the metrics are those of `Regression`, over all steps that have a weight.

    Attributes:
      kind: loss: `mse`, `huber` (delta of 1 standard deviation), `l1`, or `gaussian`, the negative log likelihood, for
        which the network has two outputs per number, its mean and the logarithm of its variance.
      mean: mean of each number, in its unit; `auto` computes it from the training split.
      std: standard deviation of each number, in its unit; `auto` computes it from the training split.
    """

    logits = "map"
    noun = "channel"
    columns = ("clean",)

    def resolve(self, dataset: Dataset) -> Denoising:
        if dataset.spec.values != "signal":
            raise ValueError(f"denoising needs signals, {dataset.name} holds images; read them by --data.name signals")
        train = dataset["train"]
        clean = train.column("clean")
        weighted = "pixel_weight" in train[np.arange(1)]
        known = clean[train.column("pixel_weight") > 0] if weighted else clean.reshape(-1, clean.shape[-1])
        if not len(known):
            raise ValueError(f"no time step of {dataset.name} has a weight, so nothing can be learned")
        return self._scaled_by(known, dataset)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        value, _ = super().loss(logits, {"target": batch["clean"]})
        weight = _weight(batch)
        total = weight.sum((1, 2))
        return (weight * value).sum((1, 2)) / jnp.where(total > 0, total, 1), total / weight[0].size

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        return super().rows(outputs, {"target": batch["clean"]}) | {"known": _weight(batch) > 0}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes the metrics of `Regression` over all time steps that have a weight."""
        known = rows["known"]
        return super().summary({name: rows[name][known] for name in rows if np.shape(rows[name])[:3] == known.shape})

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the mean `error` of each signal, NaN if no step has a weight.

        `error` is the mean of |prediction - truth| over steps and targets, each divided by its standard deviation on
        the training split.
        """
        known = rows["known"]
        error = np.abs(np.asarray(rows["value"], np.float64) - rows["target"]) / np.asarray(self._scale()[1])
        with np.errstate(invalid="ignore"):
            return {"error": np.where(known, error.mean(-1), 0).sum((1, 2)) / known.sum((1, 2))}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record, whose values, and the ends of whose interval, are lists over time for each channel."""
        series = {name: _over_time(leaf) for name, leaf in prediction.items()}
        return super().record(Prediction(series), spec, photo)

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Draws the first signals with their truth, their prediction and, with a variance, its 95 % interval."""
        n = min(_DRAWN, len(rows["value"]))
        first = {name: rows[name][:n, 0, :, 0] for name in ("value", "target", "variance") if name in rows}
        noisy = np.stack([np.asarray(rows["image"][i])[0, :, 0] for i in range(n)])
        clean = np.where(rows["known"][:n, 0], first["target"], np.nan)
        return {"signals": traces(noisy, clean, first["value"], first.get("variance"))}


def _over_time(part: Any) -> Any:
    """Returns arrays `[1, T, d]` of a prediction as `[d, T]`; others, such as the number of passes, stay the same."""
    return jax.tree.map(lambda x: x[0].T if np.ndim(x) == 3 else x, part)


def _weight(batch: Batch) -> jax.Array:
    """Returns the weight of each time step `[B, 1, T]`."""
    clean = batch["clean"]
    return batch.get("pixel_weight", jnp.ones(clean.shape[:3]))
