"""What predict is asked for, and which of its paths are runs, videos, sheets and photos."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnlab.commands.common import Misuse
from cnnlab.sheets.options import SheetOptions

if TYPE_CHECKING:
    from cnnlab.files.images import ImageError
    from cnnlab.trained import Trained


@dataclasses.dataclass(frozen=True)
class PhotoOptions:
    """Options of photos alone.

    Attributes:
      group: of detections, group those of each pass, or of each run, by overlap, one record an object with its
        frequency, the share that found it, instead of averaging on the network's own grid.
      calibrated: apply the calibration and the conformal sets that evaluate fitted and the run keeps.
      skip_unreadable: leave out files that are no image or damaged, and name them.
      ids: a COCO annotation file, whose numbers of photos and categories the boxes get, so that they can be scored
        against it; if left out, photos are numbered in order, from 1, and so are classes.
    """

    group: bool = False
    calibrated: bool = False
    skip_unreadable: bool = False
    ids: str | None = None


@dataclasses.dataclass(frozen=True)
class FilmOptions:
    """Options of videos alone.

    Attributes:
      video: folders hold the frames of a video each, in the order of their names.
      rate: frames a second of such a folder.
    """

    video: bool = False
    rate: float = 25.0


class Request(NamedTuple):
    """The arguments of `cnnlab predict`."""

    run: str
    paths: Sequence[str]
    output: str | None
    format: str
    mc: Any
    seed: int
    tile: int | None
    photos: PhotoOptions
    sheets: SheetOptions
    films: FilmOptions


def sort_paths(request: Request) -> tuple[list[str], list[Path], list[str]]:
    """Returns the runs, which come first, then videos and all other paths."""
    runs = [request.run, *itertools.takewhile(_is_run, request.paths)]
    paths = request.paths[len(runs) - 1 :]
    videos = [path for path in map(Path, paths) if _is_video(path, folders=request.films.video)]
    return runs, videos, [path for path in paths if Path(path) not in videos]


def check_request(request: Request, runs: Sequence[str], videos: Sequence[Path], paths: Sequence[str]) -> None:
    """Raises `Misuse` where the arguments do not go together."""
    photos, several = request.photos, len(runs) > 1
    if not (paths or videos):
        raise Misuse("no PATH given; name image files or folders")
    if videos and (not request.output or request.format != "json" or photos.calibrated or photos.group or several):
        raise Misuse(
            f"{videos[0]} is a video: add --output DIR, and leave out --format csv, --calibrated, --group and all but "
            "one run"
        )
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise Misuse(f"{' and '.join(runs)} name a run twice; an ensemble is of networks trained apart")
    if several:
        from cnnlab.uncertainty.ensemble import check_alone

        try:
            check_alone(len(runs), **{"--mc": request.mc, "--calibrated": photos.calibrated or None})
        except ValueError as error:
            told = "leave out --mc and --calibrated, which are for one run, or give one"
            raise Misuse(f"{' and '.join(runs)} are an ensemble; {told}") from error
    if photos.group and not (isinstance(request.mc, int) or several):
        raise Misuse("--group is for the detections of several passes; add --mc and their number, such as --mc 30")


def photos_and_sheets(
    trained: "Trained", paths: Sequence[str], request: Request, unreadable: "Callable[[ImageError], None] | None"
) -> tuple[list[Path], list[Path]]:
    """Returns all image files in order, and those of them that are cut into windows; only headers are read.

    Args:
      trained: the network.
      paths: files and folders.
      request: what is asked for.
      unreadable: as in `predict_files`; a file whose header cannot be read is left out.
    """
    from cnnlab.files.images import find_images

    files = [file for file in find_images(paths) if not _is_result(file, paths, request.output)]
    files, sheets = _sheets(trained, files, request.tile, unreadable)
    given = [f"--{name}" for name in request.sheets.given()]
    if given and files and not sheets:
        raise Misuse(
            f"{files[0]} is answered in one piece, without {', '.join(given)}: leave them out, or add --tile 512"
        )
    side = "x".join(map(str, trained.spec.size))
    if sheets and request.tile is None and trained.spec.resized:
        raise Misuse(
            f"{sheets[0]} is georeferenced or larger than what the network learnt from, and that had been resized: "
            f"add --tile 0 to shrink it to {side}, or --tile 512 to take it at its own resolution"
        )
    if sheets and not request.output:
        whole = f"to shrink it to {side}" if trained.spec.resized else "to have it answered in one piece"
        why = "" if request.tile else f", georeferenced or much larger than the {side} learnt from"
        raise Misuse(f"{sheets[0]} is a sheet{why}, and its maps are files: add --output DIR, or --tile 0 {whole}")
    if sheets and request.mc == "auto":
        raise Misuse(f"{sheets[0]} is a sheet, whose windows share their passes: give --mc a number, such as --mc 30")
    return files, sheets


def _is_run(path: str) -> bool:
    from cnnlab.training.run import CHECKPOINTS

    return (Path(path) / CHECKPOINTS).is_dir()


def _is_video(path: Path, *, folders: bool) -> bool:
    from cnnlab.files.video import SUFFIXES

    return folders if path.is_dir() else path.suffix.lower() in SUFFIXES


def _is_result(file: Path, paths: Sequence[str], output: str | None) -> bool:
    """Whether a file was written by an earlier call into a directory within one of the folders."""
    if not output:
        return False
    target = Path(output).resolve()
    within = any(target != (folder := Path(path).resolve()) and target.is_relative_to(folder) for path in paths)
    return within and file.resolve().is_relative_to(target)


def _sheets(
    trained: "Trained", files: Sequence[Path], tile: int | None, unreadable: "Callable[[ImageError], None] | None"
) -> tuple[list[Path], list[Path]]:
    """The files, and those that are cut into windows."""
    from cnnlab.files.images import ImageError
    from cnnlab.predictions.options import require_option, takes
    from cnnlab.sheets.rasters import is_sheet

    if tile:
        require_option(trained.task, "tile", f"--tile {tile}")
    if tile is not None or not takes(trained.task, "tile"):
        return list(files), list(files) if tile else []
    kept, sheets = [], []
    for file in files:
        try:
            if is_sheet(file, trained.spec.size):
                sheets.append(file)
            kept.append(file)
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable(error)
    return kept, sheets
