import numpy as np
import pytest
from sklearn import manifold
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from cnnlab.embeddings import knn_accuracy, trustworthiness

SPACE = np.random.default_rng(0).normal(size=(90, 6))
PLANE = SPACE[:, :2] + 0.1 * np.random.default_rng(1).normal(size=(90, 2))
LABELS = (SPACE[:, 0] > 0).astype(int) + (SPACE[:, 1] > 1)


@pytest.mark.parametrize("neighbours", [1, 12, 44])
def test_trustworthiness_is_that_of_scikit_learn(neighbours):
    ours = trustworthiness(SPACE, PLANE, neighbours=neighbours)
    assert ours == pytest.approx(manifold.trustworthiness(SPACE, PLANE, n_neighbors=neighbours), abs=1e-12)


def test_portions_of_the_images_give_the_same_trustworthiness(monkeypatch):
    whole = trustworthiness(SPACE, PLANE)
    monkeypatch.setattr("cnnlab.embeddings.quality._PORTION", 7 * 90)
    assert trustworthiness(SPACE, PLANE) == whole


def test_trustworthiness_of_some_images_is_close_to_that_of_all():
    some = [trustworthiness(SPACE, PLANE, most=45, seed=seed) for seed in range(20)]
    assert np.mean(some) == pytest.approx(trustworthiness(SPACE, PLANE), abs=0.01)
    assert len(set(some)) > 1


def test_an_image_that_lies_beside_a_far_one_costs_its_rank():
    line, plane = np.float64([[0], [1], [3], [6], [10]]), np.float64([[0], [20], [40], [60], [1]])
    # Nearest in the plane: 0 and 4 are each other's, and rank 4th in the space, 3 too many each; 1 has 4 (rank 4),
    # 2 has 1 (rank 1), 3 has 2 (rank 1). The sum is 9; n = 5, k = 1: 1 - 2 / (5 * 1 * (10 - 3 - 1)) * 9 = .4.
    assert trustworthiness(line, plane, neighbours=1) == pytest.approx(0.4)


@pytest.mark.parametrize("neighbours", [1, 4, 10])
def test_the_accuracy_of_neighbours_is_that_of_scikit_learn(neighbours):
    theirs = cross_val_score(KNeighborsClassifier(neighbours), SPACE, LABELS, cv=LeaveOneOut()).mean()
    assert knn_accuracy(SPACE, LABELS, neighbours=neighbours) == pytest.approx(theirs, abs=1e-12)


def test_images_of_unknown_class_neither_vote_nor_count():
    assert knn_accuracy(np.float32([[0], [0.1], [1], [9], [10]]), np.array([0, -1, 0, 1, 1]), neighbours=1) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trustworthiness(SPACE, PLANE, neighbours=45), r"neighbours must lie in 1..44 for 90 images, found 45"),
        (lambda: trustworthiness(SPACE, PLANE[:3]), "a place for each of 90 images, found 3"),
        (lambda: knn_accuracy(SPACE[:4], LABELS[:4]), "a vote of 10 neighbours needs 11 images or more, found 4"),
        (lambda: knn_accuracy(SPACE, LABELS[:4]), r"labels must be a class for each of 90 images, found \[4\]"),
    ],
)
def test_what_cannot_be_measured_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
