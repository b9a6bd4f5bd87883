"""The same inputs to cnnlab and to other libraries, and why they differ where they do.

Each comparison gives ours, theirs and, where the definitions differ, ours `put` into theirs.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from cnnlab.metrics import calibration, classification, selective, separation
from cnnlab.uncertainty import entropy, moments
from cnnlab.uncertainty.calibration import fit_calibration
from cnnlab.uncertainty.conformal import Conformal, conformal_threshold, conformity_scores

N, K, BINS = 1200, 5, 15  # the bins divide the examples evenly


class Outcome(NamedTuple):
    ours: Any
    theirs: Any
    put: Any = None  # ours in their definition, where it is another one


class Comparison(NamedTuple):
    quantity: str
    library: str
    run: Callable[[], Outcome]
    why: str  # the difference, in a sentence; empty where there is none
    tolerance: float

    def __str__(self) -> str:
        return f"{self.quantity}, {self.library}"


COMPARISONS: list[Comparison] = []


def against(library: str, quantity: str, why: str = "", *, tolerance: float = 1e-6) -> Callable:
    """Enters a function of no argument into the list."""

    def enter(run: Callable[[], Outcome]) -> Callable[[], Outcome]:
        COMPARISONS.append(Comparison(quantity, library, run, why, tolerance))
        return run

    return enter


def torch_uncertainty(path: str) -> Any:
    """A class of torch-uncertainty by `module.Name`, without running its packages' own imports.

    Those need lightning, timm and a torchvision built for this torch; the parts compared here do not.
    """
    module, name = f"torch_uncertainty.{path}".rsplit(".", 1)
    parts = module.split(".")
    for depth in range(1, len(parts)):
        package = ".".join(parts[:depth])
        if package not in sys.modules:
            sys.modules[package] = importlib.util.module_from_spec(importlib.util.find_spec(package))
    if "post_processing" in parts and not hasattr(sys.modules["torch_uncertainty.post_processing"], "PostProcessing"):
        shared = sys.modules["torch_uncertainty.post_processing"]
        shared.PostProcessing = importlib.import_module("torch_uncertainty.post_processing.abstract").PostProcessing
        shared.TemperatureScaler = torch_uncertainty("post_processing.calibration.temperature_scaler.TemperatureScaler")
    return getattr(importlib.import_module(module), name)


def tensors(*arrays: np.ndarray) -> list:
    import torch

    return [torch.as_tensor(np.asarray(array)) for array in arrays]


def loader(logits: np.ndarray, labels: np.ndarray):
    """One batch of everything, as torch's loaders give it."""
    return [tuple(tensors(logits, labels))]


# The data: overconfident probabilities of five classes, labels drawn from honest ones, a second such split, scores of
# examples inside and outside, and 20 sampled distributions for 50 examples.

_rng = np.random.default_rng(0)


def _drawn() -> tuple[np.ndarray, np.ndarray]:
    logits = 1.5 * _rng.normal(size=(N, K))
    labels = (_rng.random((N, 1)) > scipy.special.softmax(logits, 1).cumsum(1)).sum(1)
    return 2 * logits, np.minimum(labels, K - 1)


LOGITS, LABELS = _drawn()
TEST_LOGITS, TEST_LABELS = _drawn()
PROBS, TEST_PROBS = scipy.special.softmax(LOGITS, 1), scipy.special.softmax(TEST_LOGITS, 1)
CONFIDENCE, CORRECT = PROBS.max(1), PROBS.argmax(1) == LABELS
INSIDE, OUTSIDE = _rng.integers(0, 40, 300) / 40, _rng.integers(10, 60, 200) / 40  # with ties
SAMPLES = _rng.dirichlet(np.ones(K), (20, 50)).astype(np.float32)
ERROR = 0.1


# Calibration errors


@against("torchmetrics", "ECE, 15 bins")
def _():
    from torchmetrics.functional.classification import multiclass_calibration_error

    theirs = multiclass_calibration_error(*tensors(PROBS, LABELS), num_classes=K, n_bins=BINS, norm="l1")
    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT), theirs)


@against("netcal", "ECE, 15 bins")
def _():
    from netcal.metrics import ECE

    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT), ECE(BINS).measure(PROBS, LABELS))


