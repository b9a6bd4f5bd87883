"""Calibration errors, proper scores, entropies, selective prediction and separation beside other libraries'."""

import jax
import jax.numpy as jnp
import numpy as np
from comparison import (
    BINS,
    CONFIDENCE,
    CORRECT,
    INSIDE,
    LABELS,
    OUTSIDE,
    PROBS,
    SAMPLES,
    K,
    N,
    Outcome,
    against,
    tensors,
    torch_uncertainty,
)

from cnnlab.metrics import classification, selective, separation
from cnnlab.metrics.calibration import errors as calibration
from cnnlab.uncertainty import entropy, moments


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
