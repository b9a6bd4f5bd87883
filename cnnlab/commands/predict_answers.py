"""The answers of `cnnlab predict`: the records of each photo and sheet, and the files that belong to it."""

import dataclasses
import itertools
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from cnnlab.calibration.store import PostHoc, load_post_hoc
from cnnlab.commands.common import Misuse
from cnnlab.commands.predict_inputs import Files, Request, photos_and_sheets
from cnnlab.data.appearance import measure, measure_photo
from cnnlab.files.awaited import Awaited, arrive
from cnnlab.files.cache import named
from cnnlab.files.images import read_header
from cnnlab.files.opening import ImageError
from cnnlab.files.photo import Photo
from cnnlab.predictions.coco_ids import CocoIds, read_coco_ids
from cnnlab.predictions.exchange import EXCHANGES, Predicted, check_exchange, kind_of
from cnnlab.predictions.options import read_lexicon, require_option, takes
from cnnlab.predictions.parts import Answer
from cnnlab.predictions.predict import UNCALIBRATED, predict_files
from cnnlab.predictions.records import naming, save_drawings
from cnnlab.predictions.series import write_series
from cnnlab.quoting import for_terminal
from cnnlab.sheets import predict_sheet
from cnnlab.sheets.products import LeftOut, write_photo
from cnnlab.sheets.rasters import open_sheet
from cnnlab.sheets.scratch import FOLDER
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Record, complete
from cnnlab.trained import Trained
from cnnlab.uncertainty.detections import grouped_prediction


class Job(NamedTuple):
    """What a call of `cnnlab predict` predicts.

    Attributes:
      members: the networks.
      runs: their run directories.
      request: arguments of the command.
      files: all files in order; those that are no sheets are photos or signals.
      sheets: the sheets among them.
      awaited: those of them that lie elsewhere and are not copied yet.
      fitted: calibration of the probabilities.
      ids: numbers of photos and categories.
    """

    members: Sequence[Trained]
    runs: Sequence[str]
    request: Request
    files: Sequence[Path]
    sheets: Sequence[Path]
    awaited: Mapping[Path, Awaited]
    fitted: PostHoc | None
    ids: CocoIds | None


class Beside(NamedTuple):
    """What there is beside the records of the files, which `answers` fills.

    Attributes:
      looks: what each file looks like.
      predicted: the photos for an annotation tool.
      drawn: files that no record names.
      small: numbers of shapes that are too small for a polygon.
      broken: errors of sheets.
    """

    looks: dict[Path, dict[str, float]]
    predicted: list[Predicted]
    drawn: list[str]
    small: list[int]
    broken: list[ImageError]


def prepare(
    members: Sequence[Trained],
    runs: Sequence[str],
    paths: Sequence[str],
    request: Request,
    *,
    listed: tuple[Sequence[Path], Sequence[Path]] | None = None,
) -> Job:
    """Checks the options, lists the files, and reads and prints the calibration.

    Args:
      members: the networks.
      runs: their run directories.
      paths: files and folders.
      request: arguments of the command.
      listed: files and sheets that another process has listed; then nothing is printed.
    """
    trained, options = members[0], request.photos
    for option in ("calibrated", "ids", "group", "pattern", "lexicon"):
        if getattr(options, option):
            require_option(trained.task, option, f"--{option}", run=runs[0])
    if options.pattern or options.lexicon:
        allowed = {"pattern": options.pattern, "lexicon": read_lexicon(options.lexicon) if options.lexicon else ()}
        members = [member.replace(task=complete(member.task).restrict(**allowed)) for member in members]
        trained = members[0]
    if request.format in EXCHANGES:
        require_option(trained.task, "annotations", f"--format {request.format}", run=runs[0])
        check_exchange(request.format, kind_of(trained.task))
    found = Files(*listed, {}) if listed else photos_and_sheets(trained, paths, request, _unreadable(request))
    sheets = found.sheets
    if sheets and request.format in EXCHANGES:
        raise Misuse(f"{sheets[0]} is a sheet, whose polygons are vectors; add --tile 0, or leave out --format")
    if sheets and len(members) > 1:
        raise Misuse(f"{sheets[0]} is a sheet, which needs a single run; name a single run, or add --tile 0")
    fitted = load_post_hoc(runs[0], trained, passes=request.mc) if options.calibrated else None
    if fitted is not None and listed is None:
        print(for_terminal(fitted.sentence()), file=sys.stderr)
    ids = read_coco_ids(options.ids, trained.spec.classes) if options.ids else None
    return Job(members, runs, request, *found, fitted, ids)


