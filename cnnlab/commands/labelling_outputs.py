"""The output of `cnnlab label-next` and `cnnlab label-errors`: a short table, its file and a contact sheet."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.commands.common import print_json, print_report
from cnnlab.files.figures import save_figures
from cnnlab.files.opening import ImageError
from cnnlab.files.tables import TableFormat, write_table
from cnnlab.labelling import label_errors, label_next
from cnnlab.labelling.pool import read_photo
from cnnlab.plots.gallery import gallery
from cnnlab.quoting import for_terminal
from cnnlab.trained import Passes, Trained
from cnnlab.training.restore import load_data

_PRINTED, _DRAWN, _COLUMNS = 10, 100, 10

Table = Mapping[str, np.ndarray]


def show_suggestions(
    members: Sequence[Trained],
    run: str,
    files: Sequence[Path],
    output: Path,
    *,
    count: int,
    by: str,
    mc: Passes | None,
    seed: int,
    skip_unreadable: bool,
    format: TableFormat,
    json: bool,
) -> None:
    """Chooses photos, writes the files and prints the table; `run` is the directory of the first network."""
    options = {"labelled": _labelled(run)} if by == "diverse" else {}
    options |= {"unreadable": lambda error: _tell(f"left out: {error}")} if skip_unreadable else {}
    try:
        found = label_next(members, files, count=count, by=by, mc_samples=mc, seed=seed, **options)
    except ImageError as error:
        cure = "" if skip_unreadable else ", or leave such files out with --skip-unreadable"
        raise ImageError(f"{error}{cure}") from None
    table, chosen = found.table, len(found.table["rank"])
    if chosen < count:
        reason = f", of which {found.repeated:,} look like a chosen one" * (found.repeated > 0)
        _tell(f"--count {count:,} is more than there are: all {found.pool:,} photos are ranked{reason}")
    if repeated := int((table["duplicate_of"] > 0).sum()):
        _tell(
            f"{repeated:,} of these {chosen:,} look like an earlier one (duplicate_of); --by diverse takes none twice"
        )
    shown = {name: table[name] for name in ("rank", "file", "score", "prediction", "confidence") if name in table}
    captions = zip(*(shown.get(n, [None] * chosen) for n in ("rank", "score", "prediction", "confidence")), strict=True)
    _show(
        {"by": by, "pool": found.pool, "repeated": found.repeated, "chosen": _records(table)},
        table,
        shown,
        f"{chosen:,} of {found.pool:,} photos to label next, by {by.replace('_', ' ')}",
        [_caption(*each) for each in captions],
        lambda i: read_photo(members[0], table["file"][i]),
        output / "label_next",
        format,
        json,
    )


def _caption(rank: int, score: float, prediction: str | None, confidence: float | None) -> str:
    """Returns the text above a photo: rank and score, then class and probability where there are any."""
    second = "" if prediction is None else f"\n{prediction} {confidence:.2f}"
    return f"{rank}: {score:.3g}{second}"


def _labelled(run: str) -> Any:
    """Returns the training examples of a run, or None, with the reason, if they are not at hand."""
    try:
        return load_data(run)["train"]
    except ValueError as error:
        _tell(f"photos may lie near the training images, which are not at hand: {error}")
        return None


def show_suspects(
    run: str, data: str | None, *, split: str, folds: int, output: Path, format: TableFormat, json: bool
) -> None:
    """Looks for label errors, writes the files and prints the table."""
    directory = output / "folds"
    found = label_errors(run, data, split=split, folds=folds, directory=directory, quiet=False, tell=_tell)
    for fold in range(found.folds):
        shutil.rmtree(directory / f"fold{fold + 1}", ignore_errors=True)
    with contextlib.suppress(OSError):  # something else is in it, or no fold was trained
        directory.rmdir()
    table, number = found.table, len(found.index)
    share = number / found.examples
    title = f"{number:,} of {found.examples:,} labels ({100 * share:.1f} %) are in doubt"
    columns = (table[name] for name in ("given", "suggested", "confidence"))
    titles = [f"{given}\n→ {suggested} {sure:.2f}" for given, suggested, sure in zip(*columns, strict=True)]
    report = {"examples": found.examples, "in_doubt": number, "folds": found.folds, "labels": _records(table)}
    pixels, shown = found.images, {name: table[name] for name in table if name != "probability_of_given"}
    image, stem = (lambda i: pixels[int(found.index[i])]), output / "label_errors"
    _show(report, table, shown, title, titles, image, stem, format, json)


def _show(
    report: dict[str, Any],
    table: Table,
    shown: Table,
    title: str,
    titles: Sequence[str],
    pixels: Callable[[int], np.ndarray],
    stem: Path,
    format: TableFormat,
    json: bool,
) -> None:
    """Writes the table and, unless it is empty, a contact sheet; prints the first rows of some columns, or JSON."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = {format: str(write_table(stem.with_suffix(f".{format}"), table))}
    if titles:
        images = [_visible(pixels(i)) for i in range(min(len(titles), _DRAWN))]
        heading = title if len(titles) <= _DRAWN else f"{title}: the first {_DRAWN}"
        sheet = gallery(images, titles[:_DRAWN], title=heading, columns=_COLUMNS)
        (path,) = save_figures({stem.name: sheet}, stem.parent)
        written["sheet"] = str(path)
    if json:
        print_json(report | written)
        return
    print_report({"the first": _records(shown)[:_PRINTED]} if titles else {}, title)
    for path in written.values():
        print(for_terminal(path))


def _records(table: Table) -> list[dict[str, Any]]:
    """Returns the rows of a table as records of JSON types."""
    return [dict(zip(table, row, strict=True)) for row in zip(*(c.tolist() for c in table.values()), strict=True)]


def _visible(pixels: np.ndarray) -> np.ndarray:
    """Returns the channels of an image that can be drawn: the first one, or the first three."""
    return pixels[..., : 3 if pixels.shape[-1] >= 3 else 1]


def _tell(sentence: str) -> None:
    print(for_terminal(sentence), file=sys.stderr)
