"""The arguments of `cnnlab predict`, and the division of its paths into runs, videos, sheets and photos."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from cnnlab.commands.common import Misuse
from cnnlab.sheets.options import SheetOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnlab.files.awaited import Awaited
    from cnnlab.files.opening import ImageError
    from cnnlab.trained import Trained


TABULAR = ("json", "csv", "parquet")
"""Formats of records; all others are annotations for a tool."""


@dataclasses.dataclass(frozen=True)
class PhotoOptions:
    """Options of photos.

    Attributes:
      group: for detection, group the boxes of all passes or runs by overlap, into one record an object with its
        frequency, the share of passes that detect it; by default they are averaged on the network's grid.
      calibrated: apply the calibration and the conformal sets that evaluate stored in the run.
      skip_unreadable: leave out files that are damaged or no image, and print their names.
      ids: COCO annotation file that gives the numbers of photos and categories, so that boxes can be scored against
        it; by default photos and classes are numbered in order, from 1.
      invert: exchange black and white, for photos of ink on paper if the training images are white on black.
      pattern: for strips, read only strings that match this regular expression as a whole, such as '[0-9]{4}'.
      lexicon: for strips, read only strings of this text file, one a line; with --pattern those of them that match.
      gallery: for ranking, image files or folders; the output is the images of it that are most like each photo.
      nearest: largest number of these images for each photo.
    """

    group: bool = False
    calibrated: bool = False
    skip_unreadable: bool = False
    ids: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    invert: bool = False
    pattern: Annotated[str | None, tyro.conf.arg(metavar="RE")] = None
    lexicon: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    gallery: tuple[str, ...] = ()
    nearest: int = 8


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """Options of videos.

    Attributes:
      video: treat each folder as a video, whose frames are its image files in the order of their names.
      rate: frames in a second, for such a folder.
    """

    video: bool = False
    rate: float = 25.0


@dataclasses.dataclass(frozen=True)
class PartOptions:
    """Options of predictions that several processes share.

    Attributes:
      manifest: text file that names the image files or their addresses, one a line, in place of PATH.
      part: number and count of a part, such as 3/16: only this share of the files is predicted, and its answers are
        DIR/parts/00003-of-00016.jsonl, or .parquet. A finished part is skipped, an unfinished one continues.
      merge: directory whose parts become the files that one process would have written; leave out RUN and PATH.
      engine: ray, which predicts all parts with several workers (pip install 'cnnlab[ray]') and merges them.
      workers: number of workers of the engine; by default one for each GPU, or one.
    """

    manifest: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    part: Annotated[str | None, tyro.conf.arg(metavar="K/N")] = None
    merge: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    engine: Literal["ray"] | None = None
    workers: int | None = None


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
    videos: VideoOptions
    parts: PartOptions


def sort_paths(request: Request) -> tuple[list[str], list[Path], list[str]]:
    """Splits the paths into runs, which come first, videos and all other paths."""
    runs, paths = split_runs(request.run, request.paths)
    videos = [path for path in map(Path, paths) if _is_video(path, folders=request.videos.video)]
    return runs, videos, [path for path in paths if Path(path) not in videos]


def split_runs(run: str, paths: Sequence[str]) -> tuple[list[str], Sequence[str]]:
    """Splits the arguments of a command into its runs, which come first, and all other paths.

    A directory of seeds stands for its runs.
    """
    from cnnlab.training.run import runs_in

    named = [run, *itertools.takewhile(_is_run, paths)]
    return [str(each) for name in named for each in runs_in(Path(name))], paths[len(named) - 1 :]


def check_request(request: Request, runs: Sequence[str], videos: Sequence[Path], paths: Sequence[str]) -> None:
    """Raises `Misuse` if the arguments do not fit together."""
    photos, parts, several = request.photos, request.parts, len(runs) > 1
    if parts.manifest and (paths or videos):
        raise Misuse(f"--manifest {parts.manifest} takes the place of PATH; leave out {(*videos, *paths)[0]}")
    if not (paths or videos or parts.manifest):
        raise Misuse("no PATH given; name image files or folders")
    if videos and (not request.output or request.format != "json" or _not_of_videos(photos) or several):
        raise Misuse(
            f"{videos[0]} is a video: add --output DIR, and leave out --format, --calibrated, --group, --invert and "
            "all but one run"
        )
    if request.format not in ("json", "csv") and not request.output:
        raise Misuse(f"--format {request.format} writes files: add --output DIR")
    if photos.gallery and (videos or request.format not in TABULAR or request.tile or photos.calibrated):
        raise Misuse(f"--gallery is for photos: leave out videos, --tile, --calibrated; formats: {', '.join(TABULAR)}")
    if parts.part or parts.engine:
        _check_parts(request, videos)
    elif parts.workers is not None:
        raise Misuse("--workers is for an engine; add --engine ray")
    if photos.nearest < 1:
        raise Misuse(f"--nearest must be 1 or more, found {photos.nearest}")
    check_runs(runs, **{"--mc": request.mc, "--calibrated": photos.calibrated or None})
    if photos.group and not (isinstance(request.mc, int) or several):
        raise Misuse("--group is for the detections of several passes; add --mc and their number, such as --mc 30")


def check_merge(request: Request) -> None:
    """Raises `Misuse` if `--merge` has other arguments: the parts know their run and their options."""
    plain = Request("", (), None, "json", None, 0, None, PhotoOptions(), SheetOptions(), VideoOptions(), PartOptions())
    if request._replace(parts=PartOptions()) != plain or request.parts != PartOptions(merge=request.parts.merge):
        raise Misuse("--merge stands alone, as in cnnlab predict --merge DIR: the parts know their run and options")


def _check_parts(request: Request, videos: Sequence[Path]) -> None:
    """Raises `Misuse` if the arguments do not fit to parts."""
    from cnnlab.predictions.parts import parse_part

    flag = "--part" if request.parts.part else "--engine"
    if request.parts.part and request.parts.engine:
        raise Misuse("--engine predicts all parts; leave out --part")
    if request.parts.part and request.parts.workers is not None:
        raise Misuse("--workers is for an engine; leave out --part and add --engine ray, or leave out --workers")
    if not request.output:
        raise Misuse(f"{flag} writes files: add --output DIR")
    if videos or request.photos.gallery:
        raise Misuse(f"{flag} is for photos, sheets and signals; leave out videos and --gallery")
    if request.format not in TABULAR:
        raise Misuse(f"{flag} writes {', '.join(TABULAR)}, found --format {request.format}")
    if request.parts.part:
        try:
            parse_part(request.parts.part)
        except ValueError as error:
            raise Misuse(str(error)) from None
    if request.mc == "auto":
        raise Misuse(f"{flag} needs a number of passes, such as --mc 30: auto takes as many as a whole batch needs")
    if request.parts.workers is not None and request.parts.workers < 1:
        raise Misuse(f"--workers must be 1 or more, found {request.parts.workers}")


def check_runs(runs: Sequence[str], **alone: Any) -> None:
    """Raises `Misuse` if a run is named twice, or if several runs get an option of a single run.

    Args:
      runs: run directories.
      **alone: options of a single run by their flags; None if an option is not used.
    """
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise Misuse(f"{' and '.join(runs)} name a run twice; an ensemble needs different runs")
    from cnnlab.uncertainty.ensemble import check_alone

    try:
        check_alone(len(runs), **alone)
    except ValueError as error:
        which = f"{' and '.join(alone)}, which {'are' if len(alone) > 1 else 'is'} for a single run"
        raise Misuse(f"{' and '.join(runs)} are an ensemble; leave out {which}, or name a single run") from error


def _not_of_videos(photos: PhotoOptions) -> bool:
    """Returns whether an option is given that videos do not have."""
    return photos.calibrated or photos.group or photos.invert


class Files(NamedTuple):
    """The files that are predicted.

    Attributes:
      all: all files in order.
      sheets: the sheets among them; the others are photos or signals.
      awaited: those that lie elsewhere and are not copied yet.
    """

    all: Sequence[Path]
    sheets: Sequence[Path]
    awaited: "Mapping[Path, Awaited]"


def photos_and_sheets(
    trained: "Trained", paths: Sequence[str], request: Request, unreadable: "Callable[[ImageError], None] | None"
) -> Files:
    """Lists all image files in order, and those of them that are sheets; it reads only headers.

    Files at an address are listed and not copied, unless their headers decide which of them are sheets.

    Args:
      trained: the network.
      paths: files and folders.
      request: arguments of the command.
      unreadable: function that receives the error of a file whose header cannot be read, which is left out then; None
        raises the error.
    """
    from cnnlab.files.awaited import arrive, awaited_of
    from cnnlab.files.listing import read_manifest
    from cnnlab.predictions.options import takes

    signals = trained.spec.values == "signal"
    if manifest := request.parts.manifest:
        files, awaited = awaited_of(read_manifest(Path(manifest)), manifest)
    else:
        found, awaited = _found(paths, signals=signals)
        files = [file for file in found if not is_result(file, paths, request.output)]
    if signals:
        if request.photos.invert or request.tile or request.sheets.given():
            raise Misuse(f"{files[0]} is a signal; leave out --invert, --tile and options of sheets")
        return Files(files, [], awaited)
    if request.tile is None and takes(trained.task, "tile"):
        arrive(files, awaited)
    files, sheets = _sheets(trained, files, request.tile, unreadable)
    if sheets and request.photos.invert:
        raise Misuse(f"--invert is for photos, and {sheets[0]} is a sheet; invert the file")
    pixels = takes(trained.task, "tile")
    options = [f"--{name}" for name in (request.sheets.of_windows() if pixels else request.sheets.given())]
    if options and files and not sheets:
        names = ", ".join(options)
        if not pixels:
            raise Misuse(f"leave out {names}, of networks that predict each pixel")
        raise Misuse(f"{files[0]} is predicted in one piece, without {names}: leave them out, or add --tile 512")
    side = "x".join(map(str, trained.spec.size))
    if sheets and request.tile is None and trained.spec.resized:
        raise Misuse(
            f"{sheets[0]} is georeferenced or larger than the training images, which were resized: add --tile 0 to "
            f"shrink it to {side}, or --tile 512 to predict it at its own resolution"
        )
    if sheets and not request.output:
        effect = f"to shrink it to {side}" if trained.spec.resized else "to predict it in one piece"
        reason = "" if request.tile else f", georeferenced or much larger than the training images of {side}"
        raise Misuse(f"{sheets[0]} is a sheet{reason}, and its maps are files: add --output DIR, or --tile 0 {effect}")
    if sheets and request.mc == "auto":
        raise Misuse(f"{sheets[0]} is a sheet, whose windows share their passes: give --mc a number, such as --mc 30")
    return Files(files, sheets, awaited)


def _found(paths: Sequence[str], *, signals: bool) -> "tuple[list[Path], dict[Path, Awaited]]":
    """Returns the files of a kind at paths and addresses in order, and those of them that are not copied yet."""
    from cnnlab.files import listing
    from cnnlab.files import signals as of_signals
    from cnnlab.files.addresses import is_address
    from cnnlab.files.awaited import list_awaited

    kind = {"kind": "signal" if signals else "image", "suffixes": of_signals.SUFFIXES if signals else listing.SUFFIXES}
    is_wanted = of_signals.is_named_like_a_signal if signals else listing.is_named_like_an_image
    files: list[Path] = []
    awaited: dict[Path, Awaited] = {}
    for path in paths:
        if is_address(path):
            listed = list_awaited(path, is_wanted, **kind)
            awaited |= listed
            files += listed
        else:
            files += (of_signals.find_signals if signals else listing.find_images)([path])
    return files, awaited


def _is_run(path: str) -> bool:
    """Returns whether a path is a run directory."""
    from cnnlab.training.run import CHECKPOINTS

    return (Path(path) / CHECKPOINTS).is_dir()


def _is_video(path: Path, *, folders: bool) -> bool:
    """Returns whether a path is a video file, or a folder if folders are videos."""
    from cnnlab.files.video import SUFFIXES

    return folders if path.is_dir() else path.suffix.lower() in SUFFIXES


def is_result(file: Path, paths: Sequence[str], output: str | None) -> bool:
    """Returns whether a file is a result of an earlier call, whose output directory is inside one of the folders."""
    if not output:
        return False
    target = _place(output)
    within = any(target != (folder := _place(path)) and target.is_relative_to(folder) for path in paths)
    return within and _place(file).is_relative_to(target)


def _place(path: str | Path) -> Path:
    """Returns where a path leads: the address of which it is the copy, or the path without links."""
    from cnnlab.files.cache import address

    return Path(where) if "://" in (where := address(path)) else Path(path).resolve()


def _sheets(
    trained: "Trained", files: Sequence[Path], tile: int | None, unreadable: "Callable[[ImageError], None] | None"
) -> tuple[list[Path], list[Path]]:
    """Returns the readable files and those of them that are sheets."""
    from cnnlab.files.opening import ImageError
    from cnnlab.predictions.options import require_option, takes
    from cnnlab.sheets.rasters import is_sheet

    if tile:
        require_option(trained.task, "tile", f"--tile {tile}")
    if tile is not None or not takes(trained.task, "tile"):
        return list(files), list(files) if tile else []
    readable, sheets = [], []
    for file in files:
        try:
            if is_sheet(file, trained.spec.size):
                sheets.append(file)
            readable.append(file)
        except ImageError as error:
            if unreadable is None:
                raise
            unreadable(error)
    return readable, sheets
