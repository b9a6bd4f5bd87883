import json

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import brier_score_loss, log_loss

from cnnlab.calibration import CALIBRATIONS, Vector, fit_calibration
from cnnlab.calibration.methods import from_json, to_json
from cnnlab.calibration.newton import minimise
from cnnlab.metrics.classification import negative_log_likelihood


def drawn(k, n=2000, sharpness=2.0, seed=0):
    """Returns logits `[n, k]` that are too sharp, and labels drawn from the calibrated ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2 + np.linspace(0, 0.5, k)
    labels = (rng.random((n, 1)) > scipy.special.softmax(logits, 1).cumsum(1)).sum(1)
    return sharpness * logits, np.minimum(labels, k - 1)


def test_one_confidence_has_a_temperature_by_hand():
    probs, labels = np.tile([0.99, 0.01], (100, 1)), np.repeat([0, 1], [75, 25])
    assert fit_calibration("temperature", probs, labels).temperature == pytest.approx(np.log(99) / np.log(3), rel=1e-9)


def test_the_temperature_equals_scipys_minimum_over_the_networks_own_logits():
    logits, labels = drawn(5)

    def loss(t):
        return log_loss(labels, scipy.special.softmax(logits / t, 1))

    want = scipy.optimize.minimize_scalar(loss, bounds=(0.5, 8), method="bounded", options={"xatol": 1e-10}).x
    got = fit_calibration("temperature", scipy.special.softmax(logits, 1), labels).temperature
    assert got == pytest.approx(want, rel=1e-6)
    assert got == pytest.approx(2, rel=0.1)  # the labels are drawn with half of the sharpness


def test_vector_scaling_equals_torchs_minimum():
    torch = pytest.importorskip("torch")
    logits, labels = drawn(4)
    log_p = torch.tensor(scipy.special.log_softmax(logits, 1))
    scale, bias = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    parameters = [scale.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(log_p * scale + bias, torch.tensor(labels))
        loss.backward()
        return loss

    optimizer.step(closure)
    got = fit_calibration("vector", scipy.special.softmax(logits, 1), labels)
    np.testing.assert_allclose(got.scale, scale.detach(), atol=1e-6)
    np.testing.assert_allclose(got.bias, (bias - bias.mean()).detach(), atol=1e-6)


class Stated(ClassifierMixin, BaseEstimator):
    """A classifier that returns its features as probabilities."""

    def __init__(self, k):
        self.k, self.classes_ = k, np.arange(k)

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(1)


class Decided(Stated):
    """A classifier with a decision function: the log-odds of its probabilities."""

    def decision_function(self, x):
        odds = scipy.special.logit(x)
        return odds[:, 1] if self.k == 2 else odds


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize(
    ("method", "theirs", "classifier"), [("platt", "sigmoid", Decided), ("isotonic", "isotonic", Stated)]
)
def test_one_against_rest_equals_scikit_learns(k, method, theirs, classifier):
    logits, labels = drawn(k)
    probs = scipy.special.softmax(logits, 1)
    peer = CalibratedClassifierCV(FrozenEstimator(classifier(k)), method=theirs, ensemble=False).fit(probs, labels)
    got = fit_calibration(method, probs, labels).apply(probs)
    np.testing.assert_allclose(got, peer.predict_proba(probs), atol=1e-6 if method == "isotonic" else 1e-4)


def test_platts_slope_is_where_the_gradient_of_his_loss_vanishes():
    logits, labels = drawn(2)
    fitted = fit_calibration("platt", scipy.special.softmax(logits, 1), labels)
    odds, ones = logits[:, 1] - logits[:, 0], labels.sum()
    target = np.where(labels == 1, (ones + 1) / (ones + 2), 1 / (2000 - ones + 2))
    excess = scipy.special.expit(fitted.slope[0] * odds + fitted.intercept[0]) - target
    assert abs(excess.mean()) < 1e-8
    assert abs((excess * odds).mean()) < 1e-8


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_calibrated_probabilities_score_better_on_new_examples(method):
    (logits, labels), (new, new_labels) = drawn(4), drawn(4, seed=1)
    fitted = fit_calibration(method, scipy.special.softmax(logits, 1), labels)
    before = scipy.special.softmax(new, 1)
    after = fitted.apply(before)
    np.testing.assert_allclose(after.sum(1), 1)
    assert brier_score_loss(new_labels, after) < brier_score_loss(new_labels, before)


def test_a_temperature_keeps_every_answer_and_any_shape():
    logits, labels = drawn(4)
    fitted = fit_calibration("temperature", scipy.special.softmax(logits, 1), labels)
    images = scipy.special.softmax(logits, 1).reshape(20, 10, 10, 4)
    assert fitted.apply(images).shape == (20, 10, 10, 4)
    assert (fitted.apply(images).argmax(-1) == images.argmax(-1)).all()


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_probabilities_of_0_and_1_stay_finite(method):
    logits, labels = drawn(3)
    fitted = fit_calibration(method, scipy.special.softmax(logits, 1), labels)
    assert np.isfinite(fitted.apply(np.array([[1.0, 0, 0], [0.5, 0.5, 0]]))).all()
    hard = np.where(np.arange(2000)[:, None] % 3 == 0, np.eye(3)[logits.argmax(1)], scipy.special.softmax(logits, 1))
    after = fit_calibration(method, hard, labels).apply(hard)
    assert negative_log_likelihood(after, labels) < negative_log_likelihood(hard, labels)


@pytest.mark.parametrize("method", CALIBRATIONS)
@pytest.mark.parametrize("k", [2, 3])
def test_a_map_survives_json(method, k):
    logits, labels = drawn(k)
    fitted = fit_calibration(method, scipy.special.softmax(logits, 1), labels)
    assert from_json(json.loads(json.dumps(to_json(fitted)))) == fitted


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"method": "tempreature"}, "unknown calibration 'tempreature'; did you mean 'temperature'"),
        ({"temperature": 1.0}, "object with the key method"),
        ({"method": "temperature", "temperature": 0.0}, "temperature must be positive and finite, found 0.0"),
        ({"method": "temperature", "temperature": "1"}, "temperature must be float, found '1'"),
        ({"method": "temperature", "temperature": 1.0, "bias": 0}, "unknown key 'calibration.bias'"),
        ({"method": "vector", "scale": [1, 1]}, "calibration.bias is missing"),
        ({"method": "vector", "scale": [1, 1], "bias": [0]}, "same length, at least 1, found 2 and 1"),
        ({"method": "platt", "slope": [float("nan")], "intercept": [0]}, "must be finite"),
        (
            {"method": "isotonic", "stated": [[0, 1]], "actual": [[0.5, 0.4]]},
            r"must rise within 0..1, found \(0.5, 0.4\)",
        ),
    ],
)
def test_json_that_does_not_belong_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        from_json(value)


@pytest.mark.parametrize(
    ("method", "n", "message"),
    [
        ("temperature", 99, "temperature needs a validation split of 100 examples or more, found 99"),
        ("vector", 199, "vector needs a validation split of 200 examples or more, found 199"),
        ("platt", 199, "platt needs a validation split of 200 examples or more, found 199"),
        ("isotonic", 999, "isotonic needs a validation split of 1000 examples or more, found 999"),
        ("dirichlet", 999, "unknown calibration 'dirichlet'"),
    ],
)
def test_a_split_too_small_is_told_the_smallest_sensible_size(method, n, message):
    logits, labels = drawn(10, n)
    with pytest.raises(ValueError, match=message):
        fit_calibration(method, scipy.special.softmax(logits, 1), labels)


def test_what_has_no_optimum_is_refused():
    logits, labels = drawn(3)
    probs = scipy.special.softmax(logits, 1)
    with pytest.raises(ValueError, match="all 2000 validation examples are predicted right"):
        fit_calibration("temperature", probs, probs.argmax(1))
    with pytest.raises(ValueError, match="no higher than those of the other classes"):
        fit_calibration("temperature", probs, probs.argmin(1))
    with pytest.raises(ValueError, match="separated without an error"):
        fit_calibration("vector", probs, probs.argmax(1))
    with pytest.raises(ValueError, match="found no example of class 2"):
        fit_calibration("vector", probs, np.minimum(labels, 1))
    with pytest.raises(ValueError, match="fitted on 3 classes, found 2"):
        Vector((1.0, 1, 1), (0.0, 0, 0)).apply(np.array([[0.5, 0.5]]))


@pytest.mark.parametrize("method", ["temperature", "platt"])
def test_answers_that_are_all_certain_and_sometimes_wrong_are_calibrated(method):
    rng, labels = np.random.default_rng(0), np.arange(500) % 4
    guesses = np.where(rng.random(500) < 0.05, (labels + 1) % 4, labels)
    result = fit_calibration(method, np.eye(4)[guesses], labels).apply(np.eye(4)).diagonal()
    right = (guesses == labels).mean()
    if method == "temperature":
        np.testing.assert_allclose(result, right, atol=1e-6)
    else:
        np.testing.assert_allclose(result, right, atol=0.02)  # each class has its own function with smoothed targets


def test_few_wrong_answers_make_a_doubtful_temperature_and_say_so():
    probs = np.tile([0.9, 0.1], (200, 1))
    with pytest.warns(UserWarning, match=r"rests on 4 wrong predictions in 200 validation examples.*use 500 examples"):
        result = fit_calibration("temperature", probs, np.arange(200) < 4)
    # logit(.98) = log 9 / T; the slope of the logit has the standard error 1 / sqrt(n p (1 - p)) / log 9.
    assert result.temperature == pytest.approx(np.log(9) / np.log(49), rel=1e-6)
    error = 1 / np.sqrt(200 * 0.98 * 0.02) / np.log(49)
    assert result.interval == pytest.approx(tuple(result.temperature * np.exp([-1.96 * error, 1.96 * error])))


def test_newton_reaches_the_minimum_of_a_steep_function_from_afar():
    def loss(x):  # log(e^x + e^-x), where a plain Newton step diverges
        return float(np.logaddexp(x[0], -x[0])), np.tanh(x), np.array([[1 / np.cosh(x[0]) ** 2]])

    assert minimise(loss, np.array([3.0])) == pytest.approx(0, abs=1e-8)
    with pytest.raises(ValueError, match="did not converge in 5 steps"):
        minimise(lambda x: (float(np.exp(-x[0])), -np.exp(-x), np.exp(-x)[None]), np.zeros(1), limit=5)
