import itertools

import pytest

from cnnlab.metrics.sequence import Edits, edits, error_rate, string_scores


@pytest.mark.parametrize(
    ("predicted", "true", "expected"),
    [
        ("", "", (0, 0, 0)),
        ("", "abc", (0, 0, 3)),
        ("abc", "", (0, 3, 0)),
        ("abc", "abc", (0, 0, 0)),
        ("1926", "1962", (2, 0, 0)),  # a swap is two substitutions
        ("sitting", "kitten", (2, 1, 0)),
        ("sunday", "saturday", (1, 0, 2)),  # a and t are left out, r becomes n
        ("11", "111", (0, 0, 1)),
    ],
)
def test_edits_are_counted_by_kind(predicted, true, expected):
    assert edits(predicted, true) == Edits(*expected)


def test_the_number_of_edits_is_a_distance():
    words = ["".join(word) for n in range(4) for word in itertools.product("ab", repeat=n)]
    distance = {(a, b): sum(edits(a, b)) for a in words for b in words}
    assert all(distance[a, b] == distance[b, a] for a, b in distance)
    assert all((distance[a, b] == 0) == (a == b) for a, b in distance)
    assert all(distance[a, c] <= distance[a, b] + distance[b, c] for a in words for b in words for c in words)


def test_error_rates_divide_by_the_true_length_of_all_strings_together():
    scores = string_scores(["12", "3 4 5", ""], ["1", "3 4 6", "7"])
    assert scores["cer"] == pytest.approx(3 / 7)  # 1 + 5 + 1 true characters; one edit in each string
    assert scores["wer"] == pytest.approx(3 / 5)
    assert scores["exact"] == 0


def test_an_error_rate_may_exceed_one_and_is_the_number_of_edits_if_all_is_empty():
    assert error_rate(["abcd"], ["a"]) == 3
    assert error_rate(["ab"], [""]) == 2


@pytest.mark.parametrize(("predicted", "true"), [(["a"], ["a", "b"]), ([], [])])
def test_lists_that_cannot_be_scored_are_refused(predicted, true):
    with pytest.raises(ValueError, match="one length|no strings"):
        error_rate(predicted, true)
