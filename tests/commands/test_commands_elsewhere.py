"""Addresses on the command line: what a command reads, what it publishes, and what it prints."""

import contextlib
import io
import json
import os
import signal

import fsspec
import pytest
from PIL import Image

from cnnlab import cli
from cnnlab.commands import COMMANDS
from cnnlab.files import cache, copying, publishing, store


@pytest.fixture
def system(memory_store, monkeypatch, run):
    """Returns fsspec's file system in memory with the small run and its example; the cache is a folder of the test."""
    monkeypatch.setattr(store, "PAUSES", ())
    for path in run.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            memory_store.pipe(f"/bucket/run/{path.relative_to(run).as_posix()}", path.read_bytes())
    photo = run.parent / "photo.png"
    Image.new("RGB", (16, 16), (200, 30, 30)).save(photo)
    memory_store.pipe("/bucket/photos/a.png", photo.read_bytes())
    return memory_store


@pytest.fixture
def seen(monkeypatch):
    """Returns the list of arguments that a command `predict` without effect gets."""
    calls = []
    monkeypatch.setattr(COMMANDS["predict"], "run", calls.append)
    monkeypatch.setattr(COMMANDS["train"], "run", calls.append)
    return calls


def test_a_prediction_names_the_addresses_of_its_photos(system, capsys):
    assert cli.main(["predict", "memory://bucket/run", "memory://bucket/photos"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [record["file"] for record in out["predictions"]] == ["memory://bucket/photos/a.png"]


def test_an_output_elsewhere_is_published(system, capsys):
    arguments = ["predict", "memory://bucket/run", "memory://bucket/photos/a.png", "--output", "memory://bucket/out"]
    assert cli.main(arguments) == 0
    stored = json.loads(system.cat("/bucket/out/predictions.json"))
    assert stored["predictions"][0]["file"] == "memory://bucket/photos/a.png"
    printed = capsys.readouterr()
    assert printed.out == "memory://bucket/out/predictions.json\n"
    assert "published  memory://bucket/out  (1 file)" in printed.err


def test_a_command_that_writes_into_a_run_elsewhere_publishes_it(system, capsys):
    assert cli.main(["evaluate", "memory://bucket/run", "--figures", "memory://bucket/run/figures"]) == 0
    assert system.exists("/bucket/run/figures/report.md")
    assert "memory://bucket/run" in capsys.readouterr().out


def test_an_error_names_the_address_and_not_the_copy(system, capsys, tmp_path):
    system.pipe("/bucket/photos/b.png", b"no image")
    assert cli.main(["predict", "memory://bucket/run", "memory://bucket/photos"]) == 1
    printed = capsys.readouterr().err
    assert "memory://bucket/photos/b.png" in printed
    assert str(tmp_path) not in printed


def test_a_missing_address_is_told_before_anything_else(system, seen, capsys):
    assert cli.main(["predict", "memory://bucket/run", "memory://bucket/nil"]) == 1
    assert not seen
    assert "memory://bucket/nil does not exist" in capsys.readouterr().err


def test_a_store_without_its_package_is_told_with_the_command_that_installs_it(capsys, seen, monkeypatch):
    def absent(*_, **__):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "url_to_fs", absent)
    assert cli.main(["predict", "s3://bucket/run", "a.png"]) == 1
    assert 'pip install "cnnlab[remote]"' in capsys.readouterr().err


def test_the_data_of_a_training_keeps_its_address_and_its_run_is_not_copied_yet(system, seen):
    assert cli.main(["train", "--data.path", "memory://bucket/photos", "--run-dir=memory://bucket/run"]) == 0
    assert seen[0][:2] == ["--data.path", "memory://bucket/photos"]
    folder = cache.here("memory://bucket/run")
    assert seen[0][2] == f"--run-dir={folder}"
    assert not folder.exists()


@pytest.mark.parametrize("output", [["--output", "memory://bucket/out"], ["--output=out"], ["--output", "out"]])
def test_a_path_after_an_output_is_read(system, seen, capsys, output):
    assert cli.main(["predict", "run", *output, "memory://bucket/nil"]) == 1
    assert "memory://bucket/nil does not exist" in capsys.readouterr().err


def test_help_copies_nothing(system, tmp_path, capsys):
    assert cli.main(["predict", "memory://bucket/run", "--help"]) == 0
    assert not (tmp_path / "cache").exists()


def test_a_command_that_fails_publishes_what_it_wrote_before(system, monkeypatch, capsys):
    def write_and_fail(arguments):
        (cache.here("memory://bucket/out")).mkdir(parents=True)
        (cache.here("memory://bucket/out") / "first.json").write_text("{}")
        raise ValueError("the second file is damaged")

    monkeypatch.setattr(COMMANDS["predict"], "run", write_and_fail)
    assert cli.main(["predict", "run", "--output", "memory://bucket/out"]) == 1
    assert system.exists("/bucket/out/first.json")


def test_the_error_of_a_command_is_told_even_if_nothing_can_be_published(system, monkeypatch, capsys):
    def fail(arguments):
        raise ValueError("the second file is damaged")

    monkeypatch.setattr(COMMANDS["predict"], "run", fail)
    monkeypatch.setattr(publishing, "publish", lambda *_, **__: (_ for _ in ()).throw(OSError("cut")))
    assert cli.main(["predict", "run", "--output", "memory://bucket/out"]) == 1
    assert capsys.readouterr().err == "cnnlab: not published: cut\ncnnlab: the second file is damaged\n"


@pytest.mark.parametrize("format", ["json", "parquet"])
def test_parts_of_machines_with_copies_of_their_own_are_merged(system, monkeypatch, tmp_path, capsys, format):
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    for i in range(5):
        system.pipe(f"/bucket/photos/{i}.png", system.cat("/bucket/photos/a.png"))
    predict = ["predict", "memory://bucket/run", "memory://bucket/photos", "--format", format]
    for number in (1, 2):
        monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / f"machine {number}"))
        assert cli.main([*predict, "--output", "memory://bucket/out", "--part", f"{number}/2"]) == 0
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "machine 3"))
    assert cli.main(["predict", "--merge", "memory://bucket/out"]) == 0
    assert system.exists(f"/bucket/out/predictions.{format}")
    stored = b"".join(system.cat(path) for path in system.find("/bucket/out"))
    assert b"machine" not in stored
    if format == "json":
        names = [record["file"] for record in json.loads(system.cat("/bucket/out/predictions.json"))["predictions"]]
    else:
        names = fetch_table(system)
    assert names == [f"memory://bucket/photos/{name}.png" for name in (*"01234", "a")]


