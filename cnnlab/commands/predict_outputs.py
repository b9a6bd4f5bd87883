"""The output of `cnnlab predict`: records and drawings of photos, maps of sheets, and videos with boxes."""

import dataclasses
import io
import itertools
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from cnnlab.calibration.store import load_post_hoc
from cnnlab.commands.common import Misuse
from cnnlab.commands.predict_inputs import Request, photos_and_sheets
from cnnlab.data.appearance import far_outside, measure, measure_photo
from cnnlab.files.atomic import write_text
from cnnlab.files.images import read_header
from cnnlab.files.opening import ImageError
from cnnlab.files.photo import Photo
from cnnlab.predictions.coco_ids import CocoIds, read_coco_ids
from cnnlab.predictions.exchange import EXCHANGES, Predicted, check_exchange, kind_of, write_annotations
from cnnlab.predictions.options import read_lexicon, require_option, takes
from cnnlab.predictions.predict import UNCALIBRATED, predict_files
from cnnlab.predictions.records import WRITERS, naming, save_drawings
from cnnlab.predictions.series import write_series
from cnnlab.predictions.videos import predict_video
from cnnlab.quoting import for_terminal
from cnnlab.sheets import predict_sheet
from cnnlab.sheets.products import LeftOut, small_shapes, write_photo
from cnnlab.sheets.rasters import open_sheet
from cnnlab.sheets.scratch import FOLDER
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Record, complete
from cnnlab.trained import Trained
from cnnlab.training.restore import load_appearance
from cnnlab.uncertainty.detections import grouped_prediction

_NAMED = 10  # drawings whose paths are printed one by one


def show_videos(trained: Trained, videos: Sequence[Path], request: Request) -> None:
    """Draws the boxes on each video, and prints the names of its files and the speed."""
    options = {"mc_samples": request.mc, "seed": request.seed, "rate": request.videos.rate, "quiet": False}
    name = naming()
    for path in videos:
        result = predict_video(trained, path, request.output, name=name(path), **options)
        print(f"{for_terminal(path)}: {result.frames:,} frames, {result.rate:.1f} frames/s", file=sys.stderr)
        print(*map(for_terminal, (result.video, result.results)), sep="\n")


def show_files(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Prints or writes the records of photos and sheets, in the order of their paths."""
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
    unreadable = print_left_out if options.skip_unreadable else None
    files, sheets = photos_and_sheets(trained, paths, request, unreadable)
    if sheets and request.format in EXCHANGES:
        raise Misuse(f"{sheets[0]} is a sheet, whose polygons are vectors; add --tile 0, or leave out --format")
    if sheets and len(members) > 1:
        raise Misuse(f"{sheets[0]} is a sheet, which needs a single run; name a single run, or add --tile 0")
    fitted = load_post_hoc(runs[0], trained, passes=request.mc) if options.calibrated else None
    if fitted is not None:
        print(for_terminal(fitted.sentence()), file=sys.stderr)
    looks: dict[Path, dict[str, float]] = {}

    def look(path: Path, pixels: np.ndarray) -> None:
        looks[path] = measure_photo(pixels, read_header(path)[0], trained.spec.fit)

    predictions = predict_files(
        members,
        [path for path in files if path not in sheets],
        mc_samples=request.mc,
        seed=request.seed,
        fitted=fitted,
        each_pass=options.group,
        unreadable=unreadable,
        invert=options.invert,
        look=None if trained.spec.values == "signal" else look,
    )
    ids = read_coco_ids(options.ids, trained.spec.classes) if options.ids else None
    records, broken, name, number = [], [], naming(), 0
    predicted: list[Predicted] = []
    drawn: list[str] = []
    small: list[int] = []  # numbers of shapes that are too small for a polygon
    upcoming = next(predictions, None)
    for path in files:
        if path in sheets:
            target = _folder(request, name(path), alone=len(files) == 1)
            try:
                own = _sheet_records(trained, path, target, request, small.append)
                looks |= _sheet_numbers(trained, path, request) if own else {}
                records += own
            except ImageError as error:
                broken.append(error)
        elif upcoming is not None and upcoming[0] == path:  # otherwise the file is left out
            number += 1
            photo, stem = _photo(path, number, ids), name(path)
            own = _photo_records(trained, photo, upcoming[1], stem, request, drawn)
            if request.output and request.format not in EXCHANGES and takes(trained.task, "tile"):
                target = _folder(request, stem, alone=len(files) == 1)
                own[0] |= _photo_files(trained, photo, upcoming[1], target, request, small.append)
            if request.output and trained.spec.values == "signal" and trained.any_size:
                own = [write_series(own[0], trained.spec, Path(request.output) / f"{stem}.csv")]
            records += own if fitted is None or fitted.calibration is None else map(_with_uncalibrated, own)
            if request.format in EXCHANGES:
                predicted.append(Predicted(Photo(path), _annotations(trained, photo, upcoming[1], request)))
            upcoming = next(predictions, None)
    if broken and not records:
        raise broken[0]
    if not number and not records:
        raise ValueError("none of the files can be read; see above")
    warn_if_different(runs[0], looks, options.invert)
    if sum(small):
        print(small_shapes(sum(small), request.sheets.smallest), file=sys.stderr)
    if request.format in EXCHANGES:
        kind, target = kind_of(trained.task), Path(request.output)
        written = write_annotations(request.format, predicted, trained.spec.classes, target, kind=kind)
        print(for_terminal(written))
    else:
        print_or_write(records, trained, request)
    for file in drawn if len(drawn) <= _NAMED else [f"{drawn[0]} ... {drawn[-1]} ({len(drawn):,} drawings)"]:
        print(f"drawn  {for_terminal(file)}", file=sys.stderr)
    if broken:
        errors = "; ".join(map(str, broken))
        raise ValueError(f"{errors}; all other files are predicted (--skip-unreadable leaves out what cannot be read)")


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


def warn_if_different(run: str, looks: Mapping[Path, Mapping[str, float]], inverted: bool) -> None:
    """Prints one line if the photos look very different from the training images of a run."""
    usual = load_appearance(run) if looks else None
    sentence = None if usual is None else far_outside(usual, list(looks.values()), list(map(str, looks)))
    if sentence is not None:
        cure = "leave out --invert" if inverted else "add --invert"
        warnings.warn(sentence + (f" {cure}" if sentence.endswith("?") else ""), stacklevel=2)


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


def print_or_write(records: Sequence[Record], trained: Trained, request: Request) -> None:
    """Prints all records, or writes them to a file and prints its name."""
    write = WRITERS[request.format]
    if not request.output:
        write(records, sys.stdout, trained.task)
        return
    text = io.StringIO()
    write(records, text, trained.task)
    target = Path(request.output) / f"predictions.{request.format}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(for_terminal(target))