def _unreadable(request: Request) -> Callable[[ImageError], None] | None:
    return print_left_out if request.photos.skip_unreadable else None


def answers(job: Job, beside: Beside, places: Sequence[int] | None = None) -> Iterator[Answer]:
    """Yields the answer to each file in order, and writes the files that belong to it; records name addresses.

    Those of the files that are not copied yet are copied first. The answer to a file is the same whichever other files
    are predicted. A photo's number is its place among the photos, from 1. A sheet that cannot be read has no answer;
    its error is one of `beside.broken`.

    Args:
      job: what is predicted.
      beside: gets what there is beside the records.
      places: places of the files that are predicted, in order; by default all. The photos among them are consecutive.
    """
    trained, request, options = job.members[0], job.request, job.request.photos
    sheets = set(job.sheets)
    photos = [place for place, path in enumerate(job.files) if path not in sheets]
    order = range(len(job.files)) if places is None else places
    arrive([job.files[place] for place in order], job.awaited)
    numbers = {place: number for number, place in enumerate(photos)}
    own = [numbers[place] for place in order if place in numbers]
    names = list(map(naming(), job.files)) if request.output else [""] * len(job.files)

    def look(path: Path, pixels: np.ndarray) -> None:
        beside.looks[path] = measure_photo(pixels, read_header(path)[0], trained.spec.fit)

    predictions = predict_files(
        job.members,
        [job.files[place] for place in photos],
        mc_samples=request.mc,
        seed=request.seed,
        fitted=job.fitted,
        each_pass=options.group,
        unreadable=_unreadable(request),
        invert=options.invert,
        look=None if trained.spec.values == "signal" else look,
        share=range(own[0], own[-1] + 1) if own else range(0),
    )
    upcoming = next(predictions, None)
    for place in order:
        path, stem, alone = job.files[place], names[place], len(job.files) == 1
        if path in sheets:
            target = _folder(request, stem, alone=alone)
            try:
                records = _sheet_records(trained, path, target, request, beside.small.append)
                if records:
                    beside.looks.update(_sheet_numbers(trained, path, request))
            except ImageError as error:
                beside.broken.append(error)
                continue
            yield Answer(place, named(records), None if records else "unreadable")
        elif upcoming is None or upcoming[0] != path:
            yield Answer(place, [], "unreadable")
        else:
            photo = _photo(path, numbers[place] + 1, job.ids)
            records = _photo_records(trained, photo, upcoming[1], stem, request, beside.drawn)
            if request.output and request.format not in EXCHANGES and takes(trained.task, "tile"):
                target = _folder(request, stem, alone=alone)
                records[0] |= _photo_files(trained, photo, upcoming[1], target, request, beside.small.append)
            if request.output and trained.spec.values == "signal" and trained.any_size:
                suffix = ".parquet" if request.format == "parquet" else ".csv"
                records = [write_series(records[0], trained.spec, Path(request.output) / f"{stem}{suffix}")]
            if job.fitted is not None and job.fitted.calibration is not None:
                records = [_with_uncalibrated(record) for record in records]
            if request.format in EXCHANGES:
                beside.predicted.append(Predicted(Photo(path), _annotations(trained, photo, upcoming[1], request)))
            yield Answer(place, named(records))
            upcoming = next(predictions, None)


def print_left_out(error: ImageError) -> None:
    """Prints the name of a file that is left out, and why."""
    print(f"left out: {for_terminal(error)}", file=sys.stderr)


