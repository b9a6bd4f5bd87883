"""How far a classifier's probabilities can be acted on: calibrated, in sets, with the doubtful ones set aside."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import entr

from cnnlab.calibration.store import PostHoc
from cnnlab.metrics.calibration.brier import brier_parts
from cnnlab.metrics.calibration.errors import calibration_errors
from cnnlab.metrics.selective import augrc, aurc, risk_at_coverage, risk_coverage
from cnnlab.metrics.separation import separation
from cnnlab.plots.risk_coverage import risk_coverage_curves
from cnnlab.plots.separation import separation_histogram

Rows = Mapping[str, np.ndarray]


def decision_report(
    rows: Rows, *, before: dict[str, float] | None = None, fitted: PostHoc | None = None, outside: Rows | None = None
) -> dict[str, float]:
    """All that a classification split's rows say about acting on the answers.

    Args:
      rows: `probs` `[n, k]`, calibrated if so wished, and `label` `[n]`; with MC-Dropout also `mutual_information`; for
        sets also `draw` `[n]`, see `image_draws`.
      before: the summary of the answers before their calibration.
      fitted: with its sets.
      outside: the rows of images unlike those learnt from, made in the same way.

    Returns:
      `decision_scores`; of what was before `uncalibrated_nll`, `uncalibrated_brier` and `uncalibrated_ece`; where one
      was fitted the `temperature` and its interval of 95 %, `temperature_low` and `temperature_high`; `set_scores`;
      `ood_scores`.
    """
    out = decision_scores(rows)
    if before is not None:
        out |= {f"uncalibrated_{name}": float(before[name]) for name in ("nll", "brier", "ece")}
    if fitted is not None and fitted.calibration is not None:
        out |= fitted.calibration.report()
    if fitted is not None and fitted.conformal is not None:
        out |= set_scores(rows, fitted)
    return out if outside is None else out | ood_scores(rows, outside)


def decision_scores(rows: Rows) -> dict[str, float]:
    """Errors of calibration, of ranking, and how well each of `doubts` finds the wrong answers.

    Returns:
      `ece_low` and `ece_high`, the bootstrap interval of 95 %; `ece_mass`, `mce`, `classwise_ece`, each with its `_low`
      and `_high` and its `_floor`; `brier_reliability`, `brier_resolution`, `brier_uncertainty` and `brier_within`,
      whose sum, the resolution subtracted, is the Brier score; `aurc`, `augrc` and `risk_at_80`, the share of wrong
      answers among the surest 80 %; `error_auroc_NAME` (left out where all are right, or all wrong).
    """
    probs, label, correct = _answers(rows)
    errors = calibration_errors(probs, label)
    out = {"ece_low": errors["ece"].low, "ece_high": errors["ece"].high}
    for name in ("ece_mass", "mce", "classwise_ece"):
        found = errors[name]
        out |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_floor": found.floor}
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
    """Scores `[n]` that should be large where an answer is wrong or an image unlike those learnt from.

    `max_probability` (1 less it), `entropy` and, over several passes, `mutual_information`.
    """
    probs = np.asarray(rows["probs"], np.float64)
    out = {"max_probability": 1 - probs.max(-1), "entropy": entr(probs).sum(-1)}
    if "mutual_information" in rows:
        out["mutual_information"] = np.asarray(rows["mutual_information"], np.float64)
    return out


def set_scores(rows: Rows, fitted: PostHoc) -> dict[str, float]:
    """`set_coverage`, where it should lie (`set_coverage_low`, `_high`), `set_size`, `set_empty`, the share without a
    class, and `set_error`, what was asked for."""
    probs, label, _ = _answers(rows)
    found = fitted.conformal.coverage(fitted.conformal.sets(probs, uniform=rows.get("draw")), label)
    return {
        "set_coverage": found.coverage,
        "set_coverage_low": found.low,
        "set_coverage_high": found.high,
        "set_size": found.size,
        "set_empty": found.empty,
        "set_error": fitted.conformal.error,
    }


def ood_scores(rows: Rows, outside: Rows) -> dict[str, float]:
    """`ood_examples`, how many lie outside, and for each of `doubts` `ood_auroc_NAME`, `ood_aupr_NAME` (of finding
    them; by chance their share among all), `ood_aupr_in_NAME` (of finding the others) and `ood_fpr95_NAME`, see
    `metrics.separation`."""
    others = doubts(outside)
    out = {"ood_examples": len(others["entropy"])}
    for name, inside in doubts(rows).items():
        found = separation(inside, others[name])
        out |= {
            f"ood_auroc_{name}": found.auroc,
            f"ood_aupr_{name}": found.aupr_out,
            f"ood_aupr_in_{name}": found.aupr_in,
            f"ood_fpr95_{name}": found.fpr95,
        }
    return out


def decision_figures(rows: Rows, outside: Rows | None, names: tuple[str, str]) -> dict[str, Any]:
    """`risk_coverage`, and with images from elsewhere `outside_NAME` for the entropy and the mutual information."""
    _, _, correct = _answers(rows)
    scores = doubts(rows)
    curves = {name.replace("_", " "): risk_coverage(-doubt, correct) for name, doubt in scores.items()}
    out = {"risk_coverage": risk_coverage_curves(curves)}
    if outside is None:
        return out
    others = doubts(outside)
    for name in scores.keys() - {"max_probability"}:
        label = f"{name.replace('_', ' ')} (nats)"
        out[f"outside_{name}"] = separation_histogram(scores[name], others[name], score=label, names=names)
    return out


def _answers(rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities `[n, k]`, labels and whether each guess was right."""
    probs, label = np.asarray(rows["probs"], np.float64), np.asarray(rows["label"])
    return probs, label, probs.argmax(-1) == label