@against("torch_uncertainty", "ECE, 15 bins")
def _():
    metric = torch_uncertainty("metrics.classification.calibration.calibration_error.CalibrationError")
    theirs = metric(task="multiclass", num_classes=K, num_bins=BINS, norm="l1")(*tensors(PROBS, LABELS))
    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT), theirs)


@against("mapie", "ECE, 15 bins")
def _():
    from mapie.metrics.calibration import expected_calibration_error

    # num_bins counts the edges there
    theirs = expected_calibration_error(CORRECT.astype(int), CONFIDENCE, num_bins=BINS + 1, split_strategy="uniform")
    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT), theirs)


@against(
    "torchmetrics",
    "ECE, confidences on the edges",
    "its bins hold their lower edge, ours their upper one (Guo et al. 2017), and 1.0 has a bin of its own there",
)
def _():
    from torchmetrics.functional.classification import binary_calibration_error

    confidence = np.random.default_rng(1).integers(4, 9, N) / 8
    correct = np.random.default_rng(2).random(N) < 0.7
    theirs = binary_calibration_error(*tensors(confidence, correct.astype(int)), n_bins=4, norm="l1")
    one = confidence == 1
    below = calibration.expected_calibration_error(np.nextafter(confidence[~one], 2), correct[~one], 4)
    alone = calibration.expected_calibration_error(confidence[one], correct[one], 4)
    return Outcome(
        calibration.expected_calibration_error(confidence, correct, 4),
        theirs,
        (1 - one.mean()) * below + one.mean() * alone,
    )


@against("torch_uncertainty", "ECE of equal mass")
def _():
    path = "metrics.classification.calibration.adaptive_calibration_error.AdaptiveCalibrationError"
    theirs = torch_uncertainty(path)(task="multiclass", num_classes=K, num_bins=BINS)(*tensors(PROBS, LABELS))
    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT, binning="mass"), theirs)


@against("netcal", "ECE of equal mass")
def _():
    from netcal.metrics import ECE

    theirs = ECE(BINS, equal_intervals=False).measure(PROBS, LABELS)
    return Outcome(calibration.expected_calibration_error(CONFIDENCE, CORRECT, binning="mass"), theirs)


@against("torchmetrics", "MCE")
def _():
    from torchmetrics.functional.classification import multiclass_calibration_error

    theirs = multiclass_calibration_error(*tensors(PROBS, LABELS), num_classes=K, n_bins=BINS, norm="max")
    return Outcome(calibration.maximum_calibration_error(CONFIDENCE, CORRECT), theirs)


@against("netcal", "MCE")
def _():
    from netcal.metrics import MCE

    return Outcome(calibration.maximum_calibration_error(CONFIDENCE, CORRECT), MCE(BINS).measure(PROBS, LABELS))


@against("mapie", "classwise ECE")
def _():
    from mapie.metrics.calibration import expected_calibration_error

    theirs = expected_calibration_error(
        CORRECT.astype(int), PROBS, num_bins=BINS + 1, split_strategy="uniform", classwise=True, class_labels=LABELS
    )
    return Outcome(calibration.classwise_calibration_error(PROBS, LABELS), theirs)


@against("torch_uncertainty", "classwise ECE")
def _():
    path = "metrics.classification.calibration.classwise_calibration_error.ClasswiseCalibrationError"
    theirs = torch_uncertainty(path)(num_classes=K, num_bins=BINS)(*tensors(PROBS, LABELS))
    return Outcome(calibration.classwise_calibration_error(PROBS, LABELS), theirs)


# Scores


@against("sklearn", "Brier")
def _():
    from sklearn.metrics import brier_score_loss

    return Outcome(classification.brier(PROBS, LABELS), brier_score_loss(LABELS, PROBS))


@against("torch_uncertainty", "Brier")
def _():
    theirs = torch_uncertainty("metrics.classification.brier_score.BrierScore")(num_classes=K)(*tensors(PROBS, LABELS))
    return Outcome(classification.brier(PROBS, LABELS), theirs)


@against("sklearn", "NLL")
def _():
    from sklearn.metrics import log_loss

    return Outcome(classification.negative_log_likelihood(PROBS, LABELS), log_loss(LABELS, PROBS))


@against("torch_uncertainty", "NLL")
def _():
    theirs = torch_uncertainty("metrics.classification.categorical_nll.CategoricalNLL")()(*tensors(PROBS, LABELS))
    return Outcome(classification.negative_log_likelihood(PROBS, LABELS), theirs)


