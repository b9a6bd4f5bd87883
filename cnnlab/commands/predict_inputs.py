"""What predict was asked for, and which of its paths are runs, videos, sheets and photos."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cnnlab.commands.common import Misuse


class Asked(NamedTuple):
    """The arguments of `cnnlab predict`; of photos, sheets and videos those that are theirs alone."""

    run: str
    paths: Sequence[str]
    output: str | None
    form: str
    mc: Any
    seed: int
    photos: dict[str, Any]
    sheets: dict[str, Any]
    videos: dict[str, Any]


_FOR_SHEETS = {
    "overlap": None,
    "bands": None,
    "smallest": 1,
    "background": "first",
    "watershed": None,
    "vectors": "gpkg",
}
"""What sheets alone have, unless asked for otherwise."""


def sort_paths(asked: Asked) -> tuple[list[str], list[Path], list[str]]:
    """Runs, which come first, then videos and all other paths."""
    runs = [asked.run, *itertools.takewhile(_is_run, asked.paths)]
    paths = asked.paths[len(runs) - 1 :]
    videos = [path for path in map(Path, paths) if _is_video(path, folders=asked.videos["folders"])]
    return runs, videos, [path for path in paths if Path(path) not in videos]


def check_asked(asked: Asked, runs: Sequence[str], videos: Sequence[Path], paths: Sequence[str]) -> None:
    """Raises `Misuse` where the arguments do not go together."""
    photos, several = asked.photos, len(runs) > 1
    if not (paths or videos):
        raise Misuse("no PATH given; name image files or folders")
    if videos and (not asked.output or asked.form != "json" or photos["calibrated"] or photos["group"] or several):
        raise Misuse(
            f"{videos[0]} is a video: add --output DIR, and leave out --format csv, --calibrated, --group and all but "
            "one run"
        )
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise Misuse(f"{' and '.join(runs)} name a run twice; an ensemble is of networks trained apart")
    if several and (asked.mc is not None or photos["calibrated"]):
        raise Misuse(
            f"{' and '.join(runs)} are an ensemble; leave out --mc and --calibrated, which are for one run, or give one"
        )
    if photos["group"] and not (isinstance(asked.mc, int) or several):
        raise Misuse("--group is for the detections of several passes; add --mc and their number, such as --mc 30")


def photos_and_sheets(trained: Any, paths: Sequence[str], asked: Asked) -> tuple[list[Path], list[Path]]:
    """All image files in order, and those of them that are cut into windows."""
    from cnnlab.data.images import find_images

    files = [file for file in find_images(paths) if not _is_result(file, paths, asked.output)]
    if asked.photos["skip_unreadable"]:
        files = _readable(trained, files, asked.sheets["tile"])
    sheets = _sheets(trained, files, asked.sheets["tile"])
    given = [f"--{name}" for name, usual in _FOR_SHEETS.items() if asked.sheets[name] != usual]
    if given and files and not sheets:
        raise Misuse(
            f"{files[0]} is answered in one piece, without {', '.join(given)}: leave them out, or add --tile 512"
        )
    side = "x".join(map(str, trained.spec.size))
    if sheets and asked.sheets["tile"] is None and trained.spec.resized:
        raise Misuse(
            f"{sheets[0]} is georeferenced or larger than what the network learnt from, and that had been resized: "
            f"add --tile 0 to shrink it to {side}, or --tile 512 to take it at its own resolution"
        )
    if sheets and not asked.output:
        whole = f"to shrink it to {side}" if trained.spec.resized else "to have it answered in one piece"
        why = "" if asked.sheets["tile"] else f", georeferenced or much larger than the {side} learnt from"
        raise Misuse(f"{sheets[0]} is a sheet{why}, and its maps are files: add --output DIR, or --tile 0 {whole}")
    if sheets and asked.mc == "auto":
        raise Misuse(f"{sheets[0]} is a sheet, whose windows share their passes: give --mc a number, such as --mc 30")
    return files, sheets


def _is_run(path: str) -> bool:
    from cnnlab.training.run import CHECKPOINTS

    return (Path(path) / CHECKPOINTS).is_dir()


def _is_video(path: Path, *, folders: bool) -> bool:
    from cnnlab.data.video import SUFFIXES

    return folders if path.is_dir() else path.suffix.lower() in SUFFIXES


def _is_result(file: Path, paths: Sequence[str], output: str | None) -> bool:
    """Whether a file was written by an earlier call into a directory within one of the folders."""
    if not output:
        return False
    target = Path(output).resolve()
    within = any(target != (folder := Path(path).resolve()) and target.is_relative_to(folder) for path in paths)
    return within and file.resolve().is_relative_to(target)


def _readable(trained: Any, files: Sequence[Path], tile: int | None) -> list[Path]:
    """The files that can be read, of sheets their headers; the others are told."""
    from cnnlab.data.images import read_image

    good = []
    for file in files:
        try:
            if tile == 0 or not _sheets(trained, [file], None):
                read_image(file, trained.spec)
            good.append(file)
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
    return good


def _sheets(trained: Any, files: Sequence[Path], tile: int | None) -> list[Path]:
    """The files that are cut into windows."""
    from cnnlab.sheets.rasters import is_sheet

    if getattr(trained.task, "logits", None) != "map":
        if tile:
            name = type(trained.task).__name__.lower()
            raise ValueError(f"--tile {tile} is for networks that answer each pixel (segmentation), this run is {name}")
        return []
    if tile is not None:
        return list(files) if tile else []
    return [path for path in files if is_sheet(path, trained.spec.size)]
