import errno
import threading
import time
import tracemalloc

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import data
from cnnlab.cli import main
from cnnlab.data import streaming
from cnnlab.data.prefetch import ahead
from cnnlab.files.images import read_header, read_pixels


def draw(path, *, seed=0, size=(12, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def photos(tmp_path):
    """Writes two classes of ten photos."""
    for i in range(20):
        draw(tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i:02}.png", seed=i)
    return tmp_path / "photos"


def write_targets(root, text):
    (root / "targets.csv").write_text(text)
    return root


def test_class_folders_are_split_stratified_by_the_seed(photos):
    dataset, again, other = data.folder(photos), data.folder(photos), data.folder(photos, seed=1)
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }
    assert np.bincount(dataset["test"].column("label")).tolist() == [2, 2]
    assert dataset.spec.classes == ("cat", "dog")
    assert dataset.fingerprint() == again.fingerprint() != other.fingerprint()


def test_split_folders_are_kept_and_a_missing_validation_is_set_aside_from_train(tmp_path):
    for split, n in (("train", 10), ("test", 3)):
        for name in ("a", "b"):
            for i in range(n):
                draw(tmp_path / split / name / f"{i}.png", seed=i)
    dataset = data.folder(tmp_path, validation=0.2)
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 16,
        "validation": 4,
        "test": 6,
    }


def test_a_class_called_train_is_no_split(tmp_path):
    for i in range(10):
        draw(tmp_path / ("train", "bus")[i % 2] / f"{i}.png", seed=i)
    assert data.folder(tmp_path).spec.classes == ("bus", "train")


