import csv
import glob
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnlab.calibration import CALIBRATIONS
from cnnlab.calibration.conformal import SCORES
from cnnlab.cli import main
from cnnlab.commands.common import print_json
from cnnlab.data import InputSpec
from cnnlab.files.photo import Photo
from cnnlab.predictions.records import save_drawings
from cnnlab.tasks import Prediction, Segmentation
from cnnlab.uncertainty.views import VIEWS

SMALL = [f"--data.{name}" for name in ("name=shapes", "size=16", "train=64", "validation=16", "test=20")]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_image(path, size=(40, 30), mode="RGB"):
    """Writes an image of random pixels and returns its path."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).convert(mode).save(path)
    return str(path)


def test_train_writes_a_run_with_figures_and_prints_the_next_commands(capsys):
    options = ["--training.epochs=1", "--model.dropout=0.2", "--training.augmentation.shift=0.1", "--run-dir=here"]
    assert main(["train", *SMALL, *options]) == 0
    out = capsys.readouterr()
    verdict, *lines = out.out.splitlines()
    assert verdict.startswith("right ")
    assert "20 test examples" in verdict
    assert [line.split()[0] for line in lines] == ["run", "figures", "next", "cnnlab", "cnnlab"]
    assert lines[2].endswith("cnnlab evaluate here --mc 50")
    page = Path("here/figures/index.html").read_text()
    for name in ("augmentation", "curves", "confusion", "wrong", "reliability"):
        assert f'src="{name}.png"' in page
    # 16x16 images shrink to 8, 4 and 2, so the first dense layer has 64 inputs, and the network
    # 61,706 - (400 - 64) * 120 - 7 * 85 parameters.
    begin = ("100 images of 3 classes, 16×16×1", "→ LeNet5, 20,791 parameters", "→ 1 epoch of ")
    for word in (*begin, "compiled in", "examples/s"):
        assert word in out.err
        assert word in Path("here/log.txt").read_text()
    assert "conv1/bias" not in out.err
    assert "conv1/bias" in Path("here/summary.txt").read_text()


def test_all_prints_every_number_and_verbose_the_parameters(capsys):
    options = ["--training.epochs=1", "--run-dir=here", "--all", "--verbose", "--figure-format=svg"]
    assert main(["train", *SMALL, *options]) == 0
    out = capsys.readouterr()
    for word in ("accuracy ↑", "nll ↓", "noise floor", "precision", "recall", "f1", "run      here"):
        assert word in out.out
    assert "conv1/bias" in out.err
    assert {path.suffix for path in Path("here/figures").iterdir()} == {".svg", ".html"}


def test_evaluate_leaves_costs_and_the_like_to_all(run, capsys):
    texts = []
    for more in ([], ["--all"]):
        assert main(["evaluate", str(run), "--mc", "3", *more]) == 0
        texts.append(capsys.readouterr().out)
    assert [("passes equivalent" in text, "--all prints" in text) for text in texts] == [(False, True), (True, False)]


def test_evaluate_prints_one_json_object_alone(run, capsys):
    assert main(["evaluate", str(run), "--mc", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    contract = {"accuracy", "balanced_accuracy", "nll", "brier", "ece", "ece_floor", "examples"}
    details = {"classes", "ece_low", "ece_high"}
    assert contract | details | {"mutual_information", "entropy", "seconds", "passes_equivalent"} == set(report)
    assert sum(record["examples"] for record in report["classes"]) == 40
    assert report["examples"] == 40


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK"])
def test_predict_reads_every_kind_of_image(run, capsys, mode):
    path = write_image("photo.tif" if mode == "CMYK" else "photo.png", mode=mode)
    assert main(["predict", str(run), path, "--mc", "3"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["predictions"]
    assert record["file"] == path
    assert record["label"] in ("disc", "square", "triangle")
    assert sum(record["probs"].values()) == pytest.approx(1, abs=1e-5)
    assert record["entropy"] >= record["mutual_information"] >= 0


def test_predict_writes_csv_of_a_folder(run, capsys, tmp_path):
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    write_image("photos/one.png")
    write_image("photos/deep/two.jpg")
    assert main(["predict", str(run), "photos", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == ["photos/deep/two.jpg", "photos/one.png"]
    assert float(rows[0]["probs.disc"]) <= 1
    assert main(["predict", str(run), "photos", "--output", "out"]) == 0
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]) == 2


def test_sixteen_bit_and_transparent_pixels_keep_their_brightness(run):
    import cnnlab
    from cnnlab.files.images import read_pixels

    spec = cnnlab.InputSpec((2, 2), 1)
    Image.fromarray(np.full((2, 2), 32896, np.uint16)).save("deep.png")
    assert np.unique(read_pixels("deep.png", **spec.layout)).tolist() == [128]
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save("clear.png")
    assert np.unique(read_pixels("clear.png", **spec.layout)).tolist() == [255]


def test_list_prints_the_names_of_the_tables(capsys):
    assert main(["list", "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert "digits-lenet5" in tables["presets"]
    assert "lenet5" in tables["models"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean 'train'"),
        (["train", "digits-lenet"], 2, "unknown preset 'digits-lenet'; did you mean 'digits-lenet5'"),
        (["train", "--model.name", "lenet6"], 2, "unknown model 'lenet6'; did you mean 'lenet5'"),
        (["train", "--data.name", "digit"], 2, "unknown data 'digit'; did you mean 'digits'"),
        (["train", "--task.name", "classify"], 2, "unknown task 'classify'"),
        (["train", "--model.dropuot", "0.5"], 2, "--model.dropout"),
        (["train", "--training.epochs", "many"], 2, "many"),
        (["train", "--training.epochs", "0"], 2, "epochs"),
        (["train", "--optimizer.learning-rate", "0"], 2, "above 0"),
        (["train", "--task.name", "segmentation"], 1, "reads the column 'mask', but digits holds image, label"),
        (["train", "--model.name", "encoder_decoder"], 1, "needs logits [B, 10]"),
        (["evaluate", "nowhere"], 1, "nowhere is no run"),
        (["evaluate"], 2, "no RUN given"),
        (["predict", "nowhere", "photo.png"], 1, "nowhere is no run"),
    ],
)
def test_misuse_exits_with_2_and_failure_with_1_and_both_print_the_reason(arguments, code, message, capsys):
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_files_that_are_no_images_are_named(run, capsys, tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    whole = write_image("whole.jpg", size=(300, 300))
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty").mkdir()
    for path, message in [
        ("notes.png", "cannot read notes.png as an image"),
        ("half.jpg", "cannot read half.jpg as an image"),
        ("missing.png", "missing.png does not exist"),
        ("empty", "empty holds no image"),
    ]:
        assert main(["predict", str(run), whole, path]) == 1
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.out == ""


def test_evaluating_a_split_that_does_not_exist_names_those_that_do(run, capsys):
    assert main(["evaluate", str(run), "--split", "tets"]) == 1
    assert "has no split 'tets'; it has train, validation, test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "names"), [("calibrate", [*CALIBRATIONS, "saved"]), ("sets", SCORES), ("views", VIEWS)]
)
def test_evaluate_offers_the_names_of_the_tables(option, names, capsys):
    assert main(["evaluate", "RUN", f"--{option}", "nonsense"]) == 2
    message = capsys.readouterr().err
    assert all(name in message for name in names)


def test_mc_without_dropout_names_the_layers(capsys):
    arguments = [*SMALL, "--training.epochs", "1", "--model.name", "linear", "--run-dir", "plain", "--json"]
    assert main(["train", *arguments]) == 0
    assert "accuracy" in json.loads(capsys.readouterr().out)
    assert main(["evaluate", "plain", "--mc", "3"]) == 1
    assert "no dropout is active in Linear" in capsys.readouterr().err


@pytest.mark.parametrize(("seeds", "number"), [("1", 3), ("2", 2)])
def test_every_command_that_train_prints_at_its_end_works(seeds, number, capsys):
    assert main(["train", *SMALL, "--training.epochs", "1", "--training.seeds", seeds]) == 0
    lines = [line.split("   (")[0].removeprefix("next") for line in capsys.readouterr().out.splitlines()]
    commands = [line.split() for line in lines if " cnnlab " in f" {line}"]
    assert len(commands) == number
    for name, *command in commands:
        assert name == "cnnlab"
        assert main([path for word in command for path in (sorted(glob.glob(word)) or [word])]) == 0


def test_other_options_get_a_directory_of_their_own_and_more_epochs_do_not():
    from cnnlab.commands.options import parse_experiment

    def directory(*arguments):
        return str(parse_experiment(arguments)[1].run_dir)

    assert directory() == "runs/digits-lenet5"
    assert directory("--training.epochs", "99") == "runs/digits-lenet5"
    assert directory("--seed", "1").startswith("runs/digits-lenet5-")
    assert directory("--seed", "1") != directory("--seed", "2")


def test_a_run_is_resumed_by_its_directory_alone(capsys):
    options = [*SMALL, "--model.name", "linear", "--optimizer.learning-rate", "0.002", "--run-dir", "here"]
    assert main(["train", *options, "--training.epochs", "1"]) == 0
    assert main(["train", "--resume", "here", "--training.epochs", "2"]) == 0
    assert len(Path("here/metrics.jsonl").read_text().splitlines()) == 2
    assert json.loads(Path("here/experiment.json").read_text())["optimizer"]["learning_rate"] == 0.002
    Path("five/seed0").mkdir(parents=True)
    Path("five/seed0/experiment.json").write_text("{}")
    for wrong, message in (
        (["--resume", "nowhere"], "nowhere is no run"),
        (["--resume", "five"], "five holds several runs; resume one, such as --resume five/seed0, or repeat"),
        (["--resume", "here", "--run-dir", "b"], "leave --run-dir b out"),
        (["digits-linear", "--resume", "here"], "the preset digits-linear"),
        (["--resume", "here", "--model.name", "dense"], "another --model.name"),
    ):
        assert main(["train", *wrong]) == 2
        assert message in capsys.readouterr().err


def test_drawn_masks_are_learnt_and_predicted_for_photos_and_sheets(capsys, tmp_path):
    shapes = "--data.name shapes --data.annotation mask --task.name segmentation --model.name encoder_decoder"
    shrunk = [f"--{name}" for name in ("data.train=64", "data.validation=16", "data.test=16", "training.epochs=1")]
    assert main(["train", *shapes.split(), *shrunk, "--run-dir", "masks"]) == 0
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    photos = [write_image("a/1.png"), write_image("b/1.png")]
    capsys.readouterr()
    assert main(["predict", "masks", *photos, "--output", "out"]) == 0
    records = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert len({record["mask"] for record in records}) == 2
    assert Image.open(records[0]["mask"]).size == (40, 30)
    assert sum(records[0]["share"].values()) == pytest.approx(1)
    assert main(["predict", "masks", photos[0], "--tile", "32", "--mc", "2", "--output", "sheet"]) == 0
    assert Image.open("sheet/mutual_information.png").size == (40, 30)


def test_masks_of_a_photo_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # an upright phone
    Image.new("L", (80, 40)).save(tmp_path / "photo.jpg", exif=exif)
    prediction = Prediction(mask=np.zeros((8, 8), np.int32), probs=np.full((8, 8, 2), 0.5))
    spec = InputSpec((8, 8), classes=("a", "b"))
    photo = Photo(tmp_path / "photo.jpg")
    files = save_drawings(Segmentation(), prediction, spec, photo, tmp_path / "photo")
    assert Image.open(files["mask"]).size == (40, 80)
    assert np.unique(Image.open(files["mean"])).tolist() == [128]  # half of 255


def test_json_has_null_for_nan_and_infinity(capsys):
    print_json({"nll": float("inf"), "classes": [{"iou": float("nan"), "pixels": 0}]})
    assert json.loads(capsys.readouterr().out) == {"nll": None, "classes": [{"iou": None, "pixels": 0}]}


def test_a_reader_that_closes_the_pipe_causes_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "cnnlab", "list"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.stderr == b""


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("0.")


def test_evaluate_takes_automatic_passes_or_several_runs(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--mc", "auto", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_samples"] >= 10
    shutil.copytree(run, tmp_path / "same")
    assert main(["evaluate", str(run), str(tmp_path / "same"), "--ensemble", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mutual_information"] == pytest.approx(0, abs=1e-6)
    assert main(["evaluate", "--json"]) == 2
    assert "no RUN given" in capsys.readouterr().err


EVIL = ["a\x1b[31mX", "[/red]x", "=cmd|x", "<script>x", "$a$b"]


def test_class_names_reach_no_output_as_code(tmp_path, capsys):
    for name in EVIL:
        for i in range(12):
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((16, 16, 3), i * 20, np.uint8)).save(tmp_path / "photos" / name / f"{i}.png")
    options = "--data.size 16 --model.name linear --training.epochs 1 --training.batch-size 8 --run-dir run"
    assert main(["train", "--data.path", "photos", *options.split()]) == 0
    assert main(["evaluate", "run", "--figures", "report"]) == 0
    photo = str(next((tmp_path / "photos" / EVIL[0]).glob("*.png")))
    assert main(["predict", "run", photo, "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b[31m" not in out + err
    header = next(line for line in out.splitlines() if line.startswith("file,"))
    assert "probs.=cmd|x" in header  # a formula begins the cell, or is none
    report = (tmp_path / "report" / "report.md").read_text()
    assert "<script>" not in report
    assert all(line.count("|") - line.count("\\|") in (0, 3) or "---" in line for line in report.splitlines()[:9])


def test_files_of_any_name_are_written_below_the_output_alone(tmp_path, run, capsys):
    names = ["...png", "x" * 251 + ".png", "\x1b[2Jb.png"]
    (tmp_path / "in").mkdir()
    for name in names:
        Image.new("L", (16, 16)).save(tmp_path / "in" / name, "PNG")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".predictions.json.part").symlink_to(victim)
    (tmp_path / "out" / "predictions.json").symlink_to(victim)
    assert main(["predict", str(run), *(str(tmp_path / "in" / name) for name in names), "--output", "out"]) == 0
    assert victim.read_text() == "precious"
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]) == 3
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out", "victim"}


SWALLOWED = """
import gc, sys, time
from cnnlab import cli

