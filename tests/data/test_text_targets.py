import numpy as np
import pytest
from PIL import Image

from cnnlab.data.labelled import labelled_folder
from cnnlab.data.sources import load_data
from cnnlab.data.targets import MAX_TEXT, read_targets


def write(root, texts, widths=(40, 60)):
    """Writes strips of 16 pixels' height, dark on light, with a table of their strings."""
    for i in range(len(texts)):
        strip = np.full((16, widths[i % len(widths)]), 200, np.uint8)
        strip[4:12, 5:20] = 10
        Image.fromarray(strip).save(root / f"{i}.png")
    rows = "".join(f'{i}.png,"{text}"\n' for i, text in enumerate(texts))
    (root / "targets.csv").write_text(f"file,text\n{rows}", encoding="utf-8")


def test_strings_become_indices_into_their_sorted_characters(tmp_path):
    write(tmp_path, ["19 b", "", "é9", "e\u0301"])  # a letter and its accent are one character
    listing = read_targets(tmp_path)
    assert listing.classes == (" ", "1", "9", "b", "é")
    assert listing.columns["text"].tolist() == [[1, 2, 0, 3], [-1] * 4, [4, 2, -1, -1], [4, -1, -1, -1]]


def test_strips_keep_their_shape_and_are_padded_with_their_background(tmp_path):
    write(tmp_path, [str(i) for i in range(20)])
    data = load_data("folder", path=str(tmp_path))
    assert data.spec.size == (32, 128)  # 60 pixels of 16 become 120 of 32, and 128 is a multiple of 16
    assert data.spec.fit == "strip"
    image = np.concatenate([data[split].column("image") for split in data.splits])[..., 0]
    assert (image[:, :, 122:] == 200).all()
    assert (image[:, 16, 12:36] < 30).all()


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["", ""], "no row has a character"), (["1" * (MAX_TEXT + 1)], "line 2: text has 1,001 characters")],
)
def test_strings_that_cannot_be_learnt_are_refused(tmp_path, texts, message):
    write(tmp_path, texts)
    with pytest.raises(ValueError, match=message):
        read_targets(tmp_path)


def test_a_column_of_strings_stands_alone(tmp_path):
    write(tmp_path, ["1"])
    (tmp_path / "targets.csv").write_text("file,text,age\n0.png,1,2\n")
    with pytest.raises(ValueError, match="'text' must stand alone"):
        read_targets(tmp_path)


def test_a_labelled_folder_of_strips_is_read_in_the_networks_alphabet(tmp_path):
    write(tmp_path, ["31", "2"])
    spec = load_strip_spec(tuple("0123"))
    examples = labelled_folder(tmp_path, spec, split="test", task="sequence", options={})["test"]
    assert examples.column("text").tolist() == [[3, 1], [2, -1]]
    assert examples.column("image").shape == (2, 28, 64, 1)
    with pytest.raises(ValueError, match="strings with '3', outside the network's alphabet '012'"):
        labelled_folder(tmp_path, load_strip_spec(tuple("012")), split="test", task="sequence", options={})


def load_strip_spec(alphabet):
    from cnnlab.data import InputSpec

    return InputSpec((28, 64), classes=alphabet, fit="strip")
