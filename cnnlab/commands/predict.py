"""Predict photos, sheets, videos: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50] [--tile 512]."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro

from cnnlab.commands.common import Misuse, Run, parse


def run(arguments: Sequence[str]) -> None:
    """Prints the predictions, or writes them with their pictures into a directory; boxes in COCO's results format."""

    def command(
        run: Run,
        paths: tyro.conf.Positional[tuple[str, ...]],
        /,
        output: str | None = None,
        format: Literal["json", "csv"] = "json",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
        group: bool = False,
        calibrated: bool = False,
        skip_unreadable: bool = False,
        ids: str | None = None,
        tile: int | None = None,
        overlap: int | None = None,
        bands: tuple[int, ...] | None = None,
        smallest: int = 1,
        background: str = "first",
        vectors: Literal["gpkg", "geojson", "none"] = "gpkg",
        video: bool = False,
        rate: float = 25.0,
    ) -> tuple:
        """Predict image files with a trained network; sheets, for segmentation, window by window; videos, for
        detection, frame by frame.

        Args:
            run: the run directory.
            paths: image files, folders and videos.
            output: directory for predictions.json or .csv, masks, maps and drawn boxes; standard output if left out. Of
                each video it gets NAME.mp4 and NAME.json, whose image_id is the number of the frame, from 1.
            format: of the predictions.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            seed: of the dropout masks.
            group: of detections, group those of each pass by overlap, one record an object with its frequency, the
                share of passes that found it, instead of averaging the passes on the network's own grid.
            calibrated: apply the calibration and the conformal sets that evaluate fitted and the run keeps.
            skip_unreadable: leave out files that are no image or damaged, and name them.
            ids: a COCO annotation file, whose numbers of photos and categories the boxes get, so that they can be
                scored against it; if left out, photos are numbered in order, from 1, and so are classes.
            tile: side of a sheet's windows in pixels: every file is taken as a sheet, at its own resolution. If left
                out, files that are georeferenced or more than twice as high or wide as what the network was trained on
                are, by windows of 512; the others are shrunk to its size. 0 shrinks all.
            overlap: of a sheet's windows in pixels; what the network sees and 32 more, up to half a tile, if left out.
            bands: of a sheet, counted from 1, one a channel.
            smallest: pixels of a sheet's smallest polygon.
            background: the class that gets no polygons: its name, first, or none.
            vectors: format of a georeferenced sheet's polygons, or none for no polygons.
            video: folders hold the frames of a video each, in the order of their names.
            rate: frames a second of such a folder.
        """
        sheet = {"tile": tile, "overlap": overlap, "bands": bands, "smallest": smallest, "background": background}
        sheet |= {"vectors": vectors}
        photos = {"calibrated": calibrated, "skip_unreadable": skip_unreadable, "ids": ids, "group": group}
        return run, paths, output, format, mc, seed, photos, sheet, video, rate

    run, paths, output, form, mc, seed, options, sheet, video, rate = parse(command, arguments, "predict")
    if not paths:
        raise Misuse("no PATH given; name image files or folders")
    videos = [path for path in map(Path, paths) if _is_video(path, folders=video)]
    if videos and (not output or form != "json" or options["calibrated"] or options["group"]):
        raise Misuse(f"{videos[0]} is a video: add --output DIR, and leave out --format csv, --calibrated and --group")
    if options["group"] and not isinstance(mc, int):
        raise Misuse("--group is for the detections of several passes; add --mc and their number, such as --mc 30")
    import cnnlab
    from cnnlab import detections, predictions
    from cnnlab.data.images import find_images
    from cnnlab.training.run import write_text
    from cnnlab.uncertainty.post_hoc import load_post_hoc

    trained = cnnlab.load(run)
    for name, path in zip(predictions.output_names(videos), videos, strict=True):
        _show_video(trained, path, Path(output), name=name, mc_samples=mc, seed=seed, rate=rate)
    paths = [path for path in paths if Path(path) not in videos]
    if not paths:
        return
    kind = type(trained.task).__name__.lower()
    if options["calibrated"] and kind != "classification":
        raise ValueError(f"--calibrated is for classification, {run} is {kind}")
    for name in ("ids", "group"):
        if options[name] and getattr(trained.task, "logits", None) != "grid":
            raise ValueError(f"--{name} is for detection, {run} is {kind}")
    fitted = load_post_hoc(run, trained) if options["calibrated"] else None
    known = detections.read_coco_ids(options["ids"], trained.spec.classes) if options["ids"] else None
    write: Callable = {"json": predictions.write_json, "csv": predictions.write_csv}[form]
    files = [file for file in find_images(paths) if not _is_result(file, paths, output)]
    if options["skip_unreadable"]:
        files = _readable(trained, files)
    sheets = _sheets(trained, files, sheet["tile"])
    if sheets and not output:
        raise Misuse(f"{sheets[0]} is a sheet, whose maps are files; add --output DIR, or --tile 0 to shrink it")
    photos = [path for path in files if path not in sheets]
    found = predictions.predict_files(
        trained, photos, mc_samples=mc, seed=seed, fitted=fitted, each_pass=options["group"]
    )
    records = []
    for number, (name, path) in enumerate(zip(predictions.output_names(files), files, strict=True), 1):
        if path in sheets:
            target = Path(output) / name if len(files) > 1 else Path(output)
            records.append(_sheet_record(trained, path, target, mc=mc, seed=seed, options=sheet))
            continue
        _, prediction = next(found)
        if "boxes" in prediction:
            told = {"image_id": number} if known is None else {"image_id": known.image(path)}
            told["categories"] = known and known.categories
            if options["group"]:
                boxes = detections.grouped_results(path, prediction.passes, trained.spec, **told)
            else:
                boxes = detections.coco_results(path, prediction, trained.spec, **told)
            records += boxes
            if output:
                detections.draw_photo(path, boxes, Path(output) / f"{name}_boxes.png")
            continue
        records.append(predictions.record(path, prediction, trained.spec))
        if output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(output) / name)
    if getattr(trained.task, "logits", None) == "grid" and form == "json":
        write = detections.write_json
    if not output:
        write(records, sys.stdout)
        return
    text = io.StringIO()
    write(records, text)
    target = Path(output) / f"predictions.{form}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(target)


