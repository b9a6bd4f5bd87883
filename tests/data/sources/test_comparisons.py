import json

import numpy as np
import pytest
from PIL import Image

from cnnlab import data
from cnnlab.cli import main
from cnnlab.data.comparisons import divide_pairs, read_comparisons
from cnnlab.data.duplicates import find_duplicates
from cnnlab.data.labelled import labelled_folder


def write(root, rows, *, number=8, header="above,below"):
    """Writes photos of one grey each, 0.png the darkest, and the table."""
    for i in range(number):
        (root / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(root / "photos" / f"{i}.png")
    (root / "pairs.csv").write_text("\n".join([header, *rows]))
    return str(root)


def pairs(*numbers):
    return [f"photos/{above}.png,photos/{below}.png" for above, below in numbers]


RING = pairs(*[((i + 1) % 8, i) for i in range(8)], *[((i + 3) % 8, i) for i in range(8)])


@pytest.mark.parametrize("memory_megabytes", [1000, 0])
def test_each_pair_gives_the_photo_above_and_the_photo_below(tmp_path, memory_megabytes):
    dataset = data.comparisons(write(tmp_path, RING), memory_megabytes=memory_megabytes)
    assert dataset.spec.classes == ("score",)
    for examples in dataset.splits.values():
        rows = examples[np.arange(len(examples))]
        assert rows["above"].tolist() == [1, 0] * (len(rows["pair"]) // 2)
        assert (rows["pair"][::2] == rows["pair"][1::2]).all()
        assert (rows["image"][:, 0, 0, 0] == 20 * rows["photo"]).all()
        assert [file.rsplit("/", 1)[1] for file in examples.files] == [f"{i}.png" for i in rows["photo"]]
        step = (rows["photo"][::2] - rows["photo"][1::2]) % 8
        assert np.isin(step, (1, 3)).all()


def test_no_photo_for_the_test_is_in_another_pair_and_every_pair_is_in_one_split(tmp_path):
    dataset = data.comparisons(write(tmp_path, RING))
    photos = {split: examples.column("photo").reshape(-1, 2) for split, examples in dataset.splits.items()}
    assert sum(map(len, photos.values())) == len(RING)
    seen = set(photos["train"].ravel()) | set(photos["validation"].ravel())
    assert all(set(pair) - seen for pair in photos["test"])  # one photo at least is new
    assert all(set(pair) - set(photos["train"].ravel()) for pair in photos["validation"])
    assert "20 % for test), and a pair with a photo for test is in test" in dataset.remarks[0]


def test_photos_of_a_group_are_divided_together():
    chain = np.stack([np.arange(1, 40), np.arange(39)], 1)
    inside = chain[chain[:, 0] // 4 == chain[:, 1] // 4]  # of ten groups of four photos
    parts = divide_pairs(inside, np.arange(40) // 4, {"train": 0.7, "validation": 0.1, "test": 0.2}, seed=0)
    assert {name: int((parts == name).sum()) // 3 for name in set(parts)} == {"train": 7, "validation": 1, "test": 2}


def test_a_column_says_the_split_and_photos_in_several_are_told(tmp_path):
    rows = ["photos/1.png,photos/0.png,train", "photos/3.png,photos/2.png,val", "photos/4.png,photos/1.png,test"]
    dataset = data.comparisons(write(tmp_path, rows, header="above,below,split"))
    assert {split: len(examples) for split, examples in dataset.splits.items()} == dict.fromkeys(dataset.splits, 2)
    assert dataset.remarks[0].startswith("1 of 5 photos are in pairs of several splits of pairs.csv")


def test_a_known_photo_in_a_test_pair_is_no_duplicate_but_a_copy_of_it_is(tmp_path):
    rows = ["photos/1.png,photos/0.png,train", "photos/2.png,photos/1.png,validation", "photos/3.png,photos/1.png,test"]
    place = write(tmp_path, rows, header="above,below,split")
    assert find_duplicates(data.comparisons(place)) == {}
    (tmp_path / "photos" / "3.png").write_bytes((tmp_path / "photos" / "0.png").read_bytes())
    assert find_duplicates(data.comparisons(place))["train", "test"].same == 1


def test_repeated_and_contradicting_pairs_stay_and_are_counted(tmp_path):
    write(tmp_path, pairs((1, 0), (1, 0), (0, 1), (3, 2)))
    listing = read_comparisons(tmp_path)
    assert len(listing.pairs) == 4
    assert [said.split(" of ")[0] for said in listing.remarks()] == ["1 row", "1 pair"]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "above,below", "has a header and no row; add one row per pair"),
        (pairs((1, 0), (2, 2)), "above,below", r"line 3: 'photos/2.png' is above itself; name two files"),
        (pairs((1, 9)), "above,below", "line 2: there is no file .*9.png; add it or remove the row"),
        (["../a.png,photos/1.png"], "above,below", "line 2: above must be relative to .* and inside it"),
        ([",photos/1.png"], "above,below", "fill in its cell 'above'"),
        (
            pairs((1, 0)),
            "first,second",
            "must have the columns 'above', 'below' .*, found 'first,second'",
        ),
        (["photos/1.png,photos/0.png,dev"], "above,below,split", "line 2: .*split 'dev'"),
        (pairs((1, 0)), "above,below", "leaves no pair for the split .*, of 1 pairs of 2 photos; add pairs"),
        (["photos/1.png,photos/0.png,test"], "above,below,split", "leaves no pair for the split 'train'"),
    ],
)
def test_wrong_tables_are_refused_with_their_line(tmp_path, rows, header, message):
    with pytest.raises(ValueError, match=message):
        data.comparisons(write(tmp_path, rows, header=header))


def test_a_folder_without_the_table_says_what_to_add(tmp_path):
    with pytest.raises(ValueError, match="has no pairs.csv; add one with the header above,below"):
        data.load(tmp_path, task="scoring")


def test_pairs_with_a_damaged_file_are_left_out_on_request(tmp_path):
    place = write(tmp_path, RING)
    (tmp_path / "photos" / "5.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"5\.png.*--data.skip-unreadable"):
        data.comparisons(place, size=8, channels=1)
    with pytest.warns(UserWarning, match="4 of 16 pairs of .* skipped, because 1 files cannot be read"):
        dataset = data.comparisons(place, skip_unreadable=True)
    assert sum(map(len, dataset.splits.values())) == 24


def test_the_table_decides_unless_there_are_targets_or_another_task(tmp_path):
    write(tmp_path, RING)
    assert data.kind_of(tmp_path)[:2] == ("comparisons", None)
    assert data.kind_of(tmp_path, "classification").source == "folder"
    (tmp_path / "targets.csv").write_text("file,label\nphotos/0.png,a\n")
    assert data.kind_of(tmp_path).source == "folder"
    assert data.kind_of(tmp_path, "scoring").column == "pair"


def test_a_description_counts_pairs_and_photos(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, RING)
    assert main(["data", "describe", str(tmp_path), "--json"]) == 0
    described = json.loads(capsys.readouterr().out)
    assert described["splits"] == {"all": 16}
    assert described["notes"] == ["8 photos, in 4 to 4 pairs, median 4"]


def test_another_folder_of_pairs_is_read_in_the_network_s_size(tmp_path):
    spec = data.InputSpec((4, 4), 1, (0.5,), (0.5,), ("score",))
    write(tmp_path, RING)
    dataset = labelled_folder(tmp_path, spec, split="test", task="scoring", options={})
    assert dataset["test"].column("image").shape == (32, 4, 4, 1)