@against("torch_uncertainty", "entropy")
def _():
    metric = torch_uncertainty("metrics.classification.entropy.Entropy")(reduction="none")
    return Outcome(np.asarray(entropy(jnp.asarray(SAMPLES[0]))), metric(*tensors(SAMPLES[0])))


@against("torch_uncertainty", "mutual information")
def _():
    import jax

    numbers = {tuple(np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(0), t)))): t for t in range(20)}
    keys = jnp.array(list(numbers))

    def sample(key):  # the stored sample of this key
        place = (keys == jax.random.key_data(key)).all(1).argmax()
        return {"probs": jnp.asarray(SAMPLES)[place]}

    got = moments(sample, jax.random.key(0), num_samples=20, chunk=7)
    metric = torch_uncertainty("metrics.classification.mutual_information.MutualInformation")(reduction="none")
    return Outcome(
        np.asarray(entropy(got.mean["probs"]) - got.expected_entropy), metric(*tensors(SAMPLES.swapaxes(0, 1)))
    )


# Calibration maps. Where another optimiser stops short of the optimum, the likelihoods agree and ours is the larger.


def torch_uncertainty_temperature() -> float:
    scaler = torch_uncertainty("post_processing.calibration.temperature_scaler.TemperatureScaler")()
    scaler.fit(loader(LOGITS, LABELS), progress=False)
    return scaler.temperature[0].item()


def netcal_temperature() -> float:
    from netcal.scaling import TemperatureScaling

    scaler = TemperatureScaling()
    scaler.fit(PROBS, LABELS)
    return float(1 / scaler.temperature[0])


def after(temperature: float) -> float:
    return classification.negative_log_likelihood(scipy.special.softmax(LOGITS / temperature, 1), LABELS)


@against("torch_uncertainty", "temperature", "its L-BFGS with a step of 0.1 stops short, see its NLL", tolerance=1e-3)
def _():
    return Outcome(fit_calibration("temperature", PROBS, LABELS).temperature, torch_uncertainty_temperature())


@against("torch_uncertainty", "NLL at the temperature")
def _():
    return Outcome(
        after(fit_calibration("temperature", PROBS, LABELS).temperature), after(torch_uncertainty_temperature())
    )


@against("netcal", "temperature", "its L-BFGS with numerical gradients stops short, see its NLL", tolerance=1e-4)
def _():
    return Outcome(fit_calibration("temperature", PROBS, LABELS).temperature, netcal_temperature())


@against("netcal", "NLL at the temperature")
def _():
    ours = fit_calibration("temperature", PROBS, LABELS).temperature
    return Outcome(after(ours), after(netcal_temperature()))


@against("netcal", "NLL after vector scaling")
def _():
    from netcal.scaling import LogisticCalibration

    scaler = LogisticCalibration()
    scaler.fit(PROBS, LABELS)
    both = fit_calibration("vector", PROBS, LABELS).apply(PROBS), scaler.transform(PROBS)
    return Outcome(*(classification.negative_log_likelihood(probs, LABELS) for probs in both))


@against("sklearn", "Platt, probabilities")
def _():
    from sklearn.calibration import _SigmoidCalibration

    odds, each = scipy.special.logit(PROBS), []
    for k in range(K):
        each.append(_SigmoidCalibration().fit(odds[:, k], k == LABELS).predict(scipy.special.logit(TEST_PROBS[:, k])))
    theirs = np.stack(each, 1) / np.sum(each, 0)[:, None]
    return Outcome(fit_calibration("platt", PROBS, LABELS).apply(TEST_PROBS), theirs)


@against("sklearn", "isotonic, probabilities")
def _():
    from sklearn.isotonic import IsotonicRegression

    each = []
    for k in range(K):
        each.append(IsotonicRegression(out_of_bounds="clip").fit(PROBS[:, k], k == LABELS).predict(TEST_PROBS[:, k]))
    theirs = np.stack(each, 1) / np.sum(each, 0)[:, None]
    return Outcome(fit_calibration("isotonic", PROBS, LABELS).apply(TEST_PROBS), theirs)