def _is_result(file: Path, paths: Sequence[str], output: str | None) -> bool:
    """Whether a file was written by an earlier call into a directory within one of the folders."""
    if not output:
        return False
    target = Path(output).resolve()
    within = any(target != (folder := Path(path).resolve()) and target.is_relative_to(folder) for path in paths)
    return within and file.resolve().is_relative_to(target)


def _readable(trained: Any, files: Sequence[Path]) -> list[Path]:
    """The files that can be read, of sheets their headers; the others are told."""
    from cnnlab.data.images import read_image

    good = []
    for file in files:
        try:
            if not _sheets(trained, [file], None):
                read_image(file, trained.spec)
            good.append(file)
        except ValueError as error:
            print(f"left out: {error}", file=sys.stderr)
    return good


def _is_video(path: Path, *, folders: bool) -> bool:
    from cnnlab.data.video import SUFFIXES

    return folders if path.is_dir() else path.suffix.lower() in SUFFIXES


def _show_video(trained: Any, path: Path, output: Path, **options: Any) -> None:
    """Predicts one video, and tells its files and how fast it went."""
    from cnnlab.videos import predict_video

    shown = predict_video(trained, path, output, quiet=False, **options)
    print(f"{path}: {shown.frames:,} frames, {shown.rate:.1f} frames/s", file=sys.stderr)
    print(shown.video, shown.results, sep="\n")


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


def _sheet_record(trained: Any, path: Path, target: Path, *, mc: Any, seed: int, options: dict) -> dict[str, str]:
    """Predicts one sheet; its files by name."""
    import jax

    from cnnlab.sheets import predict_sheet

    options = options | {"tile": options["tile"] or 512, "mc_samples": mc, "key": jax.random.key(seed)}
    found = predict_sheet(trained, path, target, quiet=False, **options)
    return {"file": str(path)} | {name: str(file) for name, file in found.items()}
