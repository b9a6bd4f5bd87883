"""What predict prints and writes: records of photos, their pictures, the maps of sheets, drawn videos."""

import io
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from cnnlab import detections, predictions
from cnnlab.commands.common import Misuse
from cnnlab.commands.predict_inputs import Asked, photos_and_sheets
from cnnlab.data import InputSpec
from cnnlab.data.images import ImageError
from cnnlab.sheets import predict_sheet
from cnnlab.sheets.scratch import FOLDER
from cnnlab.tasks import Prediction
from cnnlab.trained import Trained
from cnnlab.training.run import write_text
from cnnlab.uncertainty.post_hoc import load_post_hoc
from cnnlab.videos import predict_video


def show_videos(trained: Trained, videos: Sequence[Path], asked: Asked) -> None:
    """Draws each video, and tells its files and how fast it went."""
    options = {"mc_samples": asked.mc, "seed": asked.seed, "rate": asked.videos["rate"], "quiet": False}
    for name, path in zip(predictions.output_names(videos), videos, strict=True):
        shown = predict_video(trained, path, asked.output, name=name, **options)
        print(f"{path}: {shown.frames:,} frames, {shown.rate:.1f} frames/s", file=sys.stderr)
        print(shown.video, shown.results, sep="\n")


def show_files(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], asked: Asked) -> None:
    """Records of photos and sheets, in the order of their paths, printed or written."""
    trained, detects = members[0], getattr(members[0].task, "logits", None) == "grid"
    _check_kind(trained, runs[0], asked.photos, detects=detects)
    files, sheets = photos_and_sheets(trained, paths, asked)
    if sheets and len(members) > 1:
        raise Misuse(f"{sheets[0]} is a sheet, which one run answers; give one run, or --tile 0")
    found = predictions.predict_files(
        members,
        [path for path in files if path not in sheets],
        mc_samples=asked.mc,
        seed=asked.seed,
        fitted=load_post_hoc(runs[0], trained, passes=asked.mc) if asked.photos["calibrated"] else None,
        each_pass=asked.photos["group"],
    )
    boxes = _records_of_boxes(trained.spec, asked) if detects else None
    records, broken = [], []
    for number, (name, path) in enumerate(zip(predictions.output_names(files), files, strict=True), 1):
        if path in sheets:
            target = Path(asked.output) / name if len(files) > 1 else Path(asked.output)
            try:
                records += _sheet_records(trained, path, target, asked)
            except ImageError as error:
                broken.append(error)
            continue
        _, prediction = next(found)
        if detects:
            records += boxes(path, prediction, name, number)
            continue
        records.append(predictions.record(path, prediction, trained.spec))
        if asked.output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(asked.output) / name)
    if broken and not records:
        raise broken[0]
    if not records and not detects:
        raise ValueError("none of the files can be read; see above")
    _show(records, asked, detects=detects)
    if broken:
        told = "; ".join(map(str, broken))
        raise ValueError(f"{told}; all other files are answered (--skip-unreadable leaves out what cannot be read)")


def _check_kind(trained: Trained, run: str, options: dict[str, Any], *, detects: bool) -> None:
    kind = type(trained.task).__name__.lower()
    if options["calibrated"] and kind != "classification":
        raise ValueError(f"--calibrated is for classification, {run} is {kind}")
    for name in ("ids", "group"):
        if options[name] and not detects:
            raise ValueError(f"--{name} is for detection, {run} is {kind}")


def _sheet_records(trained: Trained, path: Path, target: Path, asked: Asked) -> list[dict[str, str]]:
    """Predicts one sheet; its files by name. None where it cannot be read and is to be left out."""
    begun = (target / FOLDER).exists()  # by another call, which may go on once the sheet can be read
    options = asked.sheets | {"tile": asked.sheets["tile"] or 512, "mc_samples": asked.mc}
    try:
        found = predict_sheet(trained, path, target, quiet=False, key=jax.random.key(asked.seed), **options)
    except ImageError as error:
        if not asked.photos["skip_unreadable"]:
            raise
        if not begun:
            shutil.rmtree(target / FOLDER, ignore_errors=True)
        print(f"left out: {error}", file=sys.stderr)
        return []
    return [{"file": str(path)} | {name: str(file) for name, file in found.items()}]


def _records_of_boxes(spec: InputSpec, asked: Asked) -> Callable[[Path, Prediction, str, int], list[dict[str, Any]]]:
    """The function from a photo, its prediction, its name among the outputs and its number to its records."""
    ids = asked.photos["ids"]
    known = detections.read_coco_ids(ids, spec.classes) if ids else None

    def records(path: Path, prediction: Prediction, name: str, number: int) -> list[dict[str, Any]]:
        told = {"image_id": known.image(path) if known else number, "categories": known and known.categories}
        if asked.photos["group"]:
            boxes = detections.grouped_results(path, prediction.passes, spec, **told)
        else:
            boxes = detections.coco_results(path, prediction, spec, **told)
        if asked.output:
            detections.draw_photo(path, boxes, Path(asked.output) / f"{name}_boxes.png")
        return boxes

    return records


def _show(records: Sequence[dict[str, Any]], asked: Asked, *, detects: bool) -> None:
    """All records, on standard output or in a file whose name is told."""
    write = predictions.write_csv
    if asked.form == "json":
        write = detections.write_json if detects else predictions.write_json
    if not asked.output:
        write(records, sys.stdout)
        return
    text = io.StringIO()
    write(records, text)
    target = Path(asked.output) / f"predictions.{asked.form}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(target)