def fetch_table(system):
    from cnnlab.files.tables import read_parquet

    return read_parquet(copying.fetch("memory://bucket/out") / "predictions.parquet")["file"].to_pylist()


@pytest.fixture
def reads(system, monkeypatch):
    """Returns the list of objects below /bucket/photos that are read; there are nine of them and a text."""
    for i in range(8):
        system.pipe(f"/bucket/photos/{i}.png", system.cat("/bucket/photos/a.png"))
    system.pipe("/bucket/photos/notes.txt", b"x")
    names, method = [], type(system).get_file

    def get_file(self, path, *arguments, **options):
        if path.startswith("/bucket/photos/"):
            names.append(path.rpartition("/")[2])
        return method(self, path, *arguments, **options)

    monkeypatch.setattr(type(system), "get_file", get_file)
    return names


PART = ["predict", "memory://bucket/run", "memory://bucket/photos", "--output", "memory://bucket/out", "--part"]


def test_a_part_copies_only_its_own_photos(reads, capsys):
    assert cli.main([*PART, "2/3"]) == 0
    assert sorted(reads) == ["3.png", "4.png", "5.png"]
    assert "left out 1 file that is no image: notes.txt" in capsys.readouterr().err


def test_the_second_part_on_a_machine_leaves_the_photos_of_the_first_one(reads):
    for number in ("1/2", "2/2", "1/2"):
        assert cli.main([*PART, number]) == 0
    assert sorted(reads) == [*(f"{i}.png" for i in range(8)), "a.png"]
    assert len(list(cache.here("memory://bucket/photos").iterdir())) == 9


def test_the_parts_of_addresses_are_the_prediction_of_one_process(system, reads):
    for number in ("1/2", "2/2"):
        assert cli.main([*PART, number]) == 0
    assert cli.main(["predict", "--merge", "memory://bucket/out"]) == 0
    assert cli.main([*PART[:3], "--output", "memory://bucket/one"]) == 0
    assert system.cat("/bucket/out/predictions.json") == system.cat("/bucket/one/predictions.json")


def test_a_part_and_a_merge_copy_no_maps_of_the_output(system, reads, monkeypatch):
    system.pipe("/bucket/out/map.tif", b"large")
    for number in ("1/2", "2/2"):
        assert cli.main([*PART, number]) == 0
    assert cli.main(["predict", "--merge", "memory://bucket/out"]) == 0
    assert not (cache.here("memory://bucket/out") / "map.tif").exists()
    assert system.cat("/bucket/out/map.tif") == b"large"
    assert system.exists("/bucket/out/predictions.json")


