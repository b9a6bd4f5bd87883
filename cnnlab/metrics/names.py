"""What the name of a metric says: whether larger values are better, and whether it is for a closer look."""

from cnnlab.metrics import regression

_SIZES = ("small", "medium", "large")
_LARGER = {
    *("trustworthiness", "knn_accuracy", "exact", "recall_at_1", "recall_at_5"),
    *("pairwise_accuracy", "kendall_tau"),
    *("probability_of_truth", "f1", "average_precision", "right"),
    *("accuracy", "balanced_accuracy", "pixel_accuracy", "mean_iou", "dice", "brier_resolution", "calibration_gain"),
    *(
        "map",
        "map50",
        "map75",
        "mar_1",
        "mar_10",
        "mar_100",
        *(f"{m}_{size}" for m in ("map", "mar") for size in _SIZES),
    ),
}
_SMALLER = {
    *("loss", "crps", "nll", "brier", "brier_reliability", "ece", "ece_mass", "mce", "classwise_ece", "aurc", "augrc"),
    *("set_size", "crowded_out", "cer", "wer", "error", "edits"),
}
_LARGER_FAMILIES = ("accuracy_without_", "error_auroc_", "false_positive_auroc_", "ood_auroc_", "ood_aupr_")
_SMALLER_FAMILIES = ("risk_at_", "ood_fpr95_")

_CLOSER = {
    *("ece_mass", "mce", "classwise_ece", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within"),
    *("augrc", "uncalibrated_brier", "calibration_gain", "calibrated", "set_empty", "set_error", "ood_examples"),
    *("mar_1", "mar_10", *(f"{m}_{size}" for m in ("map", "mar") for size in _SIZES), "crowded_out", "sharpness"),
    *("seconds", "passes_equivalent", "standard_error"),
}
_CLOSER_FAMILIES = ("error_auroc_", "false_positive_auroc_", "accuracy_without_", "ood_aupr_")


_WRITTEN = {
    **{
        word: word.upper()
        for word in ("nll", "ece", "mce", "rmse", "mae", "crps", "iou", "auroc", "aupr", "fpr95", "ood")
    },
    **{word: word.upper() for word in ("aurc", "augrc", "cer", "wer")},
    **{"r2": "R²", "map": "mAP", "map50": "mAP 50", "map75": "mAP 75", "mar": "mAR"},
}


def title(name: str) -> str:
    """Returns the name of a metric as a figure's title has it.

    >>> title("mean_iou"), title("nll"), title("map50")
    ('Mean IOU', 'NLL', 'mAP 50')
    """
    words = [_WRITTEN.get(word, word) for word in name.split("_")]
    first = words[0] if words[0] in _WRITTEN.values() else words[0].capitalize()
    return " ".join([first, *words[1:]])


def larger_is_better(name: str) -> bool | None:
    """Returns whether larger values of a metric are better; None if that is unknown, or neither is better.

    >>> larger_is_better("map75"), larger_is_better("uncalibrated_nll"), larger_is_better("examples")
    (True, False, None)
    """
    name = name.removeprefix("uncalibrated_")
    if name in regression.METRICS:
        return regression.METRICS[name].larger_is_better
    if name in _LARGER or name.startswith(_LARGER_FAMILIES):
        return True
    return False if name in _SMALLER or name.startswith(_SMALLER_FAMILIES) else None


def is_for_a_closer_look(name: str) -> bool:
    """Returns whether a report shows a metric, its interval and its floor only if all numbers are asked for.

    >>> is_for_a_closer_look("accuracy"), is_for_a_closer_look("mce_floor")
    (False, True)
    """
    for ending in ("_low", "_high", "_floor"):
        name = name.removesuffix(ending)
    return name in _CLOSER or name.startswith(_CLOSER_FAMILIES)
