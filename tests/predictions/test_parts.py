import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.predictions.merging import records_of
from cnnlab.predictions.parts import Answer, Part, parse_part


@given(st.integers(0, 3000), st.integers(1, 40), st.sampled_from([1, 64]))
def test_shares_are_disjoint_and_hold_everything_in_order(total, count, batch):
    shares = [Part(number, count).share(total, batch) for number in range(1, count + 1)]
    assert list(itertools.chain(*shares)) == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= (2 * batch if batch > 1 else 1)


def test_shares_of_many_photos_are_whole_batches():
    assert [Part(number, 3).share(1000, 64) for number in (1, 2, 3)] == [
        range(0, 320),
        range(320, 640),
        range(640, 1000),
    ]


def test_a_photo_that_was_left_out_has_no_number():
    records = [Answer(0, [{"image_id": 1}]), Answer(1, [], "damaged"), Answer(2, [{"image_id": 3}, {"image_id": 3}])]
    assert [record["image_id"] for record in records_of(records, renumber=True)] == [1, 2, 2]
    assert [record["image_id"] for record in records_of(records, renumber=False)] == [1, 3, 3]


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/100000", "1.5/3", "²/3"])
def test_a_part_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="--part must be"):
        parse_part(text)
