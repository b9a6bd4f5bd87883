"""`cnnlab predict --part K/N` and `--merge` on a small run of drawn shapes: the files of one process, bit for bit."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.calibration.store import PostHoc
from cnnlab.calibration.temperature import Temperature
from cnnlab.cli import main
from cnnlab.files.tables import read_parquet
from cnnlab.predictions.predict import predict_files

FILES = 70  # a whole batch and a part of one


@pytest.fixture(autouse=True)
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(FILES):
        Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8)).save(f"photos/{i:02}.png")


def predict(run, *options):
    assert main(["predict", str(run), *options]) == 0


def parts_of(run, count, *options):
    for number in range(1, count + 1):
        predict(run, *options, "--part", f"{number}/{count}")


@pytest.mark.parametrize("form", ["json", "csv", "parquet"])
@pytest.mark.parametrize("passes", [(), ("--mc", "3")], ids=["one pass", "passes"])
def test_merged_parts_are_the_file_of_one_process(run, form, passes):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    options = ["photos", "--format", form, *passes]
    predict(run, *options, "--output", "one")
    parts_of(run, 3, *options, "--output", "several")
    assert main(["predict", "--merge", "several"]) == 0
    name = f"predictions.{form}"
    assert Path("several", name).read_bytes() == Path("one", name).read_bytes()


def test_a_file_that_cannot_be_read_changes_no_other_answer(run):
    Path("photos/05.png").write_bytes(b"no image")
    options = ["photos", "--mc", "2", "--skip-unreadable"]
    predict(run, *options, "--output", "one")
    parts_of(run, 4, *options, "--output", "several")
    assert main(["predict", "--merge", "several"]) == 0
    assert Path("several/predictions.json").read_bytes() == Path("one/predictions.json").read_bytes()
    assert len(json.loads(Path("one/predictions.json").read_text())["predictions"]) == FILES - 1


def test_a_finished_part_is_skipped(run, capsys):
    predict(run, "photos", "--part", "2/5", "--output", "out")
    (file,) = Path("out/parts").iterdir()
    before = file.stat().st_mtime_ns
    predict(run, "photos", "--part", "2/5", "--output", "out")
    captured = capsys.readouterr()
    assert "part 2 of 5 is finished" in captured.err
    assert captured.out.splitlines() == [str(file)] * 2
    assert file.stat().st_mtime_ns == before


def test_an_unfinished_part_continues_where_it_was_stopped(run, monkeypatch):
    def stopped(*arguments, **options):
        for i, found in enumerate(predict_files(*arguments, **options)):
            if i == 3:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr("cnnlab.commands.predict_answers.predict_files", stopped)
    options = ["photos", "--mc", "2", "--part", "1/2", "--output", "out"]
    assert main(["predict", str(run), *options]) == 130
    journal = Path("out/parts/00001-of-00002.begun/answers.jsonl")
    journal.write_bytes(journal.read_bytes()[:-5])  # of the third answer
    shares = []

    def spied(*arguments, share, **options):
        shares.append(share)
        return predict_files(*arguments, share=share, **options)

    monkeypatch.setattr("cnnlab.commands.predict_answers.predict_files", spied)
    predict(run, *options)
    predict(run, "photos", "--mc", "2", "--part", "2/2", "--output", "out")
    predict(run, "photos", "--mc", "2", "--output", "one")
    assert shares == [range(2, 35), range(35, 70), range(70)]
    assert main(["predict", "--merge", "out"]) == 0
    assert Path("out/predictions.json").read_bytes() == Path("one/predictions.json").read_bytes()


def test_a_killed_part_loses_and_repeats_nothing(run):
    options = [str(run), "photos", "--mc", "200", "--output"]
    process = subprocess.Popen([sys.executable, "-m", "cnnlab", "predict", *options, "out", "--part", "1/1"])
    journal, end = Path("out/parts/00001-of-00001.begun/answers.jsonl"), time.monotonic() + 60
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2) and time.monotonic() < end:
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = journal.read_text().splitlines()[1:-1]
    predict(*options, "out", "--part", "1/1")
    answered = Path("out/parts/00001-of-00001.jsonl").read_text().splitlines()[1:-1]
    assert answered[: len(before)] == before
    assert [json.loads(line)[0] for line in answered] == list(range(FILES))
    assert main(["predict", "--merge", "out"]) == 0
    predict(*options, "one")
    assert Path("out/predictions.json").read_bytes() == Path("one/predictions.json").read_bytes()


def test_a_manifest_takes_the_place_of_paths(run, capsys):
    Path("list.txt").write_text("photos/03.png\n\nphotos/01.png\n")
    predict(run, "--manifest", "list.txt")
    assert [each["file"] for each in json.loads(capsys.readouterr().out)["predictions"]] == [
        "photos/03.png",
        "photos/01.png",
    ]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "names no file"),
        ("a.png\nb.png\na.png\n", "names a.png in lines 1 and 3"),
        (None, "cannot read"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(run, capsys, lines, words):
    if lines is not None:
        Path("list.txt").write_text(lines)
    assert main(["predict", str(run), "--manifest", "list.txt"]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--part", "17/16"], "must be one of 1/N to N/N"),
        (["--part", "0/16"], "must be one of 1/N to N/N"),
        (["--part", "three"], "such as 3/16"),
        (["--part", "1/2", "--format", "coco"], "writes json, csv, parquet"),
        (["--part", "1/2", "--mc", "auto"], "auto takes as many as a whole batch needs"),
        (["--part", "1/2", "--engine", "ray"], "leave out --part"),
        (["--workers", "2"], "add --engine ray"),
        (["--part", "1/2", "--workers", "2"], "leave out --part and add --engine ray"),
        (["--manifest", "list.txt"], "takes the place of PATH"),
        (["--merge", "out"], "stands alone"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(run, capsys, options, words):
    assert main(["predict", str(run), "photos", "--output", "out", *options]) == 2
    assert words in capsys.readouterr().err


def test_parts_of_different_predictions_are_not_mixed(run, capsys):
    predict(run, "photos", "--part", "1/2", "--output", "out")
    for options, words in [
        (["photos", "--part", "2/2", "--mc", "2"], "its mc is null, here it is 2"),
        (["photos/01.png", "--part", "2/2"], "its files is 70, here it is 1"),
        (["photos", "--part", "2/3"], "part 1 of 2 and part 2 of 3 overlap"),
    ]:
        assert main(["predict", str(run), *options, "--output", "out"]) == 1
        assert words in capsys.readouterr().err


def test_an_unfinished_part_of_another_division_is_noticed_at_the_start(run, capsys):
    predict(run, "photos", "--part", "1/2", "--output", "out")
    file = Path("out/parts/00001-of-00002.jsonl")
    begun = Path("out/parts/00001-of-00002.begun/answers.jsonl")
    begun.parent.mkdir()
    begun.write_text("".join(file.read_text().splitlines(keepends=True)[:4]))  # as before its last answers
    file.unlink()
    assert main(["predict", str(run), "photos", "--part", "2/3", "--output", "out"]) == 1
    assert f"part 1 of 2 and part 2 of 3 overlap (found {begun})" in capsys.readouterr().err
    assert [path.name for path in Path("out/parts").iterdir()] == ["00001-of-00002.begun"]
    predict(run, "photos", "--part", "2/2", "--output", "out")


def test_parts_before_and_after_a_new_calibration_are_not_mixed(run, monkeypatch, capsys):
    for number, temperature, code in (("1/2", 1.5, 0), ("2/2", 2.0, 1)):
        fitted = PostHoc(None, 100, Temperature(temperature))
        monkeypatch.setattr("cnnlab.commands.predict_answers.load_post_hoc", lambda *_, fitted=fitted, **__: fitted)
        options = ["photos", "--part", number, "--calibrated", "--output", "out"]
        assert main(["predict", str(run), *options]) == code
    assert "its calibration is" in capsys.readouterr().err


def test_parts_are_merged_from_another_directory_than_that_of_the_predictions(run, monkeypatch):
    Path("run").symlink_to(run)
    parts_of("run", 2, "photos", "--output", "out")
    monkeypatch.chdir("photos")
    assert main(["predict", "--merge", "../out"]) == 0


def test_a_merge_names_the_parts_that_are_missing(run, capsys):
    parts_of(run, 2, "photos", "--output", "out")
    Path("out/parts/00002-of-00002.jsonl").unlink()
    assert main(["predict", "--merge", "out"]) == 1
    assert "1 of 2 parts are missing in out/parts (2); predict each with --part 2/2" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_a_part_that_is_cut_short_is_found_and_predicted_again(run, capsys, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    options = ["photos", "--format", form, "--output", "out"]
    parts_of(run, 2, *options)
    file = sorted(Path("out/parts").iterdir())[0]
    whole = file.read_bytes()
    for short in (whole[: len(whole) // 2], whole[:-20], b""):
        file.write_bytes(short)
        assert main(["predict", "--merge", "out"]) == 1
        assert "is cut short" in capsys.readouterr().err
    predict(run, *options, "--part", "1/2")
    assert file.read_bytes() == whole


def test_two_parts_that_overlap_are_found(run, capsys):
    parts_of(run, 2, "photos", "--output", "out")
    Path("out/parts/00002-of-00002.jsonl").write_bytes(Path("out/parts/00001-of-00002.jsonl").read_bytes())
    assert main(["predict", "--merge", "out"]) == 1
    assert "holds part 1 of 2, which overlaps" in capsys.readouterr().err


def test_there_is_nothing_to_merge_in_an_empty_folder(capsys):
    assert main(["predict", "--merge", "photos"]) == 1
    assert "holds no finished part" in capsys.readouterr().err


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """Trains a segmentation of drawn shapes for one epoch and returns its run directory."""
    path = tmp_path_factory.mktemp("masks") / "run"
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("encoder_decoder"),
        data=cnnlab.Choice("shapes", annotation="mask", size=16, train=16, validation=8, test=8),
        task=cnnlab.Choice("segmentation"),
        training=cnnlab.Training(epochs=1, batch_size=8),
    )
    cnnlab.train(experiment, path, quiet=True)
    return str(path)


def files_in(folder):
    """Returns the content of every file that is no part and no file of a process, by its path."""
    files = (path for path in Path(folder).rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if "parts" not in path.parts}


@pytest.mark.parametrize("tile", ["0", "16"], ids=["photos of several sizes", "sheets"])
def test_parts_write_the_same_maps(masks, tile):
    rng = np.random.default_rng(1)
    Path("scans").mkdir()
    for i, side in enumerate((16, 16, 24, 24, 16)):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(f"scans/{i}.png")
    options = ["scans", "--tile", tile, "--mc", "2", "--output", "out"]
    predict(masks, *options)
    one = files_in(Path("out").rename("one"))
    parts_of(masks, 3, *options)
    assert main(["predict", "--merge", "out"]) == 0
    assert files_in("out") == one
    assert len(one) > 10


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--predictions", "table.parquet"],
        ["label-next", "photos", "--count", "3", "--by", "entropy", "--output", ".", "--format", "parquet"],
        ["embed", "photos", "--method", "pca", "--output", "map.png", "--format", "parquet"],
        ["predict", "photos", "--output", ".", "--format", "parquet"],
    ],
    ids=lambda command: command[0],
)
def test_commands_write_parquet_with_typed_columns(run, command):
    pytest.importorskip("pyarrow")
    assert main([command[0], str(run), *command[1:]]) == 0
    (path,) = Path().glob("*.parquet")
    kinds = {str(kind) for kind in read_parquet(path).schema.types}
    assert {"string", "double"} <= kinds or {"string", "float"} <= kinds


def test_the_name_of_a_table_and_its_format_agree(run, capsys):
    assert main(["evaluate", str(run), "--predictions", "a.csv", "--format", "parquet"]) == 2
    assert "--format parquet is for a name that ends in .parquet" in capsys.readouterr().err
