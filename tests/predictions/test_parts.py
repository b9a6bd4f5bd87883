import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.files.tables import write_parquet, write_table
from cnnlab.predictions.merging import merged_table, records_of
from cnnlab.predictions.parts import Answer, Header, Part, parse_part, read_part, write_part
from cnnlab.tasks.task import Task


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


class Plain(Task):
    """Stands for a task whose records are their own columns."""

    def line(self, record):
        return record


def merged(folder, *values):
    """Writes a part in Parquet for each list of values of one column, and merges them."""
    work = {"format": "parquet", "files": sum(map(len, values))}
    places, parts = itertools.count(), []
    for number, column in enumerate(values, 1):
        answers = [Answer(next(places), [{"x": value}]) for value in column]
        header = Header(Part(number, len(values)), work, [answer.place for answer in answers], [])
        parts.append(read_part(write_part(folder, header, answers, Plain())))
    return merged_table(parts, renumber=False)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[None, None], [0.5, 1.5]], "double"),
        ([[1, 2], [0.5]], "double"),
        ([[[], []], [["a"]]], "list<element: string>"),
        ([[[[1, 2]]], [[]], [[[0.5]]]], "list<element: list<element: double>>"),
        ([[], [True]], "bool"),
    ],
)
def test_merged_columns_are_those_of_one_table_bit_for_bit(tmp_path, values, kind):
    pytest.importorskip("pyarrow")
    every = [value for column in values for value in column]
    table = merged(tmp_path, *values)
    assert str(table.schema.field("x").type) == kind
    assert table["x"].to_pylist() == every
    write_parquet(tmp_path / "merged.parquet", table)
    write_table(tmp_path / "one.parquet", {"x": every})
    assert (tmp_path / "merged.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()


def test_columns_without_a_common_type_are_named(tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(ValueError, match=r"do not fit .*Field x has incompatible types: string vs int64"):
        merged(tmp_path, ["a"], [1])
