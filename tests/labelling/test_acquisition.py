import math

import numpy as np
import pytest

from cnnlab.labelling.acquisition import ACQUISITIONS, score_of
from cnnlab.tasks import Classification, Prediction, Regression

TASK = Classification()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("entropy", 1.5 * math.log(2)), ("margin", 0.75), ("least_confidence", 0.5), ("mutual_information", 0.3)],
)
def test_the_scores_of_one_distribution_are_those_of_hand_arithmetic(name, expected):
    prediction = Prediction(probs=np.array([0.25, 0.5, 0.25]), mutual_information=np.float32(0.3))
    assert score_of(ACQUISITIONS[name], prediction, TASK) == pytest.approx(expected)


def test_a_map_scores_the_mean_over_its_pixels():
    prediction = Prediction(probs=np.array([[[0.5, 0.5], [1, 0]], [[1, 0], [1, 0]]]))
    assert score_of(ACQUISITIONS["entropy"], prediction, TASK) == pytest.approx(math.log(2) / 4)


def test_boxes_that_only_fill_a_prediction_do_not_count():
    prediction = Prediction(probs=np.array([[0.5, 0.5], [0, 0], [0, 0]]))
    assert score_of(ACQUISITIONS["least_confidence"], prediction, TASK) == 0.5
    assert score_of(ACQUISITIONS["margin"], Prediction(probs=np.zeros((3, 2))), TASK) == 0


def test_the_variance_of_a_regression_counts_in_the_deviation_of_its_targets():
    task = Regression(mean=(0.0, 0.0), std=(2.0, 10.0))
    prediction = Prediction(value=np.zeros(2), variance=np.array([4.0, 300.0]))
    assert score_of(ACQUISITIONS["variance"], prediction, task) == pytest.approx((1 + 3) / 2)


def test_the_noise_that_a_regression_predicts_does_not_count():
    task = Regression(kind="gaussian", mean=(0.0,), std=(2.0,))
    prediction = Prediction(variance={"value": np.array([4.0]), "noise": np.array([9.0])})
    assert score_of(ACQUISITIONS["variance"], prediction, task) == pytest.approx(1)
