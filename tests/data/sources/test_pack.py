"""Packs hold the examples of the folder that they were written from, and say what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import data
from cnnlab.cli import main
from cnnlab.data import records
from cnnlab.data.pack import PACK, UNFINISHED
from cnnlab.data.packing import write_pack

RNG = np.random.default_rng(0)


def photo(path, size=(14, 18)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)).save(path)


def classes(root):
    for i in range(20):
        photo(root / ("cat", "dog")[i % 2] / f"{i:02}.png")


def table(root, header, cell):
    for i in range(20):
        photo(root / f"{i:02}.png")
    (root / "targets.csv").write_text("\n".join([header, *(f"{i:02}.png,{cell(i)}" for i in range(20))]))


def masks(root):
    for i in range(10):
        photo(root / "images" / f"{i}.png", (16, 16))
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255) * RNG.integers(0, 2, (16, 16), np.uint8)).save(root / "masks" / f"{i}.png")


def boxes(root):
    for i in range(10):
        photo(root / "images" / f"{i}.png")
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.4 0.4\n" * (i % 3 + 1))
    (root / "classes.txt").write_text("cell\n")


def pairs(root):
    for i in range(20):
        photo(root / f"{i:02}.png")
    (root / "pairs.csv").write_text("above,below\n" + "".join(f"{i:02}.png,{i + 1:02}.png\n" for i in range(19)))


def signals(root):
    for i in range(20):
        (root / ("quiet", "loud")[i % 2]).mkdir(parents=True, exist_ok=True)
        np.save(root / ("quiet", "loud")[i % 2] / f"{i}.npy", RNG.normal(size=(32, 2)).astype(np.float32))


FOLDERS = {
    "classes": (classes, {"group": r"(\d)\.png$"}),
    "labels": (lambda root: table(root, "file,labels", lambda i: ("cat;dog", "dog", "")[i % 3]), {}),
    "numbers": (lambda root: table(root, "file,age,weight", lambda i: f"{i},{i / 7}"), {}),
    "strings": (lambda root: table(root, "file,text", lambda i: "19" * (i % 3 + 1)), {}),
    "masks": (masks, {"border_weight": 5.0}),
    "boxes": (boxes, {"size": 32}),
    "pairs": (pairs, {}),
    "signals": (signals, {}),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_pack_has_the_examples_splits_and_classes_of_its_folder(tmp_path, kind):
    make, options = FOLDERS[kind]
    make(tmp_path / "folder")
    folder = data.load(tmp_path / "folder", **options)
    write_pack(folder, tmp_path / "pack", column=data.kind_of(tmp_path / "folder").column)
    packed = data.load(tmp_path / "pack")
    assert packed.fingerprint() == folder.fingerprint()  # digests of all values of all columns
    assert (packed.spec, packed.remarks) == (folder.spec, folder.remarks)
    assert data.kind_of(tmp_path / "pack").column == data.kind_of(tmp_path / "folder").column


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """Packs twenty photos of two classes into files of three rows."""
    classes(tmp_path / "folder")
    monkeypatch.setattr(records, "SHARD_BYTES", 3 * 16 * 16 * 3)
    write_pack(data.folder(tmp_path / "folder", size=16), tmp_path / "pack", column="label")
    return tmp_path / "pack"


def test_rows_on_disk_are_read_in_any_order_and_from_several_files(packed):
    whole, on_disk = (data.pack(packed, memory_megabytes=size)["train"] for size in (1, 0))
    assert len(list(packed.glob("train-image-*"))) == 5  # 14 rows
    order = np.random.default_rng(1).permutation(14)
    np.testing.assert_array_equal(on_disk[order]["image"], whole[order]["image"])
    np.testing.assert_array_equal(on_disk.column("image")[13], whole.column("image")[13])
    np.testing.assert_array_equal(on_disk.column("image").take([9, 2])[1], whole.column("image")[2])
    assert (on_disk.in_memory, on_disk.files.tolist()) == (False, whole.files.tolist())


def test_training_on_a_pack_gives_the_losses_of_its_folder_and_either_network_is_evaluated_on_both(packed):
    folder = packed.parent / "folder"
    choices = [
        cnnlab.Choice("folder", path=str(folder), size=16),
        cnnlab.Choice("pack", path=str(packed), memory_megabytes=0),
    ]
    losses = []
    for number, choice in enumerate(choices):
        experiment = cnnlab.Experiment(data=choice, model="linear", training=cnnlab.Training(epochs=1, batch_size=4))
        trained = cnnlab.train(experiment, packed.parent / f"run{number}", quiet=True)
        losses.append(list(trained.history["loss"]))
    assert losses[0] == losses[1]
    with pytest.warns(UserWarning, match="examples of another folder"):
        report = cnnlab.evaluate(packed.parent / "run0", packed)
    assert report == pytest.approx(cnnlab.evaluate(packed.parent / "run1"))


def test_a_pack_of_other_sizes_than_the_network_says_what_differs(packed):
    spec = data.InputSpec((8, 8), 3, classes=("cat", "dog"))
    with pytest.raises(ValueError, match=r"was packed with the size \(16, 16\), the network needs \(8, 8\)"):
        data.labelled.labelled_folder(packed, spec, split="test", task="classification", options={})


def test_a_pack_of_pngs_is_measured_whichever_way_jpegs_are_decoded(packed):
    spec = data.InputSpec((16, 16), 3, classes=("cat", "dog"), decoding="exact")
    assert data.pack(packed).spec.decoding == "fast"
    measured = data.labelled.labelled_folder(packed, spec, split="test", task="classification", options={})
    assert len(measured["test"]) == 4


def test_a_pack_of_jpegs_that_were_decoded_in_another_way_is_refused(packed):
    names = packed / "test-files.json"
    names.write_text(names.read_text().replace(".png", ".JPG", 1))
    spec = data.InputSpec((16, 16), 3, classes=("cat", "dog"), decoding="exact")
    with pytest.raises(ValueError, match="pack the folder again with --data.decoding exact, or give the folder"):
        data.labelled.labelled_folder(packed, spec, split="test", task="classification", options={})


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-image-00001-of-00005.array_record", lambda old: old[:900] + b"\xff" + old[901:], "hash mismatch"),
        ("train-image-00001-of-00005.array_record", lambda old: old[:70_000], "cannot read"),
        ("train-image-00001-of-00005.array_record", None, "cannot read"),
        ("train-label.npy", lambda old: old[:-4], "cannot read"),
        ("train-label.npy", lambda old: old[:-4] + b"\1\0\0\1", "is not the column that was packed"),
        ("test-files.json", lambda old: b"[]", "must name the file of each example"),
        (PACK, lambda old: old.replace(b'"rows": 3', b'"rows": 0'), "pack the folder again"),
        (PACK, lambda old: old.replace(b'"version": 1', b'"version": 2'), "its version is 2, this cnnlab reads 1"),
        (PACK, lambda old: old.replace(b"uint8", b"object"), "must hold numbers, found object"),
        (PACK, lambda old: old[:-20], "is not valid JSON"),
    ],
)
def test_a_damaged_file_of_a_pack_is_named(packed, file, change, message):
    path = packed / file
    path.unlink() if change is None else path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=message) as error:
        data.pack(packed, memory_megabytes=0)["train"][np.arange(14)]
    assert file in str(error.value)


def test_an_interrupted_pack_is_continued_and_its_whole_files_stay(tmp_path, monkeypatch):
    classes(tmp_path / "folder")
    monkeypatch.setattr(records, "SHARD_BYTES", 3 * 16 * 16 * 3)
    folder, pack, rows = data.folder(tmp_path / "folder", size=16), tmp_path / "pack", 0

    def interrupt(number):
        nonlocal rows
        rows += number
        if rows > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(folder, pack, column="label", tick=interrupt)
    with pytest.raises(ValueError, match="a pack that is not finished; repeat the command"):
        data.load(pack)
    before = {path.name: path.stat().st_mtime_ns for path in pack.glob("train-image*")}
    with pytest.raises(ValueError, match="an unfinished pack of other data"):
        write_pack(data.folder(tmp_path / "folder", size=15), pack, column="label")
    write_pack(folder, pack, column="label")
    assert data.pack(pack).fingerprint() == folder.fingerprint()
    assert len(before) == 2  # the third file was not whole
    assert before == {name: (pack / name).stat().st_mtime_ns for name in before}
    assert not [path for path in pack.iterdir() if path.suffix == ".part" or path.name == UNFINISHED]


def test_a_folder_that_holds_something_else_is_not_written_into(packed, tmp_path):
    folder = data.folder(tmp_path / "folder", size=16)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").touch()
    for place, message in ((packed, "is a pack already"), (tmp_path / "other", "is not empty and holds no pack")):
        with pytest.raises(ValueError, match=message):
            write_pack(folder, place, column="label")


@pytest.mark.filterwarnings("ignore")
def test_windows_that_are_drawn_in_every_epoch_are_not_packed(tmp_path):
    masks(tmp_path / "folder")
    with pytest.raises(ValueError, match=r"draws new examples in each epoch; leave --data\.window out"):
        write_pack(data.pairs(tmp_path / "folder", window=8, crops=4), tmp_path / "pack", column="mask")


def test_the_command_packs_a_folder_with_its_options_and_names_the_next_one(tmp_path, capsys):
    classes(tmp_path / "folder")
    paths = [str(tmp_path / "folder"), "--output", str(tmp_path / "pack")]
    assert main(["data", "pack", *paths, "--data.size", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 20
    assert data.pack(tmp_path / "pack").spec.size == (8, 8)
    assert main(["data", "describe", str(tmp_path / "pack"), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "14 train" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "no folder for the pack given"),
        (("--output", "folder/pack"), "would lie in the folder"),
        (("--output", "pack", "--data.sise", "8"), "sise"),
    ],
)
def test_the_command_refuses_what_cannot_be_meant(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    classes(tmp_path / "folder")
    try:
        code = main(["data", "pack", "folder", *options])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert message in capsys.readouterr().err
