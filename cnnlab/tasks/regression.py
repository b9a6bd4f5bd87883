"""Regression: one number or several per image, in their own units."""

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
    """A task that predicts one number or several for each image.

    It reads the column `target` `[B, d]`. The network predicts standardised targets; `value` `[B, d]` is in the
    targets' units.

    A prediction can have two variances: the aleatoric `noise` `[B, d]`, which a `gaussian` network predicts, and the
    epistemic variance over MC-Dropout's passes or an ensemble's members. The predictive variance is their sum (Kendall
    and Gal, What Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision, NeurIPS 2017, equation 9).

    Attributes:
      kind: loss: `mse`, `huber` (delta of 1 standard deviation), `l1`, or `gaussian`, the negative log likelihood, for
        which the network has two outputs per target, its mean and the logarithm of its variance.
      mean: mean of each target, in its unit; `auto` computes it from the training split.
      std: standard deviation of each target, in its unit; `auto` computes it from the training split.
    """

    kind: Literal[KINDS] = "mse"
    mean: Literal["auto"] | tuple[float, ...] = "auto"
    std: Literal["auto"] | tuple[float, ...] = "auto"

    logits = "vector"
    noun = "number"
    columns = ("target",)
    reads_variance = True
    monitor = "rmse"
    example_score = "error"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown("regression loss", self.kind, KINDS)

    def resolve(self, dataset: Dataset) -> Regression:
        target = dataset["train"].column("target")
        if not np.isfinite(target).all():
            raise ValueError(f"targets of {dataset.name} must be finite, found {target[~np.isfinite(target)][0]}")
        return self._scaled_by(target, dataset)

    def _scaled_by(self, target: np.ndarray, dataset: Dataset) -> Regression:
        """Returns the task with the mean and standard deviation of the training targets `[n, d]`."""
        target = target.astype(np.float64)
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
        """Returns the units in which `auto` passes compare standard errors with the tolerance.

        A value's unit is the standard deviation of its target. The noise has an infinite unit, so it never matters.
        """
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
        """Computes `rmse` and `mae` in the targets' units, and `r2`; with a variance also `gaussian_scores`.

        With a variance the summary also holds its parts `aleatoric` (the noise that the network predicts) and
        `epistemic` (the spread of the passes), each the square root of its mean over examples and targets, in the
        targets' units (Kendall and Gal, NeurIPS 2017).

        With every kind except `gaussian` the variance is only that of the passes, without the targets' noise, so its
        intervals cover less than their nominal share.
        """
        scores = errors(rows["value"], rows["target"])
        if "variance" not in rows:
            return scores
        scores |= gaussian_scores(rows["value"], rows["variance"], rows["target"])
        parts = {name: rows[name] for name in ("aleatoric", "epistemic") if name in rows}
        return scores | {name: float(np.sqrt(np.mean(part, dtype=np.float64))) for name, part in parts.items()}

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says the mean absolute error and the share of the variance that the predictions explain."""
        off = f"off by {report['mae']:.3g} on average"
        if not report["r2"] > 0:
            return f"{off}; no better than the mean of the targets"
        return f"{off}; explains {100 * report['r2']:.1f} % of the targets' variance"

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns truth, prediction and, if there is a variance, the deviation of each target, and the mean error.

        `error` is the mean of |prediction - truth| over the targets, each divided by its standard deviation on the
        training split.
        """
        columns = {}
        for i, name in enumerate(rows["class_names"]):
            columns |= {f"truth.{name}": rows["target"][:, i], f"prediction.{name}": rows["value"][:, i]}
            if "variance" in rows:
                columns[f"deviation.{name}"] = np.sqrt(rows["variance"][:, i])
        error = np.abs(np.asarray(rows["value"], np.float64) - rows["target"]) / np.asarray(self._scale()[1])
        return columns | {"error": error.mean(-1)}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        return {"scatter": scatter(rows["value"], rows["target"], rows["class_names"])}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record: values, `low` and `high`, the ends of the central 95 % interval, then the other numbers.

        The interval includes the spread of the passes, the noise that the network predicts, or both.
        """
        parts = {name: _of_value(value) for name, value in prediction.items() if name != "mean"}
        out: Record = {"file": str(photo.path), "value": by_class(spec.classes, parts.pop("value"))}
        variances = [np.asarray(parts[name], np.float64) for name in ("variance", "noise") if name in parts]
        one_pass = "noise" not in parts and np.all(parts.get("num_samples", 2) == 1)  # one pass has no spread
        if variances and not one_pass:
            ends = central_interval(prediction.value, sum(variances))
            out |= {name: by_class(spec.classes, end) for name, end in zip(("low", "high"), ends, strict=True)}
        for name, value in parts.items():
            of_targets = name in ("noise", "variance")
            out[name] = by_class(spec.classes, value) if of_targets else np.asarray(value).tolist()
        return [out]

    def _scale(self) -> tuple[jax.Array, jax.Array]:
        """Returns the targets' mean and standard deviation, which are 0 and 1 as long as they are `auto`."""
        mean = 0.0 if self.mean == "auto" else self.mean
        std = 1.0 if self.std == "auto" else self.std
        return jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32)


def _of_value(part: Any) -> Any:
    """Returns the array that belongs to `value` if a part of a prediction holds one array per output."""
    return part["value"] if isinstance(part, dict) else part
