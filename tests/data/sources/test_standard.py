import dataclasses
import functools
import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading

import numpy as np
import pytest

from cnnlab import data
from cnnlab.cli import main
from cnnlab.data import inventory
from cnnlab.data.sources import standard as builders
from cnnlab.data.sources.decoded import load_or_decode
from cnnlab.data.sources.published import STANDARD, File, Standard, find_raw
from cnnlab.data.sources.tfds import tfds

IMAGES = {n: np.random.default_rng(n).integers(0, 256, (n, 28, 28), np.uint8) for n in (60, 20)}


def idx(values):
    axes = np.array(values.shape, ">i4").tobytes()
    return bytes((0, 0, 8, values.ndim)) + axes + values.astype(np.uint8).tobytes()


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """Writes the files of a tiny `mnist` of 60 and 20 images, and enters it in the table of standard sets."""
    contents = {
        "train_images": idx(IMAGES[60]),
        "train_labels": idx(np.arange(60) % 10),
        "test_images": idx(IMAGES[20]),
        "test_labels": idx(np.arange(20) % 10),
    }
    folder, files = tmp_path / "raw", {}
    folder.mkdir()
    for key, content in contents.items():
        packed = gzip.compress(content, mtime=0)
        name = STANDARD["mnist"].files[key].name
        (folder / name).write_bytes(packed)
        digests = (hashlib.sha256(one).hexdigest() for one in (packed, content))
        files[key] = File(name, len(packed), *digests)
    monkeypatch.setitem(STANDARD, "mnist", tiny("mnist", files, {"train": 60, "test": 20}))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "prepared"))
    return folder


def tiny(name, files, sizes) -> Standard:
    return dataclasses.replace(STANDARD[name], files=files, sizes=sizes)


def test_a_set_prepared_from_files_reads_back_the_same_pixels_in_the_published_order(raw):
    builders.prepare("mnist", raw_dir=raw)
    dataset = data.load_data("mnist")
    assert (dataset["test"].column("image")[..., 0] == IMAGES[20]).all()
    assert dataset["test"].column("label").tolist() == [i % 10 for i in range(20)]
    assert len(dataset["train"]) + len(dataset["validation"]) == 60
    assert dataset.spec.classes == tuple("0123456789")


def test_decoded_arrays_are_stored_and_decoded_again_if_anything_changed(tmp_path):
    source, target, decoded = tmp_path / "files", tmp_path / "stored" / "train", []
    source.mkdir()
    (source / "a").write_text("1")

    def read():
        decoded.append((source / "a").read_text())
        return {"image": np.arange(600).reshape(6, 100), "label": np.arange(6)}

    for _ in range(2):
        assert load_or_decode(target, source, read)["image"].sum() == 599 * 300
    assert decoded == ["1"]
    raw = bytearray((target / "image.npy").read_bytes())
    raw[-1] ^= 1
    (target / "image.npy").write_bytes(raw)
    assert load_or_decode(target, source, read)["image"].sum() == 599 * 300
    (source / "a").write_text("22")
    load_or_decode(target, source, read)
    assert decoded[-2:] == ["1", "22"]


def test_a_disk_that_cannot_store_arrays_loses_nothing(tmp_path):
    (tmp_path / "file").write_text("no directory")
    assert load_or_decode(tmp_path / "file" / "train", tmp_path, lambda: {"label": np.arange(3)})["label"].sum() == 3


def test_repacked_and_unpacked_files_are_known_by_their_content(raw):
    for path in raw.iterdir():
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content, 1, mtime=5))
    images = raw / "t10k-images-idx3-ubyte.gz"
    images.with_suffix("").write_bytes(gzip.decompress(images.read_bytes()))
    images.unlink()
    assert builders.prepare("mnist", raw_dir=raw).is_dir()


