import dataclasses
import itertools
import re
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.evaluation.compare import compare
from cnnlab.evaluation.comparison_tables import metric_rows
from cnnlab.files.atomic import lock
from cnnlab.metrics.tables import cell
from cnnlab.reports import write_report
from cnnlab.reports.content import Page
from cnnlab.reports.html import as_html
from cnnlab.reports.one import table_sections

SHAPES = {"size": 16, "train": 48, "validation": 16, "test": 20}
KINDS = {
    "classification": ("lenet5", None, {"Reliability", "Confusion", "Decisions", "Classes"}),
    "segmentation": ("encoder_decoder", "mask", {"Masks", "Confusion", "Classes"}),
    "detection": ("grid_detector", "boxes", {"Boxes", "Precision and recall", "Errors"}),
    "regression": ("lenet5", "target", {"Predictions and truth"}),
}
EVERY = {"What was trained on what", "The network", "Training", "Result on the test split", "Single examples", "Speed"}
NAMES = ("<b>bold & wide", "tall | dark")


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    """Returns a run of each task by its name; the classes of the classification hold HTML and Markdown."""
    folder, rng = tmp_path_factory.mktemp("report"), np.random.default_rng(0)
    for name, high in zip(NAMES, (100, 250), strict=True):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, high, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    found = {}
    for task, (network, annotation, _) in KINDS.items():
        drawn = cnnlab.Choice("shapes", annotation=annotation, **SHAPES)
        photos = cnnlab.Choice("folder", path=str(folder / "photos"), size=16)
        choices = {"model": network, "task": task, "data": photos if annotation is None else drawn}
        found[task] = folder / task
        cnnlab.train(dataclasses.replace(small, **choices), found[task], quiet=True)
    return found


@pytest.fixture(scope="module")
def pages(runs):
    """Returns the text of the page of each run, by the name of its task."""
    return {task: write_report(run).read_text() for task, run in runs.items()}


def parsed(text: str) -> Element:
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)


def headings(text: str) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(text).iter("h2")]


@pytest.mark.parametrize("task", KINDS)
def test_a_page_is_valid_html_that_loads_and_runs_nothing(pages, task):
    tree = parsed(pages[task])
    assert not list(tree.iter("script"))
    assert not [each for each in tree.iter() for name in each.attrib if name.startswith("on")]
    assert all(each.get("src").startswith("data:image/") for each in tree.iter("img"))
    assert all(each.get("href").startswith("#") for each in tree.iter("a"))
    assert not list(tree.iter("link"))
    assert not re.search(r"url\(|@import", pages[task])
    assert len(pages[task].encode()) <= 5_000_000


@pytest.mark.parametrize("task", KINDS)
def test_pictures_have_texts_and_headings_come_in_order(pages, task):
    tree = parsed(pages[task])
    assert list(tree.iter("img"))
    assert all(each.get("alt").strip() for each in tree.iter("img"))
    levels = [int(each.tag[1]) for each in tree.iter() if re.fullmatch("h[1-6]", str(each.tag))]
    assert levels[0] == 1 == levels.count(1)
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert {each.get("href")[1:] for each in tree.iter("a")} == set(ids)


@pytest.mark.parametrize("task", KINDS)
def test_each_task_has_sections_of_its_own(pages, task):
    assert set(headings(pages[task])) >= EVERY | KINDS[task][2]


@pytest.mark.parametrize("task", KINDS)
def test_the_numbers_are_those_of_evaluate(runs, pages, task):
    report = cnnlab.evaluate(runs[task], details=True)
    cells = [[cell.text or "" for cell in row] for row in parsed(pages[task]).iter("tr")]
    rows = {first.rstrip(" ↑↓"): second for first, second, *_ in cells}
    for name, value in report.items():
        if isinstance(value, float) and not name.endswith(("_low", "_high", "_floor")):
            assert rows[name.replace("_", " ")].split("  ")[0] == cell(name, value)


def test_names_of_classes_are_text_in_both_formats(runs, pages, tmp_path):
    assert NAMES[0] in {each.text for each in parsed(pages["classification"]).iter("th")}
    assert "<b>" not in pages["classification"]
    text = write_report(runs["classification"], tmp_path / "page.md", format="md").read_text()
    assert "<b>" not in text
    assert "| &lt;b&gt;bold &amp; wide |" in text
    assert r"| tall \| dark |" in text


