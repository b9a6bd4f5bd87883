"""Predict photos, sheets, videos: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50] [--tile 512]."""

from collections.abc import Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import Run, parse
from cnnlab.commands.predict_inputs import FilmOptions, PhotoOptions, Request, check_request, sort_paths
from cnnlab.sheets.options import SheetOptions


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
        tile: int | None = None,
        photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = PhotoOptions(),
        sheets: tyro.conf.OmitArgPrefixes[SheetOptions] = SheetOptions(),
        films: tyro.conf.OmitArgPrefixes[FilmOptions] = FilmOptions(),
    ) -> Request:
        """Predict image files with a trained network; sheets, for segmentation, window by window; videos, for
        detection, frame by frame.

        Args:
            run: the run directory.
            paths: image files, folders and videos; before them more run directories, of an ensemble, whose answers
                are averaged.
            output: directory for predictions.json or .csv, masks, maps and drawn boxes; standard output if left out. Of
                each video it gets NAME.mp4 and NAME.json, whose image_id is the number of the frame, from 1.
            format: of the predictions.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            seed: of the dropout masks.
            tile: side of a sheet's windows in pixels: every file is taken as a sheet, at its own resolution. If left
                out, files that are georeferenced or more than twice as high or wide as what the network was trained on
                are, by windows of 512; the others are answered in one piece, at their own resolution too, unless what
                it was trained on had been resized. 0 cuts none.
            photos: options of photos.
            sheets: options of sheets.
            films: options of videos.
        """
        return Request(run, paths, output, format, mc, seed, tile, photos, sheets, films)

    request = parse(command, arguments, "predict")
    runs, videos, paths = sort_paths(request)
    check_request(request, runs, videos, paths)
    import cnnlab
    from cnnlab.commands.predict_outputs import show_files, show_videos

    members = [cnnlab.load(run) for run in runs]
    show_videos(members[0], videos, request)
    if paths:
        show_files(members, runs, paths, request)
