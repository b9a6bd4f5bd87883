"""Writes the report of a run, or of several side by side."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cnnlab.console import console
from cnnlab.errors import check_known
from cnnlab.evaluation.compare import compare
from cnnlab.files.atomic import write_bytes, write_text
from cnnlab.files.cache import address
from cnnlab.quoting import for_terminal
from cnnlab.reports import html, markdown
from cnnlab.reports.content import Page, Picture, within
from cnnlab.reports.measure import Story, measure, read_story
from cnnlab.reports.one import page_of_run
from cnnlab.reports.side_by_side import page_of_runs
from cnnlab.trained import Passes

Format = Literal["html", "md"]
_MARKS = {"html": f'content="{html.MARK}"', "md": markdown.MARK}
_HEAD = 1000  # bytes at the beginning of a file, among which the mark stands


def write_report(
    runs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    data: str | Path | None = None,
    split: str = "test",
    mc_samples: Passes | None = None,
    draws: int = 1000,
    seed: int = 0,
    format: Format = "html",
    commands: Sequence[str] | None = None,
    quiet: bool = True,
) -> Path:
    """Measures a run and writes a page about it, or compares several and writes a page with all side by side.

    The page of one run says what was trained on what, and shows the network, its learning curves, its numbers with
    intervals and noise floors, the figures of its task, single examples with maps, a map of the images, the speed, the
    versions, and the commands that make it again. The page of several has their numbers side by side, and the
    differences to the first with the intervals of `compare`.

    Args:
      runs: a run directory, or several with the same task and classes.
      output: file of the page; by default `report.html` or `report.md` in the run, and in the current directory for
        several runs. It may replace an earlier report, but no other file.
      data: another labelled folder of the same classes, or the new path of the (first) run's data.
      split: `train`, `validation` or `test`.
      mc_samples: number of passes with dropout on; by default one pass with dropout off.
      draws: number of bootstrap samples for the intervals of differences.
      seed: seed of the dropout masks and the bootstrap samples.
      format: `html` for one file, `md` for Markdown with a folder of pictures beside it.
      commands: lines that train the runs again; by default lines of Python that read the stored settings.
      quiet: whether to print no progress.

    Returns:
      The path of the page.

    Raises:
      ValueError: a path is no run, a run is still training, the runs have different tasks or classes, the split does
        not exist, or another file is at the output.
    """
    check_known("format", format, _MARKS)
    names = [runs] if isinstance(runs, str | Path) else list(runs)
    if not names:
        raise ValueError("runs names no run; give a run directory, or several")
    path = Path(output) if output is not None else (Path(names[0]) if len(names) == 1 else Path()) / f"report.{format}"
    _check_place(path, format)
    stories = [read_story(run) for run in names]
    options = {"split": split, "mc_samples": mc_samples, "seed": seed}
    flags = {"data.path": data, "split": split, "mc": mc_samples, "draws": draws, "seed": seed, "format": format}
    lines = [*(_again(stories) if commands is None else commands), _command(names, flags)]
    if len(stories) == 1:
        measured = measure(stories[0], data, **options, quiet=quiet)
        console(quiet).print(f"{for_terminal(names[0])}: draws the figures and explains single examples")
        page = page_of_run(measured, lines)
    else:
        comparison = compare(names, data, draws=draws, **options, quiet=quiet)
        page = page_of_runs(stories, comparison, split, lines)
    _write(within(page), path, format)
    return path


def _check_place(path: Path, format: Format) -> None:
    """Raises `ValueError` if a file is at the place of a page that is no earlier report."""
    if not path.exists():
        return
    if path.is_file():
        with open(path, "rb") as stream:
            if _MARKS[format].encode() in stream.read(_HEAD):
                return
    raise ValueError(f"{path} exists and is no earlier report; choose another --output")


def _write(page: Page, path: Path, format: Format) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "html":
        write_text(path, html.as_html(page))
        return
    folder = path.with_name(f"{path.stem}_pictures")
    pictures = [part for section in page.sections for part in section.parts if isinstance(part, Picture)]
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        write_bytes(folder / markdown.file_name(picture), picture.data)
    write_text(path, markdown.as_markdown(page, folder.name))


def _again(stories: Sequence[Story]) -> list[str]:
    """Returns lines of Python that train each run again."""
    runs = [address(story.run) for story in stories]
    lines = ["# Python", "import cnnlab", *(["import fsspec"] if any("://" in run for run in runs) else [])]
    for run in runs:
        opened = "fsspec.open({!r}, 'rt').open()" if "://" in run else "open({!r})"
        lines.append(f"settings = {opened.format(f'{run}/experiment.json')}.read()")
        lines.append(f"cnnlab.train(cnnlab.Experiment.from_json(settings), {run!r} + '-again')")
    return [*lines, "", "# shell"]


def _command(names: Sequence[str | Path], flags: Mapping[str, Any]) -> str:
    """Returns the command that makes a page again; flags with their default are left out."""
    usual = {"data.path": None, "split": "test", "mc": None, "draws": 1000, "seed": 0, "format": "html"}
    given = [text for name, value in flags.items() if value != usual[name] for text in (f"--{name}", address(value))]
    return shlex.join(["cnnlab", "report", *map(address, names), *given])
