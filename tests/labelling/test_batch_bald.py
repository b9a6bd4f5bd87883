"""Joint mutual information, against its definition over all combinations of classes."""

import itertools

import numpy as np
import pytest

from cnnlab.labelling import batch_bald

PROBS = np.random.default_rng(0).dirichlet(np.full(3, 0.5), (6, 4))  # 6 images, 4 passes, 3 classes


def entropy(p):
    return -(p[p > 0] * np.log(p[p > 0])).sum()


def joint_information(images):
    """H(y1 ... yn) - sum of E H(yi), by the definition (Kirsch et al. 2019, equation 6)."""
    each = [PROBS[image] for image in images]
    combinations = itertools.product(range(3), repeat=len(images))
    joint = [np.mean(np.prod([p[:, c] for p, c in zip(each, cs, strict=True)], 0)) for cs in combinations]
    return entropy(np.array(joint)) - sum(np.mean([entropy(row) for row in p]) for p in each)


def greedy(count):
    chosen = []
    for _ in range(count):
        chosen.append(max((i for i in range(6) if i not in chosen), key=lambda i: joint_information([*chosen, i])))
    return chosen


def test_the_choice_and_its_gains_are_those_of_the_definition():
    found, expected = batch_bald(PROBS, 4), greedy(4)
    assert found.index.tolist() == expected
    sums = [joint_information(expected[: n + 1]) for n in range(4)]
    np.testing.assert_allclose(found.gain.cumsum(), sums, atol=1e-5)


def test_combinations_that_are_drawn_give_nearly_the_same_gains():
    exact, drawn = batch_bald(PROBS, 4), batch_bald(PROBS, 4, configurations=20)
    assert drawn.index.tolist() == exact.index.tolist()
    np.testing.assert_allclose(drawn.gain, exact.gain, atol=0.02)


def test_a_copy_of_a_chosen_image_tells_less_than_another_image():
    sure, half = np.array([0.95, 0.05]), np.array([0.5, 0.5])
    by_first = np.array([sure, sure, 1 - sure, 1 - sure])  # passes 1 and 2 against 3 and 4
    by_last = np.array([sure, 1 - sure, sure, 1 - sure]) * 0.8 + 0.2 * half
    found = batch_bald(np.array([by_first, by_first, by_last]), 3)
    assert found.index.tolist() == [0, 2, 1]


def test_the_choice_begins_anew_once_the_passes_tell_nothing_more():
    apart = np.tile(np.array([[1.0, 0.0], [0.0, 1.0]]), (2, 1, 1))  # one label tells which pass is right
    nearly = np.array([[[0.9, 0.1], [0.1, 0.9]]])
    found = batch_bald(np.concatenate([nearly, apart]), 3)
    assert found.index.tolist() == [1, 2, 0]
    np.testing.assert_allclose(found.gain, [np.log(2), np.log(2), joint_of_two(0.9)], atol=1e-5)


def joint_of_two(p):
    """The information of a label that two passes predict with p and 1 - p."""
    return np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p)


@pytest.mark.parametrize(("count", "shape"), [(0, (3, 2, 2)), (4, (3, 2, 2)), (1, (3, 2))])
def test_a_count_or_shape_that_does_not_fit_is_refused(count, shape):
    with pytest.raises(ValueError, match=r"count must lie in 1\.\.3|must be \[N, T, K\]"):
        batch_bald(np.full(shape, 0.5), count)
