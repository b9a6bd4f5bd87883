import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cnnlab.metrics import ranking


def test_the_average_precision_of_each_query_equals_scikit_learn():
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(60, 5)), rng.integers(0, 4, 60)
    scores = ranking.retrieve(points, labels)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    for i in range(60):
        others = np.delete(np.arange(60), i)
        want = average_precision_score(labels[others] == labels[i], unit[others] @ unit[i])
        assert scores.average_precision[i] == pytest.approx(want, rel=1e-6)


def test_recall_and_precision_of_five_images_on_a_circle_by_hand():
    # angles in degrees; the query 0 meets b (5), a (20), b (50), a (90): precisions 1/2 and 2/4
    angles, labels = np.radians([0, 5, 20, 50, 90]), np.array([0, 1, 0, 1, 0])
    scores = ranking.retrieve(np.stack([np.cos(angles), np.sin(angles)], 1), labels)
    assert scores.average_precision[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert scores.recall[1].tolist() == [0, 0, 0, 0, 0]
    assert scores.recall[5].tolist() == [1, 1, 1, 1, 1]
    assert scores.nearest.tolist() == [1, 0, 1, 2, 3]


def test_a_network_that_maps_all_images_to_one_point_is_no_better_than_chance():
    points, labels = np.ones((40, 3)) * (1 + 1e-7 * np.arange(40))[:, None], np.repeat([0, 1], 20)
    scores = ranking.retrieval_scores(ranking.retrieve(points, labels))
    assert (scores["recall_at_1"], scores["recall_at_5"]) == (0, 0)
    assert scores["map"] == pytest.approx(np.mean([i / (20 + i) for i in range(1, 20)]))  # after all 20 others


def test_the_only_image_of_its_class_is_no_query():
    scores = ranking.retrieve(np.array([[1.0, 0], [1, 0.1], [0, 1]]), np.array([0, 0, 1]))
    assert np.isnan(scores.average_precision).tolist() == [False, False, True]
    assert np.isnan(scores.recall[1]).tolist() == [False, False, True]
    nothing = ranking.retrieval_scores(ranking.retrieve(np.eye(3), np.arange(3)))
    assert np.isnan(list(nothing.values())).all()


def test_portions_change_no_score(monkeypatch):
    rng = np.random.default_rng(1)
    points, labels = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    whole = ranking.retrieve(points, labels).average_precision
    monkeypatch.setattr(ranking, "_CHUNK", 70)  # one query at a time
    np.testing.assert_allclose(ranking.retrieve(points, labels).average_precision, whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        (np.ones((1, 2)), np.zeros(1), r"two images or more, found the shapes \(1, 2\)"),
        (np.ones((3, 2)), np.zeros(2), r"found the shapes \(3, 2\) and \(2,\)"),
        (np.array([[1, 0], [np.nan, 1]]), np.zeros(2), r"in embeddings\[1\]"),
    ],
)
def test_embeddings_that_cannot_be_ranked_are_refused(points, labels, message):
    with pytest.raises(ValueError, match=message):
        ranking.retrieve(points, labels)
