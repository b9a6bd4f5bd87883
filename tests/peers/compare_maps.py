"""Maps fitted on a validation split beside other libraries'.

Where another optimiser stops short of the optimum, the likelihoods agree and ours is the larger.
"""

import numpy as np
import scipy.special
from comparison import (
    LABELS,
    LOGITS,
    PROBS,
    TEST_LOGITS,
    TEST_PROBS,
    K,
    Outcome,
    against,
    loader,
    tensors,
    torch_uncertainty,
)

from cnnlab.calibration import fit_calibration
from cnnlab.metrics import classification


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