def test_cifar_records_are_label_and_three_colour_planes(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    record = bytes([7]) + image.transpose(2, 0, 1).tobytes()
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(record) * 4
            archive.addfile(member, io.BytesIO(record * 4))
    file = File(path.name, 0, hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(STANDARD, "cifar10", tiny("cifar10", {"archive": file}, {"train": 20, "test": 4}))
    builders.prepare("cifar10", raw_dir=tmp_path, data_dir=tmp_path / "out")
    batch = data.load_data("cifar10", data_dir=str(tmp_path / "out"), validation=0.2)["test"][np.array([3])]
    assert (batch["image"][0] == image).all()
    assert batch["label"].tolist() == [7]


def test_an_unprepared_set_names_both_commands(raw):
    with pytest.raises(
        ValueError, match=r"mnist is not prepared in (.|\n)*prepare mnist\n(.|\n)*prepare mnist --raw-dir DIR"
    ):
        data.load_data("mnist")


def test_wrong_missing_and_overlong_files_are_named(raw):
    labels = raw / "train-labels-idx1-ubyte.gz"
    good = labels.read_bytes()
    labels.write_bytes(gzip.compress(idx(np.zeros(60))))
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte.gz has a wrong checksum: SHA-256 "):
        builders.prepare("mnist", raw_dir=raw)
    labels.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(ValueError, match="unpacks to more than"):
        builders.prepare("mnist", raw_dir=raw)
    labels.write_bytes(good[: len(good) // 2])
    with pytest.raises(ValueError, match="cannot unpack .*train-labels"):
        builders.prepare("mnist", raw_dir=raw)
    labels.unlink()
    with pytest.raises(ValueError, match="lacks train-labels-idx1-ubyte.gz"):
        builders.prepare("mnist", raw_dir=raw)
    assert not builders.prepared_path("mnist", builders.find_data_dir()).exists()


def test_an_interrupted_preparation_leaves_nothing_half_and_can_be_repeated(raw, monkeypatch):
    def stop(*arguments):
        yield from list(read(*arguments))[:30]
        raise KeyboardInterrupt

    read = builders.read_split
    monkeypatch.setattr(builders, "read_split", stop)
    with pytest.raises(KeyboardInterrupt):
        builders.prepare("mnist", raw_dir=raw)
    monkeypatch.setattr(builders, "read_split", read)
    with pytest.raises(ValueError, match="is not prepared"):
        data.load_data("mnist")
    builders.prepare("mnist", raw_dir=raw)
    assert len(data.load_data("mnist")["test"]) == 20


@pytest.mark.parametrize("damage", ["info", "shard", "cut"])
def test_a_half_prepared_directory_is_named_and_kept(raw, damage):
    path = builders.prepare("mnist", raw_dir=raw)
    shard = next(path.glob("*train.array_record*"))
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    else:
        (shard if damage == "shard" else path / "dataset_info.json").unlink()
    for attempt in (lambda: data.load_data("mnist"), lambda: builders.prepare("mnist", raw_dir=raw)):
        with pytest.raises(ValueError, match="is damaged or was prepared only in part"):
            attempt()
    assert path.is_dir()


def test_a_download_is_checked_against_its_checksum(raw, monkeypatch, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=raw))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setitem(STANDARD, "mnist", dataclasses.replace(STANDARD["mnist"], url=url))
        monkeypatch.setattr(builders._builder_class(), "url_infos", builders._url_infos(STANDARD))
        builders.prepare("mnist")
        assert (data.load_data("mnist")["test"].column("image")[..., 0] == IMAGES[20]).all()
        (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"changed on the way")
        with pytest.raises(ValueError, match=r"NonMatchingChecksumError(.|\n)*or give the files: .* --raw-dir DIR"):
            builders.prepare("mnist", data_dir=tmp_path / "other")
    finally:
        server.shutdown()


def test_a_publisher_out_of_reach_is_named_at_once(tmp_path, monkeypatch):
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    url = "http://nowhere.invalid/"  # a name that never resolves, RFC 2606
    monkeypatch.setitem(STANDARD, "mnist", dataclasses.replace(STANDARD["mnist"], url=url))
    with pytest.raises(ValueError, match=r"nowhere\.invalid, where mnist is published, was not found .* --raw-dir DIR"):
        builders.prepare("mnist", data_dir=tmp_path)


def test_any_other_prepared_set_is_read_by_its_tfds_name(raw, tmp_path):
    builders.prepare("mnist", raw_dir=raw)
    dataset = tfds("cnnlab/mnist", size=14, channels=1)
    assert dataset.spec.shape == (14, 14, 1)
    assert len(dataset["test"]) == 20
    with pytest.raises(ValueError, match="has no feature 'mask'; it has image, index, label"):
        tfds("cnnlab/mnist", label="mask")
    with pytest.raises(ValueError, match="has 80 examples, more than 0 MB"):
        tfds("cnnlab/mnist", memory_megabytes=0)


def test_a_stock_set_that_needs_tensorflow_names_the_extra(raw, capsys):
    assert main(["train", "--data.name", "cifar100"]) == 1
    assert "pip install 'cnnlab[tf]'" in capsys.readouterr().err
    assert main(["data", "prepare", "cifar100"]) == 1
    assert "pip install 'cnnlab[tf]'" in capsys.readouterr().err
    assert main(["data", "prepare", "mnits"]) == 1
    assert "did you mean 'mnist'" in capsys.readouterr().err


def test_names_that_leave_the_data_directory_are_refused():
    with pytest.raises(ValueError, match="must be a TFDS name"):
        tfds("../secret")


def test_data_list_says_what_is_ready_and_what_to_do_for_the_rest(raw, capsys):
    assert main(["data", "prepare", "mnist", "--raw-dir", str(raw)]) == 0
    capsys.readouterr()
    (builders.find_data_dir() / "cnnlab" / "kmnist" / "incomplete.ABC_1.0.0").mkdir(parents=True)
    assert main(["data", "list", "--json"]) == 0
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["data"]}
    assert entries["mnist"]["state"] == "ready"
    assert entries["mnist"]["megabytes"] > 0
    assert entries["kmnist"]["next"].startswith("cnnlab data prepare kmnist")
    assert "was interrupted" in entries["cnnlab/kmnist/incomplete.ABC_1.0.0"]["next"]
    assert main(["data", "prepare"]) == 2
    assert len(inventory.list_data()) == 17


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("digits", []),
        ("folder", ["cat/0.png"]),
        ("pairs", ["images/0.png", "masks/0.png"]),
        ("boxes", ["Annotations/0.xml"]),
    ],
)
def test_the_command_that_data_list_names_chooses_that_source(name, files, tmp_path):
    from cnnlab.commands.options import parse_experiment

    for file in files:
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
    command = data.SOURCES[name].command.split(" (")[0].replace("DIR", str(tmp_path)).split()
    assert command[:2] == ["cnnlab", "train"]
    assert parse_experiment(command[2:])[0].data.name == name


def test_the_real_sets_beside_a_checkout_have_their_published_checksums(shared, tmp_path):
    assert len(find_raw(STANDARD["fashion_mnist"], shared / "fashion_mnist")) == 4
    builders.prepare("mnist", raw_dir=shared / "mnist", data_dir=tmp_path)
    count = np.bincount(data.load_data("mnist", data_dir=str(tmp_path))["test"].column("label"))
    # the published counts of the test digits
    assert count.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
