import numpy as np
import pytest

from cnnlab.files.signals import read_signal


def test_an_array_without_channels_becomes_one_channel(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5, dtype=np.int16))
    signal = read_signal(tmp_path / "a.npy")
    assert signal.samples[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert signal.names == ("0",)


def test_a_table_has_names_and_gaps(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n,4\nnan,6e-3\n")
    signal = read_signal(tmp_path / "a.csv")
    np.testing.assert_array_equal(signal.samples, [[1, 2], [np.nan, 4], [np.nan, 0.006]])
    assert signal.names == ("x", "y")


def test_an_empty_line_of_a_single_channel_is_a_gap(tmp_path):
    (tmp_path / "a.csv").write_text("1\n\n3\n")
    np.testing.assert_array_equal(read_signal(tmp_path / "a.csv").samples, [[1], [np.nan], [3]])


BAD = [
    ("1,2\n3\n", "line 2: 1 cells for 2 channels"),
    ("1\nfast\n", "line 2: a sample must be a number or empty, found 'fast'"),
    ("1\ninf\n", "holds infinity"),
    ("x\n", "holds no row of numbers"),
    ("", "holds no row of numbers"),
    ('"1\n', "no CSV file"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_bad_table_is_named_with_the_reason(text, words, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=words) as error:
        read_signal(tmp_path / "a.csv")
    assert str(tmp_path / "a.csv") in str(error.value)


@pytest.mark.parametrize("values", [np.zeros((2, 2, 2)), np.zeros(0), np.array(["a"]), np.zeros(3, complex)])
def test_an_array_of_other_things_than_numbers_over_time_is_refused(values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match="must hold"):
        read_signal(tmp_path / "a.npy")


def test_a_pickle_a_missing_file_and_another_suffix_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no \.npy file of numbers"):
        read_signal(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="cannot be read"):
        read_signal(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"\.npy or \.csv"):
        read_signal(tmp_path / "a.wav")