@pytest.mark.parametrize(
    "names", [("Train", "Test"), ("training", "testing"), ("train", "test"), ("train2017", "val2017")]
)
def test_folders_that_look_like_splits_are_no_classes(tmp_path, names):
    for i in range(8):
        draw(tmp_path / names[i % 2] / "ab"[i // 2 % 2] / f"{i}.png", seed=i)
    draw(tmp_path / names[0] / "loose.png", seed=9)
    message = r"looks like a split, not a class: call the splits train, .*, and keep loose files out of train"
    with pytest.raises(ValueError, match=message):
        data.folder(tmp_path)


def test_runs_amid_the_photos_are_no_class(tmp_path):
    for i in range(10):
        draw(tmp_path / "ab"[i % 2] / f"{i}.png", seed=i)
    for run in (tmp_path / "mine", tmp_path / "runs" / "digits"):
        run.mkdir(parents=True)
        (run / "experiment.json").write_text("{}")
    assert data.folder(tmp_path).spec.classes == ("a", "b")


def test_files_of_many_sizes_become_squares_of_their_median_whatever_their_names(tmp_path):
    for i, side in enumerate((31, 90, 100, 104, 110, 96, 99, 101, 97, 300)):
        draw(tmp_path / "ab"[i % 2] / f"{i}.png", seed=i, size=(side, side + 4), mode="L")
    dataset = data.folder(tmp_path)
    assert dataset.spec.size == (96, 96)
    assert dataset.remarks == ("images are resized to 96×96 pixels; --data.size changes it",)
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "zzz.png")
    assert data.folder(tmp_path).spec.size == (96, 96)


def test_auto_takes_the_common_size_shrunk_to_128_and_grey_where_all_are_grey(tmp_path):
    for i in range(10):
        draw(tmp_path / "ab"[i % 2] / f"{i}.png", seed=i, size=(512, 256), mode="L")
    assert data.folder(tmp_path).spec.shape == (64, 128, 1)
    assert data.folder(tmp_path, size=16, channels=3).spec.shape == (16, 16, 3)
    assert data.folder(tmp_path, size=(8, 16)).spec.shape == (8, 16, 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
def test_every_kind_of_image_is_read_to_the_same_grey(tmp_path, mode):
    Image.new("L", (6, 6), 255).convert(mode).save(tmp_path / "white.png")
    assert np.unique(read_pixels(tmp_path / "white.png", size=(3, 3), channels=3)).tolist() == [255]


def test_a_photo_is_turned_upright_by_its_exif_tag(tmp_path):
    photo, exif = Image.new("RGB", (8, 4)), Image.Exif()
    photo.putpixel((0, 0), (255, 255, 255))
    exif[0x0112] = 6  # its left column is the top row
    photo.save(tmp_path / "phone.png", exif=exif)
    assert read_header(tmp_path / "phone.png")[0] == (8, 4)
    upright = read_pixels(tmp_path / "phone.png", size=(8, 4), channels=1)[..., 0]
    assert np.argwhere(upright > 128).tolist() == [[0, 3]]


def test_transparency_of_a_palette_is_laid_on_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "one.png", transparency=1)
    assert read_pixels(tmp_path / "one.png", size=(1, 2), channels=1).ravel().tolist() == [0, 255]


def test_what_systems_leave_in_folders_is_no_image(photos):
    for name in (".DS_Store", "Thumbs.db", "._00.png"):
        (photos / "cat" / name).write_bytes(b"none")
    dataset = data.folder(str(photos))
    assert sum(len(examples) for examples in dataset.splits.values()) == 20


def test_targets_may_begin_with_a_mark_and_quote_commas(photos):
    (photos / "cat" / "00.png").rename(photos / "cat" / "a, b.png")
    rows = "".join(f"{('cat', 'dog')[i % 2]}/{i:02}.png,{('tabby', 'pug')[i % 2]}\n" for i in range(1, 20))
    dataset = data.folder(write_targets(photos, '\ufefffile,breed\n"cat/a, b.png",tabby\n' + rows))
    assert sum(len(examples) for examples in dataset.splits.values()) == 20


@pytest.mark.parametrize("sign", [";", "\t"])
def test_targets_with_another_sign_between_cells_are_refused(photos, sign):
    with pytest.raises(ValueError, match="between its cells; save it with commas"):
        data.folder(write_targets(photos, f"file{sign}breed\ncat/00.png{sign}tabby\n"))


def test_pretrained_networks_get_the_normalisation_of_imagenet(photos):
    assert data.folder(str(photos), normalisation="imagenet").spec.mean == (0.485, 0.456, 0.406)
    with pytest.raises(ValueError, match="'imagenet' needs 3 channels, the images have 1"):
        data.folder(str(photos), normalisation="imagenet", channels=1)


def test_targets_with_one_class_column_label_the_files(photos):
    rows = "".join(f"{('cat', 'dog')[i % 2]}/{i:02}.png,{('tabby', 'pug')[i % 2]}\n" for i in range(20))
    dataset = data.folder(write_targets(photos, "file,breed\n" + rows))
    assert dataset.spec.classes == ("pug", "tabby")
    assert len(dataset["train"]) == 14


def test_targets_with_several_labels_become_zeros_and_ones(photos):
    rows = "".join(f"{('cat', 'dog')[i % 2]}/{i:02}.png,{('old;small', 'small', '')[i % 3]}\n" for i in range(20))
    dataset = data.folder(write_targets(photos, "file,labels\n" + rows))
    assert dataset.spec.classes == ("old", "small")
    # of 20 files, 7 are old and small, 7 are small, 6 are neither
    assert sum(examples.column("labels").sum() for examples in dataset.splits.values()) == 21


def test_targets_with_numbers_and_a_split_train_a_regression(photos, tmp_path):
    parts = ["train"] * 14 + ["val"] * 3 + ["test"] * 3
    rows = "".join(f"{('cat', 'dog')[i % 2]}/{i:02}.png,{i},{-i / 2},{parts[i]}\n" for i in range(20))
    dataset = data.folder(write_targets(photos, "file,age,weight,split\n" + rows))
    assert dataset.spec.classes == ("age", "weight")
    assert dataset["test"].column("target").tolist() == [[17, -8.5], [18, -9], [19, -9.5]]
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("dense", features=(4,)),
        data=cnnlab.Choice("folder", path=str(photos)),
        task=cnnlab.Choice("regression"),
        training=cnnlab.Training(epochs=1, batch_size=7),
    )
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    assert cnnlab.evaluate(tmp_path / "run")["examples"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("file,label\n", "has a header and no row"),
        ("name,label\na,b\n", "needs a column 'file'"),
        ("file,file\na,b\n", "must be unique"),
        ("file,label\n,cat\n", "line 2: the row names no file"),
        ("file,label\ncat/00.png,cat\ngone.png,dog\n", "line 3: there is no file .*gone.png"),
        ("file,label\ncat/00.png\n", "line 2: 1 cells for 2 columns"),
        ("file,label\ncat/00.png,\n", "line 2: the row has no class"),
        ("file,age\ncat/00.png,3\ndog/01.png,old\n", "line 3: age must be a finite number, found 'old'"),
        ("file,age\ncat/00.png,3\ndog/01.png,nan\n", "line 3: age must be a finite number, found 'nan'"),
        ("file,label\ncat/00.png,a\ncat/00.png,b\n", "line 3: 'cat/00.png' already occurs in line 2"),
        ("file,label\n../secret.png,a\n", "must be relative to .* found '../secret.png'"),
        ("file,label,split\ncat/00.png,a,tset\n", "line 2: unknown split 'tset'; did you mean 'test'"),
        ("file,label\ncat/00.png,a\ndog/01.png,a\n", "has one class only"),
        (
            "file,label,split\ncat/00.png,a,train\ncat/02.png,a,train\ndog/01.png,b,test\ndog/03.png,b,val\n",
            "validation has a class 'b' that train lacks",
        ),
        ("file,labels,age\ncat/00.png,a,3\n", "must stand alone"),
        ('file,label\n"cat/00.png,a\n', "is no CSV file"),
    ],
)
def test_targets_that_do_not_fit_are_named_by_their_line(photos, text, message):
    with pytest.raises(ValueError, match=message):
        data.folder(write_targets(photos, text))


