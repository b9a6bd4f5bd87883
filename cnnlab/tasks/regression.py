"""Regression: one number or several, in their own units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import unknown
from cnnlab.losses import POINTWISE
from cnnlab.metrics.regression import errors
from cnnlab.plots import figures
from cnnlab.tasks.task import Batch, Outputs, Prediction, Rows, require


@dataclasses.dataclass(frozen=True)
class Regression:
    """Reads `target` `[B, d]`. The network predicts standardised targets; `value` `[B, d]` is in the targets' units.

    Attributes:
      kind: the loss: `mse`, `huber` (delta 1 standard deviation) or `l1`.
      mean: of each target in training; `auto` measures it.
      std: likewise.
    """

    kind: Literal["mse", "huber", "l1"] = "mse"
    mean: Literal["auto"] | tuple[float, ...] = "auto"
    std: Literal["auto"] | tuple[float, ...] = "auto"

    logits = "vector"
    monitor = "rmse"
    maximise = False

    def __post_init__(self):
        if self.kind not in POINTWISE:
            raise unknown("regression loss", self.kind, POINTWISE)

    def resolve(self, dataset: Dataset) -> Regression:
        target = require(dataset, "target", "regression").astype(np.float64)
        if not np.isfinite(target).all():
            raise ValueError(f"targets of {dataset.name} must be finite, found {target[~np.isfinite(target)][0]}")
        d = target.shape[1]
        mean = tuple(target.mean(0).tolist()) if self.mean == "auto" else self.mean
        std = tuple((s or 1.0) for s in target.std(0).tolist()) if self.std == "auto" else self.std
        if not len(mean) == len(std) == d or len(dataset.spec.classes) != d:
            raise ValueError(
                f"mean, std and names must be {d} for {d} targets, found {len(mean)}, {len(std)} and "
                f"{len(dataset.spec.classes)}"
            )
        return dataclasses.replace(self, mean=mean, std=std)

    def head(self, spec: InputSpec) -> int:
        return len(spec.classes)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        mean, std = self._scale()
        value = POINTWISE[self.kind](logits, (batch["target"] - mean) / std)
        return value.mean(-1), jnp.ones(len(logits))

    def link(self, logits: jax.Array) -> Outputs:
        mean, std = self._scale()
        return {"value": logits * std + mean}

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs)

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        return {"value": outputs["value"], "target": batch["target"]}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`rmse` and `mae` in the targets' units, `r2`."""
        return errors(rows["value"], rows["target"])

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        return {"scatter": figures.scatter(rows["value"], rows["target"], rows["class_names"])}

    def _scale(self) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation; targets count as standardised where neither was measured."""
        mean = 0.0 if self.mean == "auto" else self.mean
        std = 1.0 if self.std == "auto" else self.std
        return jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)
