import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab.labelling import k_centre

LINE = np.array([[0.0], [1], [2], [10], [11], [20]])


def test_each_choice_is_the_farthest_from_all_before_it():
    chosen = k_centre(LINE, 3, labelled=np.array([[0.0]]))
    assert chosen.index.tolist() == [5, 3, 2]  # 20; then 10 is 10 from both ends; then 2 is 2 away
    assert chosen.distance.tolist() == [20, 10, 2]


def test_without_labels_the_first_is_the_nearest_to_the_mean():
    chosen = k_centre(LINE, 2)
    assert chosen.index.tolist() == [3, 0]  # the mean is 44 / 6; 0 and 20 are both 10 from 10, and the first is taken
    assert chosen.distance.tolist() == [np.inf, 10]


def test_what_is_not_accepted_is_passed_over_and_asked_for_once():
    asked = []
    chosen = k_centre(LINE, 6, labelled=LINE[:1], accept=lambda i: asked.append(i) or i % 2 == 0)
    assert sorted(asked) == [0, 1, 2, 3, 4, 5]
    assert chosen.index.tolist() == [4, 2, 0]


def test_features_of_another_length_are_refused():
    with pytest.raises(ValueError, match="one length, found 1 and 2"):
        k_centre(LINE, 1, labelled=np.zeros((1, 2)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_radius_is_at_most_twice_that_of_any_other_choice(seed, count):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(12, 2)).astype(np.float32)
    distance = np.linalg.norm(points[:, None] - points, axis=-1)

    def radius(index):
        return distance[:, index].min(1).max()

    others = min(radius(rng.choice(12, count, replace=False)) for _ in range(200))
    assert radius(k_centre(points, count).index) <= 2 * others + 1e-5
