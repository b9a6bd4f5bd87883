"""README and docs/ as they are written: commands are run or checked, links lead somewhere."""

import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.commands import COMMANDS
from cnnlab.training.experiment import TABLES, options_of

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted(p for p in ROOT.glob("docs/**/*.md") if not {"reference", "_build"} & set(p.parts))]
FASTER = {
    "photos/": ["--model.name=lenet5", "--model.dropout=0.3", "--data.size=32"],
    "plots/": ["--model.depth=2"],
}
FASTER["export/"] = ["--data.size=64", "--model.width=4"]


def commands(page):
    """Yields the arguments of each `cnnlab` command in the shell blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"(!|\S+=\S+ )?cnnlab [a-z]", line):
                yield shlex.split(line[line.index("cnnlab") :], comments=True)[1:]


def draw_folders():
    """Draws the folders that the README's commands name: photos of two classes, pairs, a COCO export, new photos."""
    for folder in ("photos/green", "photos/dark", "plots/images", "plots/masks", "export", "new"):
        Path(folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    files, boxes = [], []
    for i in range(60):
        x, y = map(int, rng.integers(4, 30, 2))
        mask = np.zeros((64, 64), np.uint8)
        mask[y : y + 24, x : x + 24] = 1
        noise = rng.integers(120, 255, (64, 64, 3)).astype(np.uint8)
        photo = Image.fromarray(np.where(mask[..., None], np.uint8([(30, 200, 30), (30, 30, 30)][i % 2]), noise))
        photo.save(f"photos/{('green', 'dark')[i % 2]}/{i}.png")
        if i < 16:
            photo.save(f"plots/images/{i}.png")
            photo.save(f"export/{i}.png")
            Image.fromarray(mask).save(f"plots/masks/{i}.png")
            files.append({"id": i, "file_name": f"{i}.png", "width": 64, "height": 64})
            boxes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [x, y, 24, 24], "area": 576, "iscrowd": 0})
    for name in ("new/one.png", "sheet.png"):
        photo.save(name)
    export = {"images": files, "annotations": boxes, "categories": [{"id": 1, "name": "block"}]}
    Path("export/annotations.json").write_text(json.dumps(export))


def test_the_shell_commands_of_the_readme_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_folders()
    for arguments in commands(README):
        faster = FASTER.get(arguments[2], []) if arguments[0] == "train" else []
        epochs = ["--training.epochs=2"] if arguments[0] == "train" else []
        assert main([*arguments, *faster, *epochs]) == 0, (arguments, capsys.readouterr().err)
    for file in ("predictions/predictions.csv", "maps/mask.png", "boxes/predictions.json", "why"):
        assert Path(file).exists(), file


def test_the_python_example_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shorter = code.replace("cnnlab.Experiment()", "cnnlab.Experiment(training=cnnlab.Training(epochs=3))")
    Path("example.py").write_text(shorter)
    names = runpy.run_path("example.py")
    assert {"accuracy", "nll", "ece", "ece_floor"} <= set(names["report"])
    assert isinstance(names["trained"], cnnlab.Trained)


def test_the_readme_has_at_most_150_lines_and_1200_words():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 1200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place = link.split("#")[0]
        generated = "reference/" in place
        assert re.match(r"https?://[\w.-]+/", link) or not place or generated or (page.parent / place).exists(), link


@pytest.fixture(scope="session")
def known_options():
    """Returns a function that lists the options of a command: those of its help, for `train` those of all choices."""
    seen = {}

    def options(command, capsys):
        if command not in seen:
            capsys.readouterr()
            main([command, "--help-all"]) and main([command, "--help"])
            seen[command] = set(re.findall(r"--[a-z][\w.-]*", capsys.readouterr().out))
            if command == "train":
                for kind, table in TABLES.items():
                    names = {name for entry in table.values() for name in options_of(entry)}
                    seen[command] |= {f"--{kind}.{name.replace('_', '-')}" for name in names}
        return seen[command]

    return options


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_and_its_options_exist(page, known_options, capsys):
    for command, *arguments in commands(page):
        assert command in COMMANDS, command
        if command != "data":
            known = known_options(command, capsys)
            for option in (each.split("=")[0] for each in arguments if each.startswith("--")):
                assert option in known or option.replace("--no-", "--").replace(".no-", ".") in known, (command, option)
