"""How much the label of an image would tell: scores of single images, from their predictions."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from scipy.special import entr

from cnnlab.tasks import Prediction, Task
from cnnlab.tasks.task import complete


def mutual_information(prediction: Prediction, task: Task) -> np.ndarray:
    """Returns the mutual information of label and network in nats, `[...]`: the passes' disagreement (BALD).

    It is high where single passes are sure of different classes, and low where all passes are unsure alike, because no
    label removes that doubt.

    Source: Houlsby et al., Bayesian Active Learning for Classification and Preference Learning, 2011; over MC-Dropout:
    Gal, Islam and Ghahramani, Deep Bayesian Active Learning with Image Data, ICML 2017.
    """
    del task
    return prediction["mutual_information"]


def entropy(prediction: Prediction, task: Task) -> np.ndarray:
    """Returns the entropy of the predicted distribution in nats, `[...]`: all doubt, that of the data included."""
    del task
    return entr(np.asarray(prediction["probs"], np.float64)).sum(-1)


def margin(prediction: Prediction, task: Task) -> np.ndarray:
    """Returns 1 minus the difference between the two largest probabilities, `[...]`.

    Source: Scheffer, Decomain and Wrobel, Active Hidden Markov Models for Information Extraction, IDA 2001.

    >>> from cnnlab.tasks import Classification
    >>> margin(Prediction(probs=np.array([[0.5, 0.25, 0.25], [1, 0, 0]])), Classification()).tolist()
    [0.75, 0.0]
    """
    del task
    second, first = np.moveaxis(np.sort(np.asarray(prediction["probs"], np.float64), -1)[..., -2:], -1, 0)
    return 1 - (first - second)


def least_confidence(prediction: Prediction, task: Task) -> np.ndarray:
    """Returns 1 minus the largest probability, `[...]`.

    Source: Lewis and Gale, A Sequential Algorithm for Training Text Classifiers, SIGIR 1994.
    """
    del task
    return 1 - np.asarray(prediction["probs"], np.float64).max(-1)


def variance(prediction: Prediction, task: Task) -> np.ndarray:
    """Returns the mean variance of the outputs over the passes, a number, also of tasks without classes.

    An output with a unit, such as a value of a regression, counts in that unit.
    """
    spread, unit = prediction["variance"], complete(task).unit()
    if unit is not None:
        spread = spread if isinstance(spread, dict) else dict.fromkeys(unit, spread)
        spread = jax.tree.map(lambda leaf, one: np.asarray(leaf) / np.asarray(one) ** 2, spread, unit)
    return np.sum([np.mean(leaf, dtype=np.float64) for leaf in jax.tree.leaves(spread)])


class Acquisition(NamedTuple):
    """A score of single images and what it needs.

    Attributes:
      score: function of a prediction, without the batch axis, and its task that returns `[...]`, one number for each
        place of the image that has a distribution; a larger number is labelled first.
      passes: whether it needs passes with dropout on, or several networks.
      probs: whether it needs class probabilities.
    """

    score: Callable[[Prediction, Task], np.ndarray]
    passes: bool
    probs: bool


ACQUISITIONS: dict[str, Acquisition] = {
    "mutual_information": Acquisition(mutual_information, passes=True, probs=True),
    "entropy": Acquisition(entropy, passes=False, probs=True),
    "margin": Acquisition(margin, passes=False, probs=True),
    "least_confidence": Acquisition(least_confidence, passes=False, probs=True),
    "variance": Acquisition(variance, passes=True, probs=False),
}
"""Scores of single images by name; a new one is a function in this file and a line here."""


def score_of(acquisition: Acquisition, prediction: Prediction, task: Task) -> float:
    """Returns the score of an image: the mean over its pixels, boxes or cells, or its only one.

    Boxes that only fill a prediction have no distribution, and do not count; without any box the score is 0.
    """
    values = np.asarray(acquisition.score(prediction, task), np.float64)
    if acquisition.probs and (probs := np.asarray(prediction["probs"])).shape[:-1] == values.shape:
        values = values[probs.sum(-1) > 0]
    return float(values.mean()) if values.size else 0.0
