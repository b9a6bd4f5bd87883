"""Addresses: which places are addresses, and which ones are refused."""

from pathlib import Path

import pytest

from cnnlab.files.addresses import check_lasting, is_address, normal


@pytest.mark.parametrize(
    "place", ["s3://bucket/a", "GS://bucket", Path("s3://bucket/a"), "memory:/bucket", "https://host/a.png?key=1"]
)
def test_an_address_is_known_even_as_a_path(place):
    assert is_address(place)


@pytest.mark.parametrize("place", ["photos", "/photos", "C:/photos", "file:///photos", "a:b", "nil:/a", 3, None])
def test_a_local_path_is_no_address(place):
    assert not is_address(place)


def test_a_file_whose_path_looks_like_a_collapsed_address_is_a_local_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("s3:/bucket").mkdir(parents=True)
    assert not is_address("s3:/bucket")


@pytest.mark.parametrize("place", ["https://me:secret@host/a", "ftp://me:secret@host/a", "https://secret@host/a"])
def test_an_address_with_a_password_is_refused_without_repeating_it(place):
    with pytest.raises(ValueError, match="holds a password") as raised:
        normal(place)
    assert "secret" not in str(raised.value)


def test_an_address_that_climbs_out_of_its_folder_is_refused():
    with pytest.raises(ValueError, match=r"holds \. or \.\."):
        normal("s3://bucket/../other")


def test_a_setting_that_is_stored_has_no_query():
    with pytest.raises(ValueError, match="data.path https://host/a.csv has a query") as raised:
        check_lasting("https://host/a.csv?key=1b2c", "data.path")
    assert "1b2c" not in str(raised.value)