def test_missing_empty_and_single_class_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="gone is no folder; give one"):
        data.folder(tmp_path / "gone")
    with pytest.raises(ValueError, match="holds no folder of images; make one"):
        data.folder(tmp_path)
    draw(tmp_path / "loose.png")
    with pytest.raises(ValueError, match="its images lie in no class"):
        data.folder(tmp_path)
    for i in range(9):
        draw(tmp_path / "cat" / f"{i}.png", seed=i)
    with pytest.raises(ValueError, match=r"has one class only \('cat'\)"):
        data.folder(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(ValueError, match="dog holds no image"):
        data.folder(tmp_path)


def test_a_test_class_that_train_lacks_is_refused(tmp_path):
    for place in ("train/a", "train/b", "test/a", "test/c"):
        draw(tmp_path / place / "1.png")
    with pytest.raises(ValueError, match="test has a class 'c' that train lacks"):
        data.folder(tmp_path)
    draw(tmp_path / "extra" / "a" / "1.png")
    with pytest.raises(ValueError, match="not 'extra'"):
        data.folder(tmp_path)


@pytest.mark.parametrize("memory", [1000, 0])
def test_damaged_files_are_named_or_skipped_and_counted(photos, memory):
    (photos / "cat" / "words.png").write_text("no image")
    whole = (photos / "dog" / "01.png").read_bytes()
    (photos / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cannot read .*(words|cut).png as an image .*--data.skip-unreadable"):
        data.folder(photos, memory_megabytes=memory)
    with pytest.warns(UserWarning, match="2 of 22 files of .* skipped; the first: cannot read"):
        dataset = data.folder(photos, memory_megabytes=memory, skip_unreadable=True)
    assert sum(len(examples) for examples in dataset.splits.values()) == 20


def test_a_failing_disk_is_no_damaged_photo_and_skips_none(photos, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(OSError, match=r"cannot read .*png now: .*Input/output error"):
        data.folder(photos, skip_unreadable=True)


def test_a_link_to_nothing_is_left_out_with_a_warning(photos):
    (photos / "cat" / "gone.png").symlink_to(photos / "nowhere.png")
    with pytest.warns(UserWarning, match=r"left out 1 file that is no image of a class: cat/gone.png"):
        data.folder(photos, size=8, channels=3)


def test_an_image_of_absurd_size_is_refused_before_it_is_decoded(photos):
    Image.new("1", (20_000, 20_000)).save(photos / "cat" / "huge.png")
    with pytest.raises(ValueError, match="huge.png"):
        data.folder(photos, size=8, channels=1)


def test_a_streamed_folder_equals_the_one_in_memory(photos):
    memory, streamed = data.folder(photos), data.folder(photos, memory_megabytes=0)
    assert not streamed["train"].in_memory
    assert memory.spec == streamed.spec
    for a, b in zip(
        data.training_batches(memory["train"], batch_size=5, seed=0, epoch=1),
        data.training_batches(streamed["train"], batch_size=5, seed=0, epoch=1),
        strict=True,
    ):
        assert all((a[name] == b[name]).all() for name in a)
    assert len(list(data.evaluation_batches(streamed["test"], batch_size=3))) == 2
    assert (streamed["test"].column("image")[1] == memory["test"].column("image")[1]).all()


def test_the_fingerprint_of_a_streamed_folder_sees_a_changed_file(photos):
    before = data.folder(photos, memory_megabytes=0).fingerprint()
    draw(photos / "cat" / "00.png", seed=99)
    after = data.folder(photos, memory_megabytes=0).fingerprint()
    assert sum(before[split] != after[split] for split in before) == 1


def test_streaming_holds_a_bounded_number_of_images(photos, monkeypatch):
    pending, most = [0], [0]
    read = streaming.ImageFiles.__getitem__

    def counted(self, indices):
        pending[0] += 1
        most[0] = max(most[0], pending[0])
        return read(self, indices)

    examples = data.folder(photos, memory_megabytes=0)["train"]
    monkeypatch.setattr(streaming.ImageFiles, "__getitem__", counted)
    for _ in data.training_batches(examples, batch_size=1, seed=0, epoch=0):
        pending[0] -= 1  # the step has used it
    assert 1 <= most[0] <= 4  # three batches pending, and one that is being read


def test_an_epoch_of_streaming_takes_a_fraction_of_the_decoded_set(tmp_path):
    for i in range(100):
        draw(tmp_path / "ab"[i % 2] / f"{i}.png", seed=i)
    examples = data.folder(tmp_path, size=256, channels=3, memory_megabytes=0)["train"]
    tracemalloc.start()
    for _ in data.training_batches(examples, batch_size=2, seed=0, epoch=0):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 70 images of 256 x 256 x 3 bytes are 13.8 MB; five batches of two are 2 MB
    assert peak < 70 * 256 * 256 * 3 / 3


def test_reading_ahead_keeps_order_passes_errors_on_and_stops_with_its_consumer():
    called = []

    def work(n):
        called.append(n)
        if n == 50:
            raise ValueError("fifty")
        return n

    results = ahead(work, range(100), depth=2)
    assert [next(results) for _ in range(5)] == list(range(5))
    results.close()
    assert len(called) <= 8
    with pytest.raises(ValueError, match="fifty"):
        list(ahead(work, range(100)))


def test_reading_ahead_on_two_threads_computes_two_results_at_once_and_keeps_their_order():
    both = threading.Barrier(2, timeout=20)
    assert list(ahead(lambda n: both.wait() * 0 + n, range(6), threads=2)) == list(range(6))


def test_data_that_was_moved_is_read_from_the_named_path(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--model.name", "linear", "--training.batch-size", "4", "--run-dir", "run", "--training.epochs"]
    assert main(["train", "--data.path", "photos", *flags, "1"]) == 0
    photos.rename(tmp_path / "moved")
    assert main(["evaluate", "run"]) == 1
    assert "photos, which is not there; say where it is now with --data.path" in capsys.readouterr().err
    assert main(["evaluate", "run", "--data.path", "moved", "--json"]) == 0
    assert main(["train", "--data.path", "moved", *flags, "2"]) == 0
    draw(tmp_path / "moved" / "cat" / "00.png", seed=99)
    capsys.readouterr()
    assert main(["evaluate", "run", "--data.path", "moved"]) == 1
    assert "was trained with other splits of" in capsys.readouterr().err


def test_a_folder_of_photos_is_trained_and_evaluated_by_two_commands(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--training.epochs", "1", "--training.batch-size", "7", "--data.size", "16", "--run-dir", "runs/photos"]
    assert main(["train", "--data.path", "photos", *options, "--data.memory-megabytes", "0"]) == 0
    monkeypatch.chdir(photos)
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "runs" / "photos"), "--json"]) == 0
    assert '"examples": 4' in capsys.readouterr().out


def test_subfolders_links_and_suffixes_in_any_case_count_and_other_files_are_named(tmp_path):
    for i in range(20):
        folder = tmp_path / (".elsewhere", "b")[i % 2] / ("night" if i > 9 else "")
        draw(folder / f"{i}{('.png', '.PNG')[i % 4 == 0]}", seed=i)
    (tmp_path / "a").symlink_to(tmp_path / ".elsewhere")
    for name in ("a/._1.png", "b/Thumbs.db", "b/notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"left out 1 file that is no image of a class: b/notes\.txt$"):
        found = data.folder(tmp_path)
    assert found.spec.classes == ("a", "b")
    assert sum(map(len, found.splits.values())) == 20


def names(root):
    return [path.relative_to(root).as_posix() for path in root.rglob("*.png")]


def test_tables_of_very_many_columns_or_labels_cost_little(photos):
    columns = ",".join(f"c{i}" for i in range(20_000))
    write_targets(photos, f"file,{columns},c0\n")
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"column names must be unique and not empty, found 'file,c0,.*\.\.\.$"):
        data.folder(str(photos))
    rows = [f"{name},{';'.join(f'{i}_{j}' for j in range(4000))}" for i, name in enumerate(sorted(names(photos)))]
    write_targets(photos, "\n".join(["file,labels", *rows]))
    with pytest.raises(ValueError, match="has 80,000 labels in 20 rows, which is too many"):
        data.folder(str(photos))
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("decoding", ["fast", "exact"])
def test_a_network_reads_photos_to_predict_as_its_training_did(tmp_path, decoding):
    for i in range(20):
        draw(tmp_path / ("cat", "dog")[i % 2] / f"{i:02}.jpg", seed=i, size=(90, 80))
    dataset = data.folder(tmp_path, size=16, decoding=decoding)
    first = dataset["test"]
    np.testing.assert_array_equal(read_pixels(first.files[0], **dataset.spec.layout), first[[0]]["image"][0])
    assert dataset.spec.layout["decoding"] == decoding
