import numpy as np
import pytest

from cnnlab.files.tables import read_parquet, write_table

COLUMNS = {
    "file": np.array(["a.png", "=b.png"], object),
    "right": np.array([True, False]),
    "count": np.array([1, 2]),
    "score": [1 / 3, None],
    "box": [[1.5, 2.0], [3.0, 4.25]],
    "mixed": [1, "two"],
}


@pytest.fixture
def table(tmp_path):
    pytest.importorskip("pyarrow")
    return read_parquet(write_table(tmp_path / "a.parquet", COLUMNS))


def test_parquet_keeps_types_and_all_digits(table):
    kinds = {"file": "string", "right": "bool", "count": "int64", "score": "double", "box": "list<element: double>"}
    assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
    assert table["score"].to_pylist() == [1 / 3, None]
    assert table["file"].to_pylist() == ["a.png", "=b.png"]


def test_values_without_a_common_type_become_json(table):
    assert table["mixed"].to_pylist() == ["1", '"two"']


def test_csv_is_short_and_holds_no_formula(tmp_path):
    columns = {name: COLUMNS[name] for name in ("file", "right", "score")}
    assert write_table(tmp_path / "a.csv", columns).read_text() == "file,right,score\na.png,1,0.333333\n'=b.png,0,\n"


def test_a_table_that_is_cut_short_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    path = write_table(tmp_path / "a.parquet", COLUMNS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"a\.parquet is cut short or no Parquet file"):
        read_parquet(path)


def test_without_pyarrow_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'cnnlab\[parquet\]'"):
        write_table(tmp_path / "a.parquet", COLUMNS)