def test_a_merge_keeps_the_parts_that_could_not_be_published(system, reads, capsys):
    assert cli.main([*PART, "1/2"]) == 0
    unpublished = cache.here("memory://bucket/out") / "parts" / "00002-of-00002.jsonl"
    unpublished.write_text("only here")
    assert cli.main(["predict", "--merge", "memory://bucket/out"]) == 1
    assert unpublished.exists()


def test_an_ensemble_and_a_single_photo_are_predicted_in_parts(reads, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["predict", "memory://bucket/run", "memory://bucket/photos/2.png", "memory://bucket/photos/3.png"]
    assert cli.main([*arguments, "--output", "out", "--part", "1/2"]) == 0
    assert reads == ["2.png"]
    assert cli.main([*PART, "1/2", "memory://bucket/run"]) == 2  # named twice, so it was taken for a run


def test_a_file_without_a_suffix_is_read_to_know_whether_it_is_an_image(system, reads):
    system.pipe("/bucket/photos/z", system.cat("/bucket/photos/a.png"))
    system.pipe("/bucket/photos/y", b"text")
    assert cli.main([*PART, "1/5"]) == 0
    assert sorted(reads) == ["0.png", "1.png", "y", "z"]


def test_results_inside_the_folder_of_photos_are_no_photos(system, reads):
    output = ["--output", "memory://bucket/photos/out"]
    system.pipe("/bucket/photos/out/drawing.png", system.cat("/bucket/photos/a.png"))
    assert cli.main([*PART[:3], *output, "--part", "2/2"]) == 0
    assert cli.main([*PART[:3], *output]) == 0
    assert "drawing.png" not in system.cat("/bucket/photos/out/predictions.json").decode()


def test_a_manifest_mixes_addresses_and_local_files(system, reads, run, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.png").write_bytes(system.cat("/bucket/photos/a.png"))
    (tmp_path / "list.txt").write_text("memory://bucket/photos/5.png\nb.png\nmemory://bucket/photos/2.png\n")
    assert cli.main(["predict", str(run), "--manifest", "list.txt", "--output", "out"]) == 0
    names = [record["file"] for record in json.loads((tmp_path / "out/predictions.json").read_text())["predictions"]]
    assert names == ["memory://bucket/photos/5.png", "b.png", "memory://bucket/photos/2.png"]
    assert sorted(reads) == ["2.png", "5.png"]
    assert cli.main(["predict", str(run), "--manifest", "list.txt", "--part", "1/3", "--output", "parts"]) == 0


def test_a_part_of_a_manifest_copies_its_own_files_and_lists_nothing(system, reads, run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("".join(f"memory://bucket/photos/{i}.png\n" for i in range(8)))
    monkeypatch.setattr(type(system), "find", None)
    assert cli.main(["predict", str(run), "--manifest", "list.txt", "--part", "2/4", "--output", "out"]) == 0
    assert sorted(reads) == ["2.png", "3.png"]


def test_a_manifest_may_be_an_address(system, reads, capsys):
    system.pipe("/bucket/list.txt", b"memory://bucket/photos/3.png\n")
    assert cli.main(["predict", "memory://bucket/run", "--manifest", "memory://bucket/list.txt"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert [record["file"] for record in out["predictions"]] == ["memory://bucket/photos/3.png"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("memory://bucket/photos/nil.png", "memory://bucket/photos/nil.png does not exist"),
        ("https://host/a.png?key=1b2c", "has a query, which may be a key"),
        ("memory://bucket/photos", "memory://bucket/photos is a folder"),
    ],
)
def test_a_line_of_a_manifest_that_is_no_object_is_named(reads, run, capsys, tmp_path, line, words):
    (tmp_path / "list.txt").write_text(line)
    assert cli.main(["predict", str(run), "--manifest", str(tmp_path / "list.txt")]) == 1
    printed = capsys.readouterr().err
    assert words in printed
    assert "1b2c" not in printed


@pytest.mark.parametrize(
    ("end", "code"), [(KeyboardInterrupt(), 130), (SystemExit(3), 3), (RuntimeError("x"), None)], ids=repr
)
def test_what_was_finished_is_published_however_a_command_ends(system, monkeypatch, end, code):
    def write_and_end(arguments):
        cache.here("memory://bucket/out").mkdir(parents=True)
        (cache.here("memory://bucket/out") / "first.json").write_text("{}")
        raise end

    monkeypatch.setattr(COMMANDS["predict"], "run", write_and_end)
    with contextlib.nullcontext() if code else pytest.raises(RuntimeError):
        assert cli.main(["predict", "run", "--output", "memory://bucket/out"]) == code
    assert system.exists("/bucket/out/first.json")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_part_that_a_signal_stopped_goes_on_on_another_machine(reads, system, monkeypatch, tmp_path, number):
    from cnnlab.commands import predict_parts

    def stopped(*arguments):
        for i, answer in enumerate(answers(*arguments)):
            if i == 3:
                os.kill(os.getpid(), number)
            yield answer

    answers, before = predict_parts.answers, signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(predict_parts, "answers", stopped)
        assert cli.main([*PART, "1/1"]) == 128 + number
    assert signal.getsignal(signal.SIGTERM) is before
    assert len(system.cat("/bucket/out/parts/00001-of-00001.begun/answers.jsonl").splitlines()) == 4
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "other machine"))
    seen = []
    monkeypatch.setattr(
        predict_parts, "answers", lambda job, beside, places: seen.append(places) or answers(job, beside, places)
    )
    assert cli.main([*PART, "1/1"]) == 0
    assert seen == [[3, 4, 5, 6, 7, 8]]
    assert system.find("/bucket/out") == ["/bucket/out/parts/00001-of-00001.jsonl"]


def test_a_training_that_lost_its_lock_publishes_nothing(system, monkeypatch):
    def lose(arguments):
        folder = cache.here("memory://bucket/new")
        folder.mkdir(parents=True)
        (folder / "metrics.jsonl").write_text("{}")
        raise ValueError("another process trains in memory://bucket/new now")

    monkeypatch.setattr(COMMANDS["train"], "run", lose)
    assert cli.main(["train", "--run-dir", "memory://bucket/new"]) == 1
    assert not system.exists("/bucket/new")


WITH_FILES = {
    "predict": ["memory://bucket/photos", "--output", "OUT"],
    "predict csv": ["memory://bucket/photos", "--format", "csv", "--output", "OUT"],
    "predict parquet": ["memory://bucket/photos", "--format", "parquet", "--output", "OUT"],
    "predict part": ["memory://bucket/photos", "--part", "1/1", "--output", "OUT"],
    "explain": ["memory://bucket/photos/a.png", "--method", "saliency", "--output", "OUT"],
    "evaluate": ["--data.path", "memory://bucket/labelled", "--predictions", "OUT/table.csv", "--figures", "OUT"],
    "report": ["--data.path", "memory://bucket/labelled", "--output", "OUT/report.html"],
    "report md": ["--data.path", "memory://bucket/labelled", "--output", "OUT/report.md", "--format", "md"],
    "embed": ["memory://bucket/labelled", "--method", "pca", "--output", "OUT/map.html"],
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "output"),
    [
        *((name, "out") for name in WITH_FILES),
        *((name, "memory://bucket/out") for name in ("predict part", "evaluate")),
    ],
)
def test_no_output_names_a_copy_whatever_letters_the_cache_has(system, monkeypatch, tmp_path, name, output):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "Müller's_1" / "the cache"))
    for i in range(9):
        file = io.BytesIO()
        Image.new("RGB", (16, 16), (25 * i, 30, 30 * (i % 3))).save(file, format="png")
        system.pipe(f"/bucket/labelled/{('square', 'disk', 'triangle')[i % 3]}/{i}.png", file.getvalue())
    options = [option.replace("OUT", output) for option in WITH_FILES[name]]
    assert cli.main([name.split()[0], "memory://bucket/run", *options]) == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    stored = [system.cat(path) for path in system.find("/bucket/out")] + [path.read_bytes() for path in files]
    assert not [data for data in stored if b"the cache" in data]
    assert any(b"memory://bucket/" in data for data in stored)


def test_an_option_that_does_not_exist_publishes_nothing(system, capsys):
    assert cli.main(["predict", "memory://bucket/run", "--nil", "--output", "memory://bucket/out"]) == 2
    assert "publishing" not in capsys.readouterr().err


@pytest.mark.parametrize(("tile", "number"), [([], 9), (["--tile", "0"], 3)])
def test_photos_are_all_copied_only_if_their_sizes_decide_what_is_a_sheet(reads, monkeypatch, tile, number):
    monkeypatch.setattr("cnnlab.predictions.options.takes", lambda task, option: option == "tile")
    assert cli.main([*PART, "1/3", *tile]) == 0
    assert len(reads) == number
