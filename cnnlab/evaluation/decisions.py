"""Scores of a classifier's uncertainty: calibration, conformal sets, selective and out-of-distribution prediction."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy

from cnnlab.calibration.store import PostHoc
from cnnlab.metrics.calibration.brier import brier_parts
from cnnlab.metrics.calibration.errors import calibration_errors
from cnnlab.metrics.selective import augrc, aurc, risk_at_coverage, risk_coverage
from cnnlab.metrics.separation import separation
from cnnlab.plots.risk_coverage import risk_coverage_curves
from cnnlab.plots.separation import separation_histogram

Rows = Mapping[str, np.ndarray]


def decision_report(
    rows: Rows, *, before: dict[str, float] | None = None, fitted: PostHoc | None = None, ood: Rows | None = None
) -> dict[str, float]:
    """Computes all scores of a classification split that matter for decisions based on its predictions.

    Args:
      rows: `probs` `[n, k]`, after calibration if there is one, and `label` `[n]`; with MC-Dropout also
        `mutual_information`; for conformal sets also `draw` `[n]`, see `image_draws`.
      before: summary of the predictions before calibration.
      fitted: calibration and conformal sets.
      ood: rows of out-of-distribution images, computed like `rows`.

    Returns:
      `decision_scores`; with `before` also `uncalibrated_nll`, `uncalibrated_brier` and `uncalibrated_ece`; with
      temperature scaling `temperature` and the ends of its 95 % interval, `temperature_low` and `temperature_high`;
      with a calibration, kept or not, `calibration_gain`, `calibration_gain_low` and `calibration_gain_high`;
      with conformal sets `set_scores`; with `ood` `ood_scores`.
    """
    out = decision_scores(rows)
    if before is not None:
        out |= {f"uncalibrated_{name}": float(before[name]) for name in ("nll", "brier", "ece")}
    if fitted is not None and fitted.calibration is not None:
        out |= fitted.calibration.report()
    if fitted is not None and fitted.quality is not None:
        quality = fitted.quality
        out |= {"calibration_gain": quality.gain, "calibration_gain_low": quality.low}
        out |= {"calibration_gain_high": quality.high}
    if fitted is not None and fitted.conformal is not None:
        out |= set_scores(rows, fitted)
    return out if ood is None else out | ood_scores(rows, ood)


def decision_scores(rows: Rows) -> dict[str, float]:
    """Computes calibration errors, selective risks, and how well each of `doubts` detects wrong predictions.

    Returns:
      `ece_low` and `ece_high`, the ends of the 95 % interval; `ece_mass`, `mce`, `classwise_ece`, each with its `_low`,
      `_high` and `_floor`; `brier_reliability`, `brier_resolution`, `brier_uncertainty` and `brier_within`, which add
      up to the Brier score if the resolution is subtracted; `aurc`, `augrc` and `risk_at_80`, the share of wrong
      predictions among the most confident 80 %; `error_auroc_NAME` for each of `doubts`, left out if all predictions
      are right or all are wrong.
    """
    probs, label, correct = _predictions(rows)
    errors = calibration_errors(probs, label)
    out = {"ece_low": errors["ece"].low, "ece_high": errors["ece"].high}
    for name in ("ece_mass", "mce", "classwise_ece"):
        error = errors[name]
        out |= {name: error.value, f"{name}_low": error.low, f"{name}_high": error.high, f"{name}_floor": error.floor}
    parts = brier_parts(probs, label)
    out |= {f"brier_{name}": getattr(parts, name) for name in ("reliability", "resolution", "uncertainty", "within")}
    confidence = probs.max(1)
    out |= {"aurc": aurc(confidence, correct), "augrc": augrc(confidence, correct)}
    out["risk_at_80"] = risk_at_coverage(confidence, correct, 0.8)
    if 0 < correct.sum() < len(correct):
        for name, doubt in doubts(rows).items():
            out[f"error_auroc_{name}"] = separation(doubt[correct], doubt[~correct]).auroc
    return out


def doubts(rows: Rows) -> dict[str, np.ndarray]:
    """Computes scores `[n]` that should be large for wrong predictions and for out-of-distribution images.

    They are `max_probability` (as 1 minus the largest probability), `entropy` and, over several passes,
    `mutual_information`.
    """
    probs = np.asarray(rows["probs"], np.float64)
    out = {"max_probability": 1 - probs.max(-1), "entropy": scipy.special.entr(probs).sum(-1)}
    if "mutual_information" in rows:
        out["mutual_information"] = np.asarray(rows["mutual_information"], np.float64)
    return out


def set_scores(rows: Rows, fitted: PostHoc) -> dict[str, float]:
    """Computes the scores of conformal sets.

    Returns:
      `set_coverage`; `set_coverage_low` and `set_coverage_high`, the range in which it should lie; `set_size`, the mean
      number of classes; `set_empty`, the share of sets without a class; `set_error`, the requested share of labels
      that the sets may miss.
    """
    probs, label, _ = _predictions(rows)
    coverage = fitted.conformal.coverage(fitted.conformal.sets(probs, uniform=rows.get("draw")), label)
    return {
        "set_coverage": coverage.coverage,
        "set_coverage_low": coverage.low,
        "set_coverage_high": coverage.high,
        "set_size": coverage.size,
        "set_empty": coverage.empty,
        "set_error": fitted.conformal.error,
    }


def ood_scores(rows: Rows, ood: Rows) -> dict[str, float]:
    """Computes how well each of `doubts` detects out-of-distribution images.

    Args:
      rows: rows of the split.
      ood: rows of out-of-distribution images.

    Returns:
      `ood_examples`, the number of out-of-distribution images; for each of `doubts` `ood_auroc_NAME`, `ood_aupr_NAME`
      (of detecting out-of-distribution images; by chance it is their share among all images), `ood_aupr_in_NAME` (of
      detecting the split's images) and `ood_fpr95_NAME`; see `metrics.separation`.
    """
    others = doubts(ood)
    out = {"ood_examples": len(others["entropy"])}
    for name, doubt in doubts(rows).items():
        scores = separation(doubt, others[name])
        out |= {
            f"ood_auroc_{name}": scores.auroc,
            f"ood_aupr_{name}": scores.aupr_out,
            f"ood_aupr_in_{name}": scores.aupr_in,
            f"ood_fpr95_{name}": scores.fpr95,
        }
    return out


def decision_figures(rows: Rows, ood: Rows | None, names: tuple[str, str]) -> dict[str, Any]:
    """Draws `risk_coverage`, and with out-of-distribution images `outside_NAME` for entropy and mutual information.

    Args:
      rows: rows of the split.
      ood: rows of out-of-distribution images.
      names: names of the split's data and of the out-of-distribution data.
    """
    _, _, correct = _predictions(rows)
    scores = doubts(rows)
    curves = {name.replace("_", " "): risk_coverage(-doubt, correct) for name, doubt in scores.items()}
    out = {"risk_coverage": risk_coverage_curves(curves)}
    if ood is None:
        return out
    others = doubts(ood)
    for name in scores.keys() - {"max_probability"}:
        label = f"{name.replace('_', ' ')} (nats)"
        out[f"outside_{name}"] = separation_histogram(scores[name], others[name], score=label, names=names)
    return out


def _predictions(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns probabilities `[n, k]`, labels `[n]`, and whether each prediction is correct, `[n]`."""
    probs, label = np.asarray(rows["probs"], np.float64), np.asarray(rows["label"])
    return probs, label, probs.argmax(-1) == label