@against("torch_uncertainty", "isotonic, probabilities")
def _():
    scaler = torch_uncertainty("post_processing.calibration.isotonic_regression.IsotonicRegressionScaler")(eps=1e-15)
    scaler.fit(loader(LOGITS, LABELS), progress=False)
    theirs = scaler(tensors(TEST_LOGITS)[0]).exp()
    return Outcome(fit_calibration("isotonic", PROBS, LABELS).apply(TEST_PROBS), theirs)


# Selective prediction and separation


@against(
    "torch_uncertainty",
    "AURC",
    "it integrates from 1/n to 1 by trapezoids; ours is the mean of the risks, as published",
)
def _():
    theirs = torch_uncertainty("metrics.classification.risk_coverage.AURC")()(*tensors(PROBS, LABELS))
    ours, risk = selective.aurc(CONFIDENCE, CORRECT), selective.risk_coverage(CONFIDENCE, CORRECT).risk
    return Outcome(ours, theirs, (N * ours - (risk[0] + risk[-1]) / 2) / (N - 1))


@against(
    "torch_uncertainty",
    "AUGRC",
    "it leaves out coverages below 1/n and divides by 1 - 1/n; ours starts at 0, as published",
)
def _():
    theirs = torch_uncertainty("metrics.classification.risk_coverage.AUGRC")()(*tensors(PROBS, LABELS))
    ours, first = selective.augrc(CONFIDENCE, CORRECT), selective.risk_coverage(CONFIDENCE, CORRECT).risk[0]
    return Outcome(ours, theirs, (ours - first / N / N / 2) / (1 - 1 / N))


@against("torch_uncertainty", "risk at 80 % coverage")
def _():
    theirs = torch_uncertainty("metrics.classification.risk_coverage.RiskAt80Cov")()(*tensors(PROBS, LABELS))
    return Outcome(selective.risk_at_coverage(CONFIDENCE, CORRECT, 0.8), theirs)


def _is_outside() -> tuple[np.ndarray, np.ndarray]:
    return np.r_[INSIDE, OUTSIDE], np.repeat([0, 1], [len(INSIDE), len(OUTSIDE)])


@against("sklearn", "AUROC, AUPR out, AUPR in")
def _():
    from sklearn.metrics import average_precision_score, roc_auc_score

    scores, outside = _is_outside()
    precision = average_precision_score(outside, scores), average_precision_score(1 - outside, -scores)
    return Outcome(separation.separation(INSIDE, OUTSIDE)[:3], (roc_auc_score(outside, scores), *precision))


@against("torchmetrics", "AUROC, AUPR out")
def _():
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    both = tensors(*_is_outside())
    both[0] = both[0] / 2  # it takes scores beyond 0..1 for logits
    return Outcome(separation.separation(INSIDE, OUTSIDE)[:2], (binary_auroc(*both), binary_average_precision(*both)))


@against("torch_uncertainty", "FPR95")
def _():
    theirs = torch_uncertainty("metrics.classification.fpr.FPR95")(pos_label=1)(*tensors(*_is_outside()))
    return Outcome(separation.separation(INSIDE, OUTSIDE).fpr95, theirs)


# Conformal sets


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


def our_sets(method: str, quantile: Callable[[np.ndarray], float] | None = None, **options: Any) -> np.ndarray:
    """Sets of the test split with another quantile, or other u for the calibration and the test split."""
    fitted = {"uniform": options.pop("calibration_uniform", None), **options}
    scores = scores_of(PROBS, LABELS, method=method, **{k: v for k, v in fitted.items() if k != "test_uniform"})
    threshold = quantile(scores) if quantile else conformal_threshold(scores, ERROR)
    uniform = options.pop("test_uniform", None)
    return conformity_scores(TEST_PROBS, method=method, uniform=uniform, **options) <= threshold + 1e-8


def mapies_uniform() -> np.ndarray:
    return np.random.RandomState(7).uniform(size=N)  # its own draws, the same for both splits


@against("mapie", "LAC sets")
def _():
    return Outcome(Conformal.fit(PROBS, LABELS, error=ERROR).sets(TEST_PROBS), mapie_sets("lac"))


@against("mapie", "APS sets, randomised, with its u")
def _():
    uniform = mapies_uniform()
    return Outcome(
        our_sets("aps", calibration_uniform=uniform, test_uniform=uniform),
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
        our_sets("aps", calibration_uniform=mapies_uniform(), test_uniform=np.ones(N)),
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