def _sheet_numbers(trained: Trained, path: Path, request: Request) -> dict[Path, dict[str, float]]:
    """Measures nine windows of a sheet, in a grid, and returns the median of each number by the path."""
    with open_sheet(path, channels=trained.spec.channels, bands=request.sheets.bands) as sheet:
        sides = [min(pair) for pair in zip(sheet.size, trained.spec.size, strict=True)]
        starts = [np.linspace(0, h - side, 3).astype(int).tolist() for h, side in zip(sheet.size, sides, strict=True)]
        windows = [sheet.read(slice(y, y + sides[0]), slice(x, x + sides[1])) for y, x in itertools.product(*starts)]
    numbers = [measure(pixels) for pixels, valid in windows if valid.all()]
    if not numbers:
        return {}
    return {path: {name: float(np.median([each[name] for each in numbers])) for name in numbers[0]}}


def _photo(path: Path, number: int, ids: CocoIds | None) -> Photo:
    """Returns a photo with its number in order, or with the numbers of a COCO file."""
    return Photo(path, number) if ids is None else Photo(path, ids.image(path), ids.categories)


def _photo_records(
    trained: Trained, photo: Photo, prediction: Prediction, name: str, request: Request, drawn: list[str]
) -> list[Record]:
    """Returns the records of one photo and writes its drawings; a photo's single record names their files.

    The files that no record names are added to `drawn`.
    """
    task = complete(trained.task)
    if request.photos.group:
        prediction = grouped_prediction(prediction.passes)
    records = task.record(prediction, trained.spec, photo)
    if request.output and not takes(task, "tile"):
        files = save_drawings(task, prediction, trained.spec, photo, Path(request.output) / name)
        if [record.get("file") for record in records] == [str(photo.path)]:
            records[0] |= files
        else:
            drawn += files.values()
    return records


def _photo_files(
    trained: Trained, photo: Photo, prediction: Prediction, target: Path, request: Request, left_out: LeftOut
) -> dict[str, str]:
    """Writes the maps and polygons of a photo whose pixels are predicted, and returns the files by name.

    A map that is written as an array and as a picture goes by the name of the picture.
    """
    arguments = (photo.path, photo.size, target, trained.spec, request.sheets, left_out)
    files = write_photo(prediction, *arguments)
    pictures = {name: file.with_suffix(".png") for name, file in files.items()}
    return {name: str(pictures[name] if pictures[name].exists() else file) for name, file in files.items()}


def _folder(request: Request, name: str, *, alone: bool) -> Path:
    """Returns the folder of a file's maps: the output directory, or a folder in it if there are several files."""
    target = Path(request.output)
    if not alone and (target := target / name).is_symlink():
        raise ValueError(f"{target} is a link, through which nothing is written; remove it")
    return target


def _annotations(trained: Trained, photo: Photo, prediction: Prediction, request: Request) -> list[Record]:
    """Returns what the formats of annotation tools hold of a photo."""
    if request.photos.group:
        prediction = grouped_prediction(prediction.passes)
    options = {"smallest": request.sheets.smallest, "simplify": request.sheets.simplify}
    return complete(trained.task).annotations(prediction, trained.spec, photo, **options)


def _with_uncalibrated(record: Record) -> Record:
    """Adds the names of a record's entries that no calibration changes."""
    names = [name for name in UNCALIBRATED if name in record]
    return record | ({"uncalibrated": names} if names else {})


def _sheet_records(trained: Trained, path: Path, target: Path, request: Request, left_out: LeftOut) -> list[Record]:
    """Predicts one sheet and returns a record with its files by name; no record if it is unreadable and left out."""
    resumable = (target / FOLDER).exists()  # an earlier call may be resumed once the sheet can be read
    options = dataclasses.asdict(request.sheets) | {"tile": request.tile or 512, "mc_samples": request.mc}
    options |= {"quiet": False, "left_out": left_out}
    try:
        # The key of the first photo, so that a single photo has the same passes in one piece and in a window.
        key = jax.random.fold_in(jax.random.key(request.seed), 0)
        files = predict_sheet(trained, path, target, key=key, **options)
    except ImageError as error:
        if not request.photos.skip_unreadable:
            raise
        if not resumable:
            shutil.rmtree(target / FOLDER, ignore_errors=True)
        print_left_out(error)
        return []
    return [{"file": str(path)} | {name: str(file) for name, file in files.items()}]
