"""Text and JSON files that are damaged are named."""

import os

import pytest

from cnnlab.files.text import read_json, read_text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "is not valid JSON"),
        ("[NaN]", "NaN is not a number of JSON"),
        ("-Infinity", "-Infinity is not a number"),
        ("", "is not valid JSON"),
    ],
)
def test_what_is_no_json_names_the_file(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_json(path, limit=1_000_000)
    assert str(path) in str(error.value)


def test_bytes_that_are_no_utf_8_a_pipe_and_a_large_file_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="not UTF-8"):
        read_text(tmp_path / "a", limit=10)
    os.mkfifo(tmp_path / "b")
    with pytest.raises(ValueError, match="not a regular file"):
        read_text(tmp_path / "b", limit=10)
    with pytest.raises(ValueError, match="2 bytes, more than the 1 of a text file"):
        read_text(tmp_path / "a", limit=1)
    with pytest.raises(ValueError, match="cannot read .*c"):
        read_text(tmp_path / "c", limit=1)
