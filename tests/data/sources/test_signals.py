import csv
import json
import shutil

import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.data import from_arrays, read_signals, signals
from cnnlab.data.description import describe
from cnnlab.data.labelled import labelled_folder


@pytest.fixture
def classes(tmp_path):
    """Returns a folder of two classes with ten signals of 50 samples and two channels each."""
    rng = np.random.default_rng(0)
    for name in ("slow", "fast"):
        (tmp_path / name).mkdir()
        for i in range(10):
            np.save(tmp_path / name / f"{i}.npy", rng.normal(100, 5, (50, 2)))
    return tmp_path


def with_targets(folder, header, rows):
    with open(folder / "targets.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


def test_a_folder_of_classes_becomes_images_of_height_one_in_their_own_unit(classes):
    data = signals(classes, rate=25)
    assert data.spec.shape == (1, 50, 2)
    assert (data.spec.values, data.spec.rate, data.spec.classes) == ("signal", 25, ("fast", "slow"))
    train = data["train"].column("image")
    np.testing.assert_allclose(data.spec.mean, train.astype(np.float64).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(data.spec.std, train.astype(np.float64).std((0, 1, 2)), rtol=1e-6)
    assert [len(data[split]) for split in ("train", "validation", "test")] == [14, 2, 4]
    np.testing.assert_array_equal(data["test"].column("image")[0, 0], np.load(data["test"].files[0]).astype(np.float32))


def test_windows_of_a_file_stay_in_one_split_with_its_class(classes):
    data = signals(classes, length=20, step=15)
    assert len(data["test"]) == 4 * 3  # windows from 0, 15 and 30
    assert not set(data["train"].files) & set(data["test"].files)
    for file, label in zip(data["train"].files, data["train"].column("label"), strict=True):
        assert f"/{data.spec.classes[label]}/" in file


def test_missing_samples_are_filled_and_marked_and_shorter_signals_padded(classes):
    short = np.arange(80.0).reshape(40, 2)
    short[[3, 20], 0] = np.nan
    np.save(classes / "slow" / "3.npy", short)
    data = signals(classes)
    assert data.spec.channels == 3
    (split, i) = next((s, i) for s in data.splits for i, f in enumerate(data[s].files) if f.endswith("slow/3.npy"))
    image = data[split].column("image")[i, 0]
    assert np.flatnonzero(image[:, 2] == 0).tolist() == [3, 20, *range(40, 50)]
    assert image[3, 0] == 6  # between 4 and 8
    assert image[40:, 1].tolist() == [79] * 10
    np.testing.assert_array_equal(read_signals([classes / "slow" / "3.npy"], data.spec)[0, 0], image)
    assert signals(classes, missing="interpolate").spec.channels == 2
    with pytest.raises(ValueError, match=r"slow.3\.npy lacks samples"):
        signals(classes, missing="refuse")


def test_files_of_several_rates_get_the_lowest_or_the_one_that_is_asked_for(tmp_path):
    for i in range(20):
        rate = (100, 200)[i % 2]
        np.save(tmp_path / f"{i}.npy", np.sin(2 * np.pi * 3 * np.arange(rate) / rate))
    rows = [(f"{i}.npy", i, (100, 200)[i % 2]) for i in range(20)]
    data = signals(with_targets(tmp_path, ("file", "age", "rate"), rows))
    assert (data.spec.rate, data.spec.size, data.spec.classes) == (100, (1, 100), ("age",))
    expected = np.sin(2 * np.pi * 3 * np.arange(100) / 100)
    images = data["train"].column("image")[:, 0, :, 0]
    np.testing.assert_allclose(images[:, 20:80], np.tile(expected[20:80], (len(images), 1)), atol=0.01)
    assert any("resampled" in remark for remark in data.remarks)
    assert signals(tmp_path, rate=50).spec.size == (1, 50)


def test_clean_signals_become_a_target_a_step_whose_gaps_have_no_weight(tmp_path):
    for folder in ("signals", "targets"):
        (tmp_path / folder).mkdir()
    for i in range(20):
        clean = np.arange(10.0) + i
        np.save(tmp_path / "signals" / f"{i}.npy", clean + 0.5)
        (tmp_path / "targets" / f"{i}.csv").write_text("\n".join(["level", *map(str, clean[:9]), "nan"]))
    data = signals(tmp_path)
    train = data["train"]
    assert data.spec.classes == ("level",)
    np.testing.assert_array_equal(train.column("pixel_weight")[:, 0], [[1] * 9 + [0]] * len(train))
    np.testing.assert_allclose(train.column("clean")[..., :9, :], train.column("image")[..., :9, :] - 0.5)
    np.save(tmp_path / "signals" / "0.npy", np.zeros(9))
    with pytest.raises(ValueError, match="as long as each other"):
        signals(tmp_path)


BAD = [
    ({"rate": -1.0}, "rate must be a positive"),
    ({"missing": "drop"}, "mark, interpolate or refuse"),
    ({"length": 0}, "1 or more, found 0"),
    ({"test": 0.95}, "below 1 together"),
]


@pytest.mark.parametrize(("options", "words"), BAD)
def test_a_bad_option_is_named_with_what_is_allowed(options, words, classes):
    with pytest.raises(ValueError, match=words):
        signals(classes, **options)


def test_a_bad_folder_is_named_with_what_to_do(classes, tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        signals(tmp_path / "none")
    np.save(classes / "slow" / "3.npy", np.zeros((50, 3)))
    with pytest.raises(ValueError, match="3 channels"):
        signals(classes)
    for path in (classes / "slow").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="holds no signal"):
        signals(classes)


def test_a_rate_that_is_no_number_names_its_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(5))
    with pytest.raises(ValueError, match=r"rate of a\.npy must be a positive number"):
        signals(with_targets(tmp_path, ("file", "label", "rate"), [("a.npy", "cat", "")]))


def test_arrays_of_signals_need_no_channel_axis_and_no_unit_interval():
    x = np.random.default_rng(0).normal(1e-6, 1e-7, (20, 30))
    data = from_arrays({"train": {"image": x, "clean": x}}, values="signal", rate=10.0)
    assert data.spec.shape == (1, 30, 1)
    assert data["train"].column("clean").shape == (18, 1, 30, 1)
    assert data.spec.std[0] == pytest.approx(1e-7, rel=0.1)
    with pytest.raises(ValueError, match="must be finite"):
        from_arrays({"train": {"image": np.full((20, 30), np.nan)}}, values="signal")
    with pytest.raises(ValueError, match="must be floating point"):
        from_arrays({"train": {"image": np.zeros((20, 30), np.uint8)}}, values="signal")


def test_a_gap_at_the_edge_of_a_window_is_filled_from_the_samples_around_it(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            x = np.arange(20.0)
            x[8:12] = np.nan
            np.save(tmp_path / name / f"{i}.npy", x)
    image = signals(tmp_path, length=10)["train"].column("image")[:2, 0]
    np.testing.assert_allclose(image[..., 0], np.arange(20).reshape(2, 10))  # by the whole file, not by each window
    assert image[..., 1].tolist() == [[1] * 8 + [0] * 2, [0] * 2 + [1] * 8]


@pytest.fixture
def sine(tmp_path):
    """Returns a folder of noisy sines of 40 to 48 samples, with their clean versions."""
    rng = np.random.default_rng(0)
    for part in ("signals", "targets"):
        (tmp_path / "sine" / part).mkdir(parents=True)
    for i in range(20):
        clean = np.sin(np.arange(40 + i % 2 * 8) / 4 + i)[:, None]
        np.save(tmp_path / f"sine/signals/{i}.npy", clean + rng.normal(0, 0.1, clean.shape))
        (tmp_path / f"sine/targets/{i}.csv").write_text("position\n" + "\n".join(map(str, clean[:, 0].tolist())))
    return tmp_path / "sine"


def trained_on(folder, **options):
    training = cnnlab.Training(epochs=1, batch_size=8)
    data = cnnlab.Choice("auto", path=str(folder), **options)
    return cnnlab.train(cnnlab.Experiment(data=data, task="auto", training=training), folder.parent / "run")


def test_a_denoised_file_keeps_its_own_length_in_a_table_with_its_interval(sine, tmp_path, capsys):
    trained_on(sine, rate=20.0)
    np.save(tmp_path / "new.npy", np.zeros((90, 1)))
    arguments = [str(tmp_path / "run"), str(tmp_path / "new.npy"), "--mc", "4", "--output", str(tmp_path / "out")]
    assert main(["predict", *arguments]) == 0
    with open(tmp_path / "out" / "new.csv") as file:
        rows = [{name: float(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 90
    assert rows[1]["seconds"] == 0.05
    assert all(row["position.low"] < row["position"] < row["position.high"] for row in rows)


def test_a_file_of_a_class_is_predicted_as_its_array_is(classes, capsys):
    trained = trained_on(classes)
    file = classes / "fast" / "3.npy"
    assert main(["predict", str(classes.parent / "run"), str(file)]) == 0
    (record,) = json.loads(capsys.readouterr().out)["predictions"]
    signal = np.load(file).astype(np.float32)[None, None]
    expected = cnnlab.predict(trained, signal).probs[0]
    np.testing.assert_allclose([record["probs"][name] for name in ("fast", "slow")], expected, rtol=1e-5)


def test_a_run_is_measured_on_another_folder_of_signals_in_any_order_of_classes(classes, tmp_path_factory):
    trained = trained_on(classes)
    other = tmp_path_factory.mktemp("other")
    for place, name in (("a", "slow"), ("b", "fast")):
        shutil.copytree(classes / name, other / place)
    rows = [(f"{'a' if name == 'slow' else 'b'}/{i}.npy", name) for name in ("slow", "fast") for i in range(10)]
    with_targets(other, ("file", "label"), rows)
    data = labelled_folder(other, trained.spec, split="test", task="classification", options={})
    image = np.stack([np.load(file) for file in data["test"].files]).astype(np.float32)[:, None]
    np.testing.assert_array_equal(data["test"].column("image"), image)
    assert [trained.spec.classes[i] for i in data["test"].column("label")] == [name for _, name in rows]


def test_clean_signals_of_other_channels_are_refused(sine):
    trained = trained_on(sine)
    for file in (sine / "targets").iterdir():
        file.write_text(file.read_text().replace("position", "speed"))
    with pytest.raises(ValueError, match="clean signals of the channels speed, the network predicts position"):
        labelled_folder(sine, trained.spec, split="test", task="denoising", options={})


def test_signals_are_described_with_lengths_and_a_sheet(sine):
    description = describe(sine)
    assert description.splits == {"all": 20}
    assert description.notes[0] == "40 to 48 samples of 1 channel, median 44"
    assert len(description.draw().axes) == 9


def test_what_reads_images_says_that_a_network_takes_signals(classes, capsys):
    trained_on(classes)
    assert main(["explain", str(classes.parent / "run"), str(classes / "fast" / "3.npy")]) == 1
    assert "the network takes signals, and this reads images" in capsys.readouterr().err