@pytest.mark.parametrize("task", ["detection", "regression"])
def test_markdown_says_the_same_and_its_pictures_are_files(runs, pages, task, tmp_path):
    page = write_report(runs[task], tmp_path / "page.md", format="md")
    text, tree = page.read_text(), parsed(pages[task])
    assert re.findall("^## (.*)$", text, re.MULTILINE) == headings(pages[task])
    rules = re.findall(r"^(?:\|---)+\|$", text, re.MULTILINE)
    assert len(rules) == len(list(tree.iter("table"))) + 1  # the facts are no table in HTML
    pictures = re.findall(r"^!\[.+\]\((.+)\)$", text, re.MULTILINE)
    assert len(pictures) == len(list(tree.iter("img")))
    assert all((tmp_path / picture).is_file() for picture in pictures)


def test_a_thousand_classes_are_folded_behind_the_worst():
    rows = [{"class": f"c{i}", "examples": 1, "f1": 1 - i / 1000} for i in range(1000)]
    page = as_html(Page("Many", "", (), tuple(table_sections({"classes": rows}))))
    tree = parsed(page)
    assert [len(list(each.iter("tr"))) - 1 for each in tree.iter("table")] == [20, 1000]
    (details,) = tree.iter("details")
    assert [len(list(each.iter("tr"))) - 1 for each in details.iter("table")] == [1000]
    assert next(tree.iter("tbody")).find("tr/th").text == "c999"


def test_two_runs_stand_side_by_side_with_the_differences_of_compare(runs, small, tmp_path):
    other = tmp_path / "other"
    choices = {"model": "linear", "task": "regression", "data": cnnlab.Choice("shapes", annotation="target", **SHAPES)}
    cnnlab.train(dataclasses.replace(small, **choices), other, quiet=True)
    both = [str(runs["regression"]), str(other)]
    page = write_report(both, tmp_path / "page.html", draws=20).read_text()
    tables = [[[cell.text or "" for cell in row] for row in each.iter("tr")] for each in parsed(page).iter("table")]
    assert metric_rows(compare(both, draws=20), 0) in tables
    assert {"Differences", "The network of " + both[1]} <= set(headings(page))


def test_runs_of_different_tasks_or_classes_are_refused_by_name(runs, run, tmp_path):
    for first, second, reason in (("detection", "regression", "one task"), ("classification", None, "same classes")):
        both = [str(runs[first]), str(run if second is None else runs[second])]
        with pytest.raises(ValueError, match=reason) as refusal:
            write_report(both, tmp_path / "page.html")
        assert all(name in str(refusal.value) for name in both)


def test_a_run_that_is_still_training_is_refused(run, tmp_path):
    with lock(run, "held"), pytest.raises(ValueError, match=r"still training \(1 of 1 epoch done\)"):
        write_report(run, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_an_interrupted_training_is_said_on_the_page(small, tmp_path):
    def stop(history, trained):
        raise KeyboardInterrupt

    longer = dataclasses.replace(small, model="linear", training=dataclasses.replace(small.training, epochs=3))
    with pytest.raises(KeyboardInterrupt):
        cnnlab.train(longer, tmp_path / "run", callbacks=[stop], quiet=True)
    text = write_report(tmp_path / "run").read_text()
    assert "Training was interrupted after epoch 1 of 3" in text


def test_only_an_earlier_report_is_replaced(runs, tmp_path):
    other, page = tmp_path / "page.html", runs["regression"] / "report.html"
    other.write_text("my own page")
    with pytest.raises(ValueError, match="no earlier report"):
        write_report(runs["regression"], other)
    assert other.read_text() == "my own page"
    assert write_report(runs["regression"]) == page


def test_the_command_prints_the_page_and_shows_how_it_is_made_again(run, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", str(run), "--mc", "3", "--output", str(page)]) == 0
    assert capsys.readouterr().out.strip() == str(page)
    lines = "".join(next(parsed(page.read_text()).iter("code")).itertext()).splitlines()
    assert lines[0].startswith("cnnlab train --model.name lenet5 --data.name shapes --task.name classification")
    assert lines[1] == f"cnnlab report {run} --mc 3"
    assert main(["report", str(tmp_path)]) == 1
