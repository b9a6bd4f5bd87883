"""Predict photos, sheets, videos: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50] [--tile 512]."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cnnlab.commands.common import Directory, Misuse, Run, parse
from cnnlab.commands.predict_inputs import (
    PartOptions,
    PhotoOptions,
    Request,
    VideoOptions,
    check_merge,
    check_request,
    sort_paths,
)
from cnnlab.files.opening import ImageError
from cnnlab.files.tables import check_format
from cnnlab.sheets.options import SheetOptions

_COMMON = ("output", "format", "mc", "tile", "photos", "parts")
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Prints the predictions, or writes them and their drawings to a directory; boxes are in COCO's results format."""

    def command(
        run: Run = "",
        paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PATH...")] = (),
        /,
        output: Directory = None,
        format: Literal["json", "csv", "parquet", "coco", "yolo", "voc", "labelme", "labelstudio"] = "json",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
        tile: int | None = None,
        photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = PhotoOptions(),
        sheets: tyro.conf.OmitArgPrefixes[SheetOptions] = SheetOptions(),
        videos: tyro.conf.OmitArgPrefixes[VideoOptions] = VideoOptions(),
        parts: tyro.conf.OmitArgPrefixes[PartOptions] = PartOptions(),
    ) -> Request:
        """Predict photos with a trained network; for segmentation also sheets, window by window; for detection also
        videos, frame by frame.

        Args:
            run: run directory.
            paths: image files, folders and videos; run directories before them form an ensemble with the first one,
                whose predictions are averaged.
            output: directory for predictions.json, .csv or .parquet, masks, maps and drawings of boxes; by default
                predictions go to standard output. A video becomes NAME.mp4 and NAME.json, whose image_id is the number
                of the frame, from 1.
            format: format of the predictions: json or csv; parquet, with exact numbers (pip install
                'cnnlab[parquet]'); or annotations to import and correct in a tool: boxes that score .3 or more,
                outlines of regions of 10 pixels or more, and, for labelme and labelstudio, classes of photos. All but
                json and csv need --output.
            mc: number of MC-Dropout passes, or auto for as many as are needed; by default one pass without dropout.
            seed: seed of the dropout masks.
            tile: tile size, the side of a sheet's windows in pixels; every file becomes a sheet at its own resolution.
                By default files are sheets with a tile size of 512 if they are georeferenced or more than twice as
                high or wide as the training images. Other files are predicted in one piece, at their own resolution
                unless the training images were resized. With 0 no file is a sheet.
            photos: options of photos.
            sheets: options of sheets.
            videos: options of videos.
            parts: options of predictions that several processes share.
        """
        return Request(run, paths, output, format, mc, seed, tile, photos, sheets, videos, parts)

    request = parse(command, arguments, "predict", common=_COMMON)
    if request.parts.merge is not None:
        check_merge(request)
        from cnnlab.commands.predict_parts import merge

        merge(Path(request.parts.merge))
        return
    if not request.run:
        raise Misuse("no RUN given; name a run directory")
    runs, videos, paths = sort_paths(request)
    check_request(request, runs, videos, paths)
    check_format(request.format)
    import cnnlab
    from cnnlab.commands.predict_cluster import show_cluster
    from cnnlab.commands.predict_gallery import show_retrieved
    from cnnlab.commands.predict_outputs import show_files, show_videos
    from cnnlab.commands.predict_parts import show_part

    if request.parts.engine:
        with _with_cure(request):
            show_cluster(runs, paths, request)
        return
    members = [cnnlab.load(run) for run in runs]
    show_videos(members[0], videos, request)
    if paths or request.parts.manifest:
        show = show_part if request.parts.part else show_retrieved if request.photos.gallery else show_files
        with _with_cure(request):
            show(members, runs, paths, request)


@contextlib.contextmanager
def _with_cure(request: Request) -> Iterator[None]:
    """Adds to the error of a file that cannot be read which option leaves such files out."""
    try:
        yield
    except ImageError as error:
        cure = "" if request.photos.skip_unreadable else ", or leave such files out with --skip-unreadable"
        raise ImageError(f"{error}{cure}") from None
