"""Scoring: a number for each image, learnt from pairs of which one image is above the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import losses
from cnnlab.data import Dataset, InputSpec
from cnnlab.files.photo import Photo
from cnnlab.metrics.pairwise import Pairwise, kendall_tau, outcomes, pairwise_accuracy
from cnnlab.plots.gallery import gallery
from cnnlab.tasks.task import Batch, Outputs, Prediction, Record, Rows, Task

_SHOWN = 6  # highest and lowest images of the figure


@dataclasses.dataclass(frozen=True)
class Scoring(Task):
    """A task that trains a score by the margin ranking loss (Joachims, KDD 2002), from pairs of images.

    It reads the columns `pair` and `above` `[B]`: of two images with the same number the one with `above` 1 should get
    the larger `score` `[B]`. Scores have no unit and no zero; only their order and their differences mean something.

    Attributes:
      margin: lead from which a pair costs nothing; it sets the scale of the scores.
    """

    margin: float = 1.0

    logits = "vector"
    noun = "score"
    columns = ("pair", "above")
    images_per_class = 2
    group_by = "pair"
    reads_variance = True
    monitor = "pairwise_accuracy"
    maximise = True
    example_score = "right"

    def __post_init__(self):
        if not self.margin > 0:
            raise ValueError(f"margin must be above 0, or equal scores cost nothing; found {self.margin}")

    def resolve(self, dataset: Dataset) -> Scoring:
        for split in ("train", "validation"):
            pair, above = (np.asarray(dataset[split].column(name)) for name in self.columns)
            names, place, number = np.unique(pair, return_inverse=True, return_counts=True)
            wrong = (number != 2) | (np.bincount(place, above == 1) != 1)
            if wrong.any():
                raise ValueError(
                    f"each pair needs one example with above 1 and one with above 0 in the same split, but pair "
                    f"{names[wrong][0]} of the {split} split of {dataset.name} has {number[wrong][0]} with "
                    f"{np.bincount(place, above == 1)[wrong][0]:.0f} above; complete it or leave it out"
                )
        return self

    def head(self, spec: InputSpec) -> int:
        return 1

    def loss(self, logits: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
        """Returns the loss of each image's pair, which both images share.

        An image has weight 0 if the other one of its pair is not in the batch, or is a row of weight 0.
        """
        score, above = logits[:, 0], batch["above"]
        real = batch.get("weight", jnp.ones(len(score))) > 0
        partner = (batch["pair"] == batch["pair"][:, None]) & (above != above[:, None]) & real & real[:, None]
        other = score[partner.argmax(-1)]
        value = losses.margin_ranking(score, other, 2 * above - 1, margin=self.margin)
        return value, partner.any(-1).astype(jnp.float32)

    def link(self, logits: jax.Array) -> Outputs:
        return {"score": logits[:, 0]}

    def unit(self) -> Outputs:
        """Returns the margin, in which `auto` passes compare standard errors with the tolerance."""
        return {"score": jnp.asarray(self.margin)}

    def decode(self, outputs: Outputs) -> Prediction:
        return Prediction(outputs)

    def rows(self, outputs: Outputs, batch: Batch) -> Rows:
        known = {name: batch[name] for name in (*self.columns, "photo") if name in batch}
        spread = {"variance": outputs["variance"]["score"]} if "variance" in outputs else {}
        return {"value": outputs["score"]} | known | spread

    def summary(self, rows: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Computes `pairwise_accuracy` and `kendall_tau`; NaN if no pair is complete."""
        lead, _ = _leads(rows)
        accuracy = float(outcomes(lead).mean()) if len(lead) else float("nan")
        return {"pairwise_accuracy": accuracy, "kendall_tau": kendall_tau(accuracy)}

    def details(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Returns the ends of the 95 % intervals, and the numbers of `pairs` and `photos`."""
        _, places = _leads(rows)
        low, high = _scores(rows)[1:]
        return {
            "pairwise_accuracy_low": low,
            "pairwise_accuracy_high": high,
            "kendall_tau_low": kendall_tau(low),
            "kendall_tau_high": kendall_tau(high),
            "pairs": len(places),
            "photos": len(np.unique(_photos(rows)[places])),
        }

    def verdict(self, report: Mapping[str, Any]) -> str:
        """Says in how many pairs the photo above has the larger score."""
        if np.isnan(report["pairwise_accuracy"]):
            return "no pair is complete, so no order can be judged"
        right = f"the photo above has the higher score in {100 * report['pairwise_accuracy']:.1f} % of the pairs"
        if "pairwise_accuracy_low" not in report:
            return right
        low, high = (100 * report[f"pairwise_accuracy_{end}"] for end in ("low", "high"))
        chance = "; no better than chance" if low <= 50 <= high else ""
        return f"{right} ({low:.1f} to {high:.1f} %){chance}"

    def per_example(self, rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns `pair`, `truth`, `score` with its `deviation` over passes, `lead` and `right`.

        `lead` is the score of the photo above minus that of the photo below, the same for both, and `right` is whether
        it is above 0. There is no column `correct`, because McNemar's test would count each pair twice.
        """
        values, places = _leads(rows)
        lead = np.full(len(rows["value"]), np.nan)
        lead[places] = values[:, None]
        truth = np.where(np.asarray(rows["above"]) == 1, "above", "below").astype(object)
        columns = {"pair": np.asarray(rows["pair"]), "truth": truth, "score": np.asarray(rows["value"])}
        if "variance" in rows:
            columns["deviation"] = np.sqrt(rows["variance"])
        return columns | {"lead": lead, "right": lead > 0}

    def figures(self, rows: Mapping[str, np.ndarray]) -> dict:
        """Draws `order`: the six photos with the highest scores and the six with the lowest, the highest first."""
        score = np.asarray(rows["value"])
        _, photos = np.unique(_photos(rows), return_index=True)
        order = photos[np.argsort(-score[photos], kind="stable")]
        shown = order if len(order) <= 2 * _SHOWN else np.concatenate([order[:_SHOWN], order[-_SHOWN:]])
        title = f"highest and lowest scores of {len(order):,} photos"
        images = [rows["image"][i] for i in shown]
        return {"order": gallery(images, [f"{score[i]:.2f}" for i in shown], title=title, columns=_SHOWN)}

    def record(self, prediction: Prediction, spec: InputSpec, photo: Photo) -> list[Record]:
        """Returns one record: `score` and, over several passes, its `deviation`, then the other numbers."""
        parts = {name: np.asarray(value) for name, value in prediction.items() if name != "mean"}
        out: Record = {"file": str(photo.path), "score": float(parts.pop("score"))}
        if "variance" in parts:
            out["deviation"] = float(np.sqrt(parts.pop("variance")))
        return [out | {name: value.tolist() for name, value in parts.items()}]

    def document(self, records: Sequence[Record]) -> Any:
        """Returns the records in the order of their scores, the highest first, each with its `rank` from 1."""
        best = sorted(records, key=lambda record: -record["score"])
        return {"predictions": [{"rank": rank, **record} for rank, record in enumerate(best, 1)]}


def _leads(rows: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lead of the photo above in each pair, `[n]`, and the two rows of each pair, `[n, 2]`.

    Rows may be missing or occur several times, as in a bootstrap sample: each row above meets each row below.
    """
    score, pair = np.asarray(rows["value"], np.float64), np.asarray(rows["pair"])
    above, below = (np.flatnonzero(np.asarray(rows["above"]) == side) for side in (1, 0))
    below = below[np.argsort(pair[below], kind="stable")]
    start, end = (np.searchsorted(pair[below], pair[above], side) for side in ("left", "right"))
    count = end - start
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    first, second = np.repeat(above, count), below[np.repeat(start, count) + within]
    return score[first] - score[second], np.stack([first, second], 1)


def _scores(rows: Mapping[str, np.ndarray]) -> Pairwise:
    lead, places = _leads(rows)
    return pairwise_accuracy(lead, _photos(rows)[places]) if len(lead) else Pairwise(*[float("nan")] * 3)


def _photos(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the number of each row's photo; without the column `photo` each row has its own."""
    return np.asarray(rows.get("photo", np.arange(len(rows["value"]))))
