"""The shell commands of docs/, each run as it is written on data that takes seconds; `.ci/full` sets CNNLAB_PAGES=1."""

import itertools
import json
import os
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_documentation import PAGES, README, ROOT, commands, draw_folders

from cnnlab.cli import main
from cnnlab.data import kind_of
from cnnlab.files.video import Frame, write_video

pytestmark = pytest.mark.skipif(os.environ.get("CNNLAB_PAGES") != "1", reason="takes minutes; set CNNLAB_PAGES=1")

BY_HAND = {
    "draw": "a server",
    "serve": "a server",
    "--init-from": "weights of other software",
    "--data.column": "a GeoPackage",
    "s3://bucket/run": "a bucket",
    "s3://bucket/out": "a bucket",
    "--distributed": "several processes",
}
"""What these commands need; the tests of servers, `import_torch`, sheets, S3 and several processes stand for them."""

RUNS = {
    "cluster.md": "runs/photos",
    "data-formats.md": "runs/boxes",
    "decisions.md": "runs/first",
    "detection.md": "runs/boxes",
    "embeddings.md": "runs/named",
    "explanations.md": "runs/named",
    "features.md": "runs/named",
    "figures.md": "runs/photos",
    "labelling.md": "runs/photos",
    "ranking.md": "runs/alike",
    "runs.md": "runs/photos",
    "strings.md": "runs/strips",
    "signals.md": "runs/signals",
}
"""The run that RUN stands for on each page."""

SMALLER = {
    "cluster.md": {"30": "2"},
    "data-formats.md": {"DIR": "export/"},
    "decisions.md": {"0.01": "0.2", "fashion_mnist": "plots/images"},
    "detection.md": {"BCCD/": "export/", "320": "64", "24": "4"},
    "embeddings.md": {"new/": "plots/images", "umap": "pca", "17": "0", "25": "1", "31": "2"},
    "explanations.md": {"1024": "0", "2048": "0", "250": "3"},
    "features.md": {"car": "1", "20": "2", "1024": "64", "5": "2", "16": "4"},
    "labelling.md": {"unlabelled/": "new/", "labelled/": "photos/", "RUN2": "runs/mine", "RUN3": "runs/a", "50": "3"},
    "runs.md": {"60": "3", "--training.seeds=5": "--training.seeds=2"},
    "signals.md": {"250": "32", "125": "16", "new.csv": "records/walk/0.npy", "other/": "records/"},
    "segmentation.md": {
        "256": "32",
        "16": "4",
        "4800": "128",
        "5400": "160",
        "6288": "192",
        "labels.gpkg": "labels.png",
    },
    "strings.md": {"DIR": "years/", "30": "2"},
}
"""Arguments of a page that are smaller here."""

ADDED = {
    "plots/": ["--model.width=2"],
    "sheet.tif": ["--model.width=2"],
    "strips-reader": ["--data.train=64", "--data.validation=16", "--data.test=16"],
}
"""Options that make a training smaller, by a word of the command."""

QUICK = "--training.epochs=1"
LENET = ["--model.name=lenet5", "--model.dropout=0.3", "--data.size=28"]
YOLO = [
    "--task.name=detection",
    "--task.kind=anchors",
    "--model.name=yolo_small",
    "--model.stride=16",
    "--model.width=4",
]