class Command:
    def run(arguments):
        def callback(*_):
            gc.callbacks.remove(callback)
            raise KeyboardInterrupt
        gc.callbacks.append(callback)
        gc.collect()
        time.sleep(20)

cli.COMMANDS["list"] = Command
sys.exit(cli.main(["list"]))
"""


def test_an_interrupt_ends_a_command_with_130_also_from_a_callback_that_swallows_it():
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "cnnlab: interrupted\n")


def test_an_interrupt_while_the_program_is_imported_ends_it_with_130_and_no_traceback():
    code = "import builtins, sys\nfrom cnnlab.__main__ import main\nbefore = builtins.__import__\n"
    code += "def fail(name, *rest, **more):\n    if name == 'cnnlab': raise KeyboardInterrupt\n"
    code += "    return before(name, *rest, **more)\nbuiltins.__import__ = fail\nsys.exit(main())"
    environment = os.environ | {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (130, "cnnlab: interrupted\n")


def test_folders_of_prepared_sets_reach_the_terminal_without_escapes(tmp_path, capsys):
    (tmp_path / "set\x1b[31m" / "1.0.0").mkdir(parents=True)
    (tmp_path / "set\x1b[31m" / "1.0.0" / "dataset_info.json").write_text("{}")
    assert main(["data", "list", "--data-dir", str(tmp_path)]) == 0
    assert r"set\x1b[31m/1.0.0" in capsys.readouterr().out
