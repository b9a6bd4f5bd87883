"""Regression: one number or several, in their own units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.errors import unknown
from cnnlab.files.photo import Photo
from cnnlab.metrics.regression import central_interval, errors, gaussian_scores
from cnnlab.plots.scatter import scatter
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task, by_class

KINDS = (*losses.POINTWISE, "gaussian")


@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """Reads `target` `[B, d]`. The network predicts standardised targets; `value` `[B, d]` is in the targets' units.

    Two variances may stand beside the value: `noise` `[B, d]`, which a `gaussian` network predicts (aleatoric), and
    that over MC-Dropout's passes or an ensemble's members (epistemic). The predictive variance is their sum (Kendall
    and Gal, What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision, NeurIPS 2017, equation 9).

    Attributes:
      kind: the loss: `mse`, `huber` (delta 1 standard deviation), `l1`, or `gaussian`: negative log likelihood, from
        two outputs a target, its mean and the logarithm of its variance.
      mean: of each target in training; `auto` measures it.
      std: likewise.
    """

    kind: Literal[KINDS] = "mse"
    mean: Literal["auto"] | tuple[float, ...] = "auto"
    std: Literal["auto"] | tuple[float, ...] = "auto"

    logits = "vector"
    columns = ("target",)
    reads_variance = True
    monitor = "rmse"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("regression loss", self.kind, KINDS)

    def resolve(self, dataset: Dataset) -> Regression:
        target = dataset["train"].column("target").astype(np.float64)
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
        return len(spec.classes) * (2 if self.kind == "gaussian" else 1)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        mean, std = self._scale()
        target = (batch["target"] - mean) / std
        if self.kind == "gaussian":
            value = losses.gaussian_negative_log_likelihood(*jnp.split(logits, 2, -1), target)
        else:
            value = losses.POINTWISE[self.kind](logits, target)
        return value.mean(-1), jnp.ones(len(logits))

    def link(self, logits: jax.Array) -> Outputs:
        mean, std = self._scale()
        if self.kind != "gaussian":
            return {"value": logits * std + mean}
        value, log_variance = jnp.split(logits, 2, -1)
        return {"value": value * std + mean, "noise": jnp.exp(log_variance) * std**2}

    def unit(self) -> Outputs:
        """Of the standard errors at which passes suffice: the targets' deviation for values, none for their noise."""
        _, std = self._scale()
        return {"value": std} | ({"noise": jnp.inf} if self.kind == "gaussian" else {})

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs)

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        parts = {"aleatoric": outputs["noise"]} if "noise" in outputs else {}
        parts |= {"epistemic": outputs["variance"]["value"]} if "variance" in outputs else {}
        spread = {"variance": sum(parts.values())} if parts else {}
        return {"value": outputs["value"], "target": batch["target"]} | parts | spread

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`rmse` and `mae` in the targets' units, `r2`; where a variance is known, also `gaussian_scores` and its
        parts, `aleatoric` (the noise that the network has learnt) and `epistemic` (the spread of the passes), each the
        root of its mean over examples and targets, in the targets' units (Kendall and Gal, NeurIPS 2017).

        Of every kind but `gaussian` the variance is that of the passes alone, without the targets' noise: its intervals
        cover less than they say.
        """
        found = errors(rows["value"], rows["target"])
        if "variance" not in rows:
            return found
        found |= gaussian_scores(rows["value"], rows["variance"], rows["target"])
        parts = {name: rows[name] for name in ("aleatoric", "epistemic") if name in rows}
        return found | {name: float(np.sqrt(np.mean(part, dtype=np.float64))) for name, part in parts.items()}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        return {"scatter": scatter(rows["value"], rows["target"], rows["class_names"])}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """One row: numbers by target, and `low` and `high`, the ends of the central 95 % interval.

        The interval is that of the passes, of the noise that the network has learnt, or of both.
        """
        parts = {name: _of_value(value) for name, value in prediction.items() if name != "mean"}
        out: Record = {"file": str(photo.path)}
        for name, value in parts.items():
            of_targets = name in ("value", "noise", "variance")
            out[name] = by_class(spec.classes, value) if of_targets else np.asarray(value).tolist()
        variances = [np.asarray(parts[name], np.float64) for name in ("variance", "noise") if name in parts]
        one_pass = "noise" not in parts and np.all(parts.get("num_samples", 2) == 1)  # which has no spread
        if variances and not one_pass:
            ends = central_interval(prediction.value, sum(variances))
            out |= {name: by_class(spec.classes, end) for name, end in zip(("low", "high"), ends, strict=True)}
        return [out]

    def _scale(self) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation; targets count as standardised where neither was measured."""
        mean = 0.0 if self.mean == "auto" else self.mean
        std = 1.0 if self.std == "auto" else self.std
        return jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)


def _of_value(part: Any) -> Any:
    """That of the value, where a part holds one array an output."""
    return part["value"] if isinstance(part, dict) else part
