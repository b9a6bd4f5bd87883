"""Classification: one class of k, yes or no, or several labels per image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.files.photo import Photo
from cnnlab.metrics import classification as metrics
from cnnlab.metrics.calibration import errors as calibration
from cnnlab.plots.confusion import confusion_matrix
from cnnlab.plots.gallery import gallery
from cnnlab.plots.reliability import reliability_diagram
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task, by_class

BINS = 15
_DOUBTS = ("entropy", "mutual_information", "expected_entropy", "variation_ratio")
_OF_CLASSES = ("probs", "variance")
_GALLERY_SIZE = 20  # images in the figure `wrong`


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """A task that predicts one class of k, yes or no, or several labels for each image.

    It reads the column `label` `[B]` (`softmax`, `sigmoid`) or `labels` `[B, k]` of 0 and 1 (`multilabel`).

    Every kind links logits to `probs`, a distribution on the last axis: `[B, k]` for `softmax`, `[B, 2]` (no, yes) for
    `sigmoid`, `[B, k, 2]` for `multilabel`.

    Attributes:
      kind: `softmax` predicts one of k classes, `sigmoid` yes or no from one logit, `multilabel` yes or no per class.
      label_smoothing: share of the target probability that is spread evenly over all classes.
      class_weights: loss weight of each class, or `balanced`: weights inversely proportional to the class frequencies
        in the training split, with mean 1 over its examples.
    """

    kind: Literal["softmax", "sigmoid", "multilabel"] = "softmax"
    label_smoothing: float = 0.0
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None

    logits = "vector"
    monitor = "nll"
    example_score = "probability_of_truth"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("labels",) if self.kind == "multilabel" else ("label",)

    @property
    def decides(self) -> bool:
        return self.kind != "multilabel"

    predict_options = ("annotations", "calibrated")

    def __post_init__(self):
        if self.kind not in ("softmax", "sigmoid", "multilabel"):
            raise ValueError(f"kind must be softmax, sigmoid or multilabel, found {self.kind!r}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must lie in 0..1, found {self.label_smoothing}")
        if isinstance(self.class_weights, str) and self.class_weights != "balanced":
            raise ValueError(f"class_weights must be numbers or 'balanced', found {self.class_weights!r}")

    def resolve(self, dataset: Dataset) -> Classification:
        k = len(dataset.spec.classes)
        if "target" in dataset["train"][np.arange(1)]:
            raise ValueError(
                f"{dataset.name} has numbers to predict ({', '.join(dataset.spec.classes)}), and no classes: choose "
                "--task.name regression, or call the column 'label' if its numbers stand for classes"
            )
        if k < 2 and self.kind != "multilabel":
            raise ValueError(f"classification needs two classes or more, {dataset.name} has {k}")
        if self.kind == "sigmoid" and k != 2:
            raise ValueError(f"a sigmoid separates two classes, {dataset.name} has {k}; set --task.kind softmax")
        if self.class_weights is None:
            return self
        if self.kind == "multilabel":
            raise ValueError("class_weights need one label per example; leave them out for multilabel")
        weights = self.class_weights
        if weights == "balanced":
            labels = dataset["train"].column("label")
            count = np.bincount(labels, minlength=k)
            if not count.all():
                missing = dataset.spec.classes[int(count.argmin())]
                raise ValueError(f"balanced class weights need every class in training; {missing!r} has no example")
            weights = tuple(round(float(w), 6) for w in len(labels) / (k * count))
        if len(weights) != k:
            raise ValueError(f"class_weights must hold {k} numbers for {k} classes, found {len(weights)}")
        return dataclasses.replace(self, class_weights=weights)

    def head(self, spec: InputSpec) -> int:
        return 1 if self.kind == "sigmoid" else len(spec.classes)

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        if self.kind == "multilabel":
            each = losses.binary_cross_entropy(logits, batch["labels"], label_smoothing=self.label_smoothing)
            return each.mean(-1), jnp.ones(len(logits))
        label = batch["label"]
        if self.kind == "sigmoid":
            value = losses.binary_cross_entropy(logits[:, 0], label, label_smoothing=self.label_smoothing)
        else:
            value = losses.cross_entropy(logits, label, label_smoothing=self.label_smoothing)
        known = (label >= 0).astype(jnp.float32)
        return value, known if self.class_weights is None else known * jnp.asarray(self.class_weights)[label]

    def link(self, logits: jax.Array) -> Outputs:
        if self.kind == "softmax":
            return {"probs": jax.nn.softmax(logits)}
        yes = logits if self.kind == "multilabel" else logits[:, 0]
        return {"probs": jnp.stack([jax.nn.sigmoid(-yes), jax.nn.sigmoid(yes)], -1)}

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs, label=outputs["probs"].argmax(-1))

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        return {"probs": outputs["probs"], "label": batch[self.columns[0]]}

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes `accuracy`, `balanced_accuracy`, `nll`, `brier`, `ece` and its `ece_floor`.

        With kind `multilabel`, an image's k labels count as k yes-or-no examples.
        """
        probs, label = _flat(rows)
        confidence, correct = probs.max(-1), probs.argmax(-1) == label
        return {
            "accuracy": metrics.accuracy(probs, label),
            "balanced_accuracy": metrics.balanced_accuracy(probs, label),
            "nll": metrics.negative_log_likelihood(probs, label),
            "brier": metrics.brier(probs, label),
            "ece": calibration.expected_calibration_error(confidence, correct, BINS),
            "ece_floor": calibration.ece_floor(confidence, BINS),
        }

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        probs, label = _flat(rows)
        confidence, correct = probs.max(-1), probs.argmax(-1) == label
        bins = calibration.reliability(confidence, correct, BINS)
        ece = calibration.ece_estimate(confidence, correct, BINS)
        diagram = reliability_diagram(bins, ece.value, ece.floor, interval=(ece.low, ece.high))
        out = {"reliability": diagram}
        if self.kind == "multilabel":
            return out
        names = rows["class_names"]
        counts = metrics.confusion(label, probs.argmax(-1), len(names))
        # The most confident mistakes come first. If there is no mistake, the least confident predictions are drawn.
        order = np.argsort(np.where(correct, confidence, -confidence), kind="stable")
        wrong = order[~correct[order]]
        order = (wrong if len(wrong) else order)[:_GALLERY_SIZE]
        title = f"{len(wrong)} wrong of {len(label)}" if len(wrong) else "none wrong; the least confident predictions"
        truths, predicted = ([names[k] for k in each] for each in (label[order], probs[order].argmax(-1)))
        titles = [
            f"true {t}\npredicted {p}, p = {c:.2f}"
            for t, p, c in zip(truths, predicted, confidence[order], strict=True)
        ]
        out["confusion"] = confusion_matrix(counts, names)
        out["wrong"] = gallery([rows["image"][i] for i in order], titles, title=title)
        return out

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns the ends `ece_low` and `ece_high` of the ECE's 95 % interval, and the table `classes`.

        `classes` holds the number of `examples`, `precision`, `recall` and `f1` of each class, NaN where it is 0 / 0.
        """
        probs, label = _flat(rows)
        ece = calibration.ece_estimate(probs.max(-1), probs.argmax(-1) == label, BINS)
        if self.kind == "multilabel":
            true, predicted = np.asarray(rows["label"]), np.asarray(rows["probs"]).argmax(-1)
            counts = ((true * predicted).sum(0), predicted.sum(0), true.sum(0))
        else:
            confusion = metrics.confusion(label, probs.argmax(-1), len(rows["class_names"]))
            counts = (np.diag(confusion), confusion.sum(0), confusion.sum(1))
        columns = {"examples": counts[2].astype(np.int64), **metrics.class_scores(*counts)}
        return {
            "ece_low": ece.low,
            "ece_high": ece.high,
            "classes": [
                {"class": name} | {column: values[i].item() for column, values in columns.items()}
                for i, name in enumerate(rows["class_names"])
            ],
        }

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says the accuracy with its standard error, and whether the ECE's interval excludes a calibrated network.

        The standard error is half the width of Wilson's interval with z = 1 (JASA 1927), which is not 0 for a network
        that makes no error.
        """
        share, n = report["accuracy"], report["examples"]
        error = np.sqrt(share * (1 - share) / n + 1 / (4 * n**2)) / (1 + 1 / n)
        of = " of the labels" if self.kind == "multilabel" else ""
        right = f"right {100 * share:.1f} ± {100 * error:.1f} %{of}"
        if "ece_low" not in report:
            return right
        if report["ece_low"] == 0:
            return f"{right}; well calibrated as far as {n:,} examples can tell"
        cure = "" if report.get("calibrated") or not self.decides else " (--calibrate temperature)"
        return f"{right}; its confidence is off by {100 * report['ece']:.1f} points on average{cure}"

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns `truth` and `prediction` (with kind `multilabel` the labels that are yes), and their probabilities.

        `probability` is that of the prediction and `probability_of_truth` that of the truth; with kind `multilabel`
        they are means over the labels.
        """
        names, label = rows["class_names"], np.asarray(rows["label"])
        probs = np.asarray(rows["probs"], np.float64)
        guess, of_truth = probs.argmax(-1), np.take_along_axis(probs, label[..., None], -1)[..., 0]
        columns = {"correct": guess == label, "probability": probs.max(-1), "probability_of_truth": of_truth}
        if self.kind == "multilabel":
            columns = {
                name: column.all(-1) if name == "correct" else column.mean(-1) for name, column in columns.items()
            }
            texts = [[";".join(np.array(names)[yes > 0]) for yes in each] for each in (label, guess)]
        else:
            texts = [np.array(names, object)[each] for each in (label, guess)]
        return {"truth": np.array(texts[0], object), "prediction": np.array(texts[1], object)} | columns

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record: file, class name, conformal set, doubt, then the numbers by class.

        With kind `multilabel`, the record lists the labels that are yes, and its numbers are those of yes.
        """
        names, arrays = spec.classes, {name: np.asarray(value) for name, value in prediction.items() if name != "mean"}
        out: Record = {"file": str(photo.path)}
        if arrays["label"].ndim == 0:
            out["label"] = names[int(arrays.pop("label"))]
        else:
            out["label"] = _names(names, arrays.pop("label"))
        if "set" in arrays:
            out["set"] = _names(names, arrays.pop("set"))
        out |= {name: arrays.pop(name).tolist() for name in _DOUBTS if name in arrays}
        for name in _OF_CLASSES:
            if name in arrays:
                value = arrays.pop(name)
                out[name] = by_class(names, value[:, 1] if value.ndim == 2 else value)
        return [out | {name: value.tolist() for name, value in arrays.items()}]

    def annotations(
        self, prediction: Prediction, spec: InputSpec, photo: Photo, *, smallest: int = 1, simplify: float = 0.0
    ) -> list[Record]:
        """Returns the class of the photo, or each label that is yes, with its probability."""
        (record,) = self.record(prediction, spec, photo)
        labels = record["label"] if isinstance(record["label"], list) else [record["label"]]
        doubts = {name: record[name] for name in _DOUBTS if isinstance(record.get(name), float)}
        return [{"category": name, "score": record["probs"][name]} | doubts for name in labels]

    def line(self, record: Record) -> Record:
        """Returns the record with the column `confidence`, the probability of the label, after the label."""
        if isinstance(record["label"], list):
            return record
        return (
            {name: record[name] for name in ("file", "label")}
            | {"confidence": record["probs"][record["label"]]}
            | record
        )


def _names(names: Sequence[str], chosen: np.ndarray) -> list[str]:
    """Returns the names at the positions that are true."""
    return [name for name, yes in zip(names, chosen, strict=True) if yes]


def _flat(rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities `[n, k]` and labels `[n]`. Each label of a multilabel image becomes an example."""
    probs = np.asarray(rows["probs"], np.float64)
    return probs.reshape(-1, probs.shape[-1]), np.asarray(rows["label"]).reshape(-1)
