import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from cnnlab.embeddings import Space, nearest_images

LINE = Space(np.float32([[0], [1], [3], [7]]), names="abcd", labels=["x", "x", "y", "y"], metric="euclidean")
FEATURES = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)


def test_the_nearest_come_first_with_their_distances():
    found = LINE.nearest(1, count=3)
    assert found.names == ["a", "c", "d"]
    assert found.distance.tolist() == [1, 2, 6]
    assert (found.label, found.share) == ("y", pytest.approx(2 / 3))


def test_similarity_is_the_cosine():
    found = Space(FEATURES).nearest(4, count=29)
    expected = np.delete(cosine_similarity(FEATURES[4:5], FEATURES)[0], 4)
    np.testing.assert_allclose(found.similarity, np.sort(expected)[::-1], atol=1e-6)
    np.testing.assert_allclose(found.distance, 1 - found.similarity, atol=1e-6)


def test_typicality_is_the_share_of_images_that_are_as_far_from_their_nearest():
    # The distances to the nearest other image are 1, 1, 2 and 4.
    shares = [LINE.nearest(np.float32([x]), count=1).typicality for x in (0.5, 4.5, 10, 20)]
    assert shares == [1, 0.5, 0.25, 0]
    assert LINE.nearest(3, count=1).typicality == 0.25


def test_a_typical_image_is_typical_by_cosine_too():
    nearest = [Space(FEATURES).nearest(i, count=1) for i in range(30)]
    far = [float(found.distance[0]) for found in nearest]
    assert [found.typicality for found in nearest] == pytest.approx(
        [np.mean(np.array(far) >= d) for d in far], abs=0.04
    )


def test_a_sum_leaves_its_images_out_and_finds_the_fourth_corner():
    square = np.float32([[0, 0], [0, 1], [1, 0], [1.1, 1], [5, 5]])
    found = Space(square, metric="euclidean").combine([1, 2], [0], count=1)
    assert found.names == ["3"]
    assert found.distance[0] == pytest.approx(0.1)


def test_a_mean_is_a_point_and_its_images_are_left_out():
    assert LINE.mean([0, 2]).tolist() == [1.5]
    assert LINE.nearest([0, 2], count=2).names == ["b", "d"]
    unit = Space(np.float32([[2, 0], [0, 5], [1, 1]]))
    np.testing.assert_allclose(unit.mean([0, 1]), [0.5, 0.5])
    assert unit.nearest([0, 1], count=1).similarity[0] == pytest.approx(1)


def test_a_line_passes_the_images_between_its_ends():
    assert [found.names for found in LINE.line(0, 3, steps=3)] == [["b"], ["c"], ["c"]]


def test_features_of_length_zero_are_similar_to_nothing():
    found = Space(np.float32([[0, 0], [1, 0], [0, 1]])).nearest(0, count=2)
    assert found.similarity.tolist() == [0, 0]


def test_neighbours_of_all_images_are_those_of_each():
    index, distance = nearest_images(FEATURES, 3)
    space = Space(FEATURES, metric="euclidean")
    assert [space.nearest(i, count=3).index.tolist() for i in range(30)] == index.tolist()
    np.testing.assert_allclose(distance[0], np.sort(np.linalg.norm(FEATURES - FEATURES[0], axis=1))[1:4], rtol=1e-5)


def test_equal_images_are_neighbours_and_not_themselves():
    assert nearest_images(np.float32([[1, 2], [1, 2], [9, 9]]), 1)[0].tolist()[:2] == [[1], [0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LINE.nearest(0, count=4), r"count must lie in 1..3, .* found 4"),
        (lambda: LINE.nearest(4), "there is no image 4; the space holds 0..3"),
        (lambda: LINE.nearest(np.zeros(2)), r"1 finite numbers, or a list of points, found \[2\]"),
        (lambda: LINE.nearest(np.array([np.nan])), "found NaN or infinity"),
        (lambda: LINE.combine([]), "plus and minus are empty"),
        (lambda: LINE.mean([]), "a list of points is empty"),
        (lambda: Space(FEATURES, metric="manhattan"), "unknown metric 'manhattan'"),
        (lambda: Space(FEATURES, labels=["a"]), "labels must hold one entry for each of 30 images, found 1"),
        (lambda: Space(FEATURES[:1]), "needs 2 images or more, found 1"),
        (lambda: nearest_images(FEATURES, 30), "needs 31 images or more, found 30"),
    ],
)
def test_points_that_are_not_there_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_retrieval_and_a_space_say_what_they_are_in_two_lines():
    assert repr(LINE) == "Space of 4 images\n  1 features, 2 labels, euclidean"
    assert repr(LINE.nearest(0, count=2)) == "Retrieval of 2 images, 50% are 'x', typicality 1.00\n  b, c"