def draw_more_folders():
    """Draws what the pages name beyond the README: photos of named classes, a labelled sheet, strips, a video."""
    draw_folders()
    Path("photos.txt").write_text("new/one.png\nsheet.png\n")
    rng = np.random.default_rng(1)
    for i, name in itertools.product(range(12), ("car", "4", "9")):
        Path(f"named/{name}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(f"named/{name}/{i}.png")
    for place in ("photo.jpg", "a.jpg", "b.jpg", "photo.png", "digit.png", "other/green/1.png", "other/dark/1.png"):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(place)
    for name in ("strip", *(f"years/{i}" for i in range(20))):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 96), np.uint8)).save(f"{name}.png")
    Path("years/targets.csv").write_text("file,text\n" + "".join(f"{i}.png,{1900 + i}\n" for i in range(20)))
    for i, name in itertools.product(range(12), ("records/walk", "records/run", "noisy/signals", "noisy/targets")):
        Path(name).mkdir(parents=True, exist_ok=True)
        np.save(f"{name}/{i}.npy", rng.normal(size=64))
    for folder, number in (("streets", 16), ("other-streets", 12)):
        Path(folder).mkdir()
        for i in range(number):
            Image.fromarray(rng.integers(0, 100 + 10 * i, (40, 40, 3), np.uint8)).save(f"{folder}/{i}.png")
        rows = "".join(f"{i}.png,{j}.png\n" for i, j in itertools.combinations(reversed(range(number)), 2))
        Path(f"{folder}/pairs.csv").write_text(f"above,below\n{rows}")
    mask = np.zeros((64, 192), np.uint8)
    mask[16:48, ::2] = 1
    Image.fromarray(np.where(mask[..., None], 200, rng.integers(0, 99, (64, 192, 3))).astype(np.uint8)).save(
        "sheet.tif"
    )
    Image.fromarray(mask).save("labels.png")
    with write_video(Path("clip.mp4"), size=(64, 64), rate=Fraction(25)) as write:
        for i in range(4):
            write(Frame(rng.integers(0, 255, (64, 64, 3), np.uint8), Fraction(i, 25)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the data and the runs that the pages name."""
    here, folder = Path.cwd(), tmp_path_factory.mktemp("pages")
    os.chdir(folder)
    draw_more_folders()
    for run, options in {
        "runs/photos": ["--data.path=photos/", *LENET],
        "runs/named": ["--data.path=named/", *LENET],
        "runs/boxes": ["--data.path=export/", "--data.size=64", *YOLO],
        "runs/map": ["--data.path=plots/", "--task.name=segmentation", "--model.name=unet", "--model.width=2"],
        "runs/signals": ["--data.name=signals", "--data.path=records/", "--data.rate=50", "--model.name=tcn"],
        "runs/streets": ["--data.path=streets/"],
        "runs/alike": ["--data.path=photos/", "--task.name=ranking", *LENET],
        "runs/first": ["digits-lenet5"],
        "runs/strips": ["strips-reader", "--data.train=64", "--data.validation=16", "--data.test=16"],
    }.items():
        assert main(["train", *options, QUICK, f"--run-dir={run}"]) == 0
    for name in ("mine", "a", "b"):
        assert main(["train", "--data.path=photos/", *LENET, QUICK, f"--run-dir=runs/{name}"]) == 0
    yield folder
    os.chdir(here)


def listed():
    """Yields the commands of all pages, with the name of the page."""
    for page in PAGES:
        if page != README:
            for arguments in commands(page):
                if not any(word in arguments for word in BY_HAND):
                    yield pytest.param(page.name, arguments, id=f"{page.relative_to(ROOT)}: {' '.join(arguments)}")


@pytest.mark.parametrize(("page", "arguments"), [*listed()])
def test_a_command_runs_as_it_is_written(page, arguments, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    run = "runs/map" if "dream" in arguments else RUNS.get(page, "runs/first")
    smaller = {**SMALLER.get(page, {}), "RUN": run}
    arguments = [smaller.get(argument, argument) for argument in arguments]
    more = []
    if arguments[0] == "train" and "--resume" not in arguments:
        more = [QUICK, *itertools.chain(*(own for word, own in ADDED.items() if word in arguments))]
    assert main([*arguments, *more]) == 0, capsys.readouterr().err


def shown(page, kind):
    """Returns the text of the only block of this kind on a page."""
    (text,) = re.findall(rf"```{kind}\n(.*?)\n```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    return text


def test_the_page_of_signals_shows_the_receptive_field_that_is_printed(place, capsys):
    assert main(["summary", "runs/signals"]) == 0
    assert shown("signals.md", "text") in capsys.readouterr().out


def test_the_page_of_data_formats_shows_how_blood_cells_are_read(monkeypatch):
    data = ROOT.parent / "shared" / "data" / "bccd"
    if not data.exists():
        pytest.skip("needs ../shared/data/bccd")
    assert shown("data-formats.md", "text") == f"BCCD: {kind_of(data / 'BCCD')}"


def test_the_page_of_the_server_shows_the_entries_of_a_prediction(place, capsys):
    assert main(["predict", "runs/first", "digit.png"]) == 0
    ((record,), (example,)) = (
        json.loads(text)["predictions"] for text in (capsys.readouterr().out, shown("serve.md", "json"))
    )
    assert list(example) == list(record)
    assert set(example["probs"]) < set(record["probs"])
