"""Conformal sets beside other libraries'."""

from collections.abc import Callable
from typing import Any

import numpy as np
from comparison import (
    ERROR,
    LABELS,
    LOGITS,
    PROBS,
    TEST_LOGITS,
    TEST_PROBS,
    K,
    N,
    Outcome,
    against,
    loader,
    tensors,
    torch_uncertainty,
)

from cnnlab.calibration.conformal import Conformal, conformal_threshold, conformity_scores


class Stated:
    """A fitted classifier whose features are its probabilities."""

    classes_ = np.arange(K)

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(1)


def mapie_sets(score: str, **options: Any) -> np.ndarray:
    from mapie.classification import SplitConformalClassifier

    rule = SplitConformalClassifier(
        Stated(), confidence_level=1 - ERROR, conformity_score=score, prefit=True, random_state=7
    )
    found = rule.conformalize(PROBS, LABELS).predict_set(TEST_PROBS, conformity_score_params=options)[1]
    return found[..., 0]


def scores_of(probs: np.ndarray, labels: np.ndarray, **options: Any) -> np.ndarray:
    return np.take_along_axis(conformity_scores(probs, **options), labels[:, None], 1)[:, 0]


def our_sets(method: str, quantile: Callable | None = None, *, fit_u=None, u=None, **options: Any) -> np.ndarray:
    """Sets of the test split with another quantile, or with given u for the calibration and the test split."""
    scores = scores_of(PROBS, LABELS, method=method, uniform=fit_u, **options)
    threshold = quantile(scores) if quantile else conformal_threshold(scores, ERROR)
    return conformity_scores(TEST_PROBS, method=method, uniform=u, **options) <= threshold + 1e-8


def mapies_uniform() -> np.ndarray:
    return np.random.RandomState(7).uniform(size=N)  # its own draws, the same for both splits


@against("mapie", "LAC sets")
def _():
    return Outcome(Conformal.fit(PROBS, LABELS, error=ERROR).sets(TEST_PROBS), mapie_sets("lac"))


@against("mapie", "APS sets, randomised, with its u")
def _():
    uniform = mapies_uniform()
    return Outcome(
        our_sets("aps", fit_u=uniform, u=uniform),
        mapie_sets("aps", include_last_label="randomized"),
    )


@against(
    "mapie",
    "APS sets, not randomised",
    "it calibrates with random u and predicts with u = 1: larger sets; ours are without u in both",
)
def _():
    return Outcome(
        Conformal.fit(PROBS, LABELS, error=ERROR, method="aps", randomised=False).sets(TEST_PROBS),
        mapie_sets("aps", include_last_label=True),
        our_sets("aps", fit_u=mapies_uniform(), u=np.ones(N)),
    )


def crepes_sets(method: str, n: int = N) -> np.ndarray:
    from crepes import ConformalClassifier

    rule = ConformalClassifier()
    rule.fit(scores_of(PROBS[:n], LABELS[:n], method=method))
    found = rule.predict_set(conformity_scores(TEST_PROBS, method=method), confidence=1 - ERROR, smoothing=False)
    return found.astype(bool)


@against("crepes", "LAC sets")
def _():
    return Outcome(Conformal.fit(PROBS, LABELS, error=ERROR).sets(TEST_PROBS), crepes_sets("lac"))


@against("crepes", "APS sets, not randomised")
def _():
    return Outcome(
        Conformal.fit(PROBS, LABELS, error=ERROR, method="aps", randomised=False).sets(TEST_PROBS), crepes_sets("aps")
    )


@against(
    "crepes",
    "LAC sets, (n + 1) error whole",
    "it accepts a p-value equal to the error, so one score more where (n + 1) error is a whole number",
)
def _():
    n = 999
    theirs = crepes_sets("lac", n)
    scores = np.sort(scores_of(PROBS[:n], LABELS[:n]))
    fitted = Conformal.fit(PROBS[:n], LABELS[:n], error=ERROR)
    place = np.searchsorted(scores, fitted.threshold)
    return Outcome(fitted.sets(TEST_PROBS), theirs, conformity_scores(TEST_PROBS) <= scores[place + 1])


def torch_uncertainty_sets(path: str, **options: Any) -> np.ndarray:
    from torch import nn

    rule = torch_uncertainty(f"post_processing.conformal.{path}")(ERROR, nn.Identity(), enable_ts=False, **options)
    rule.fit(loader(LOGITS, LABELS))
    return rule.conformal(tensors(TEST_LOGITS)[0]).numpy() > 0


def with_top(sets: np.ndarray) -> np.ndarray:
    return sets | (np.arange(K) == TEST_PROBS.argmax(1)[:, None])


_INTERPOLATED = (
    "its quantile is interpolated at 1 - error, without the correction for a finite sample, and no set is empty"
)


def interpolated(scores: np.ndarray) -> float:
    return float(np.quantile(scores, 1 - ERROR))


@against("torch_uncertainty", "LAC sets", _INTERPOLATED)
def _():
    ours = Conformal.fit(PROBS, LABELS, error=ERROR).sets(TEST_PROBS)
    return Outcome(ours, torch_uncertainty_sets("thr.ConformalClsTHR"), with_top(our_sets("lac", interpolated)))


@against("torch_uncertainty", "APS sets, not randomised", _INTERPOLATED)
def _():
    ours = Conformal.fit(PROBS, LABELS, error=ERROR, method="aps", randomised=False).sets(TEST_PROBS)
    theirs = torch_uncertainty_sets("aps.ConformalClsAPS", randomized=False)
    return Outcome(ours, theirs, with_top(our_sets("aps", interpolated)))


@against("torch_uncertainty", "RAPS sets, not randomised", _INTERPOLATED)
def _():
    ours = Conformal.fit(PROBS, LABELS, error=ERROR, method="raps", randomised=False, penalty=0.2, rank=2).sets(
        TEST_PROBS
    )
    theirs = torch_uncertainty_sets("raps.ConformalClsRAPS", randomized=False, penalty=0.2, regularization_rank=2)
    return Outcome(ours, theirs, with_top(our_sets("raps", interpolated, penalty=0.2, rank=2)))
