"""Predict photos, sheets, videos: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50] [--tile 512]."""

from collections.abc import Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import Run, parse
from cnnlab.commands.predict_inputs import Asked, check_asked, sort_paths


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
        watershed: float | None = None,
        vectors: Literal["gpkg", "geojson", "none"] = "gpkg",
        video: bool = False,
        rate: float = 25.0,
    ) -> Asked:
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
            group: of detections, group those of each pass, or of each run, by overlap, one record an object with its
                frequency, the share that found it, instead of averaging on the network's own grid.
            calibrated: apply the calibration and the conformal sets that evaluate fitted and the run keeps.
            skip_unreadable: leave out files that are no image or damaged, and name them.
            ids: a COCO annotation file, whose numbers of photos and categories the boxes get, so that they can be
                scored against it; if left out, photos are numbered in order, from 1, and so are classes.
            tile: side of a sheet's windows in pixels: every file is taken as a sheet, at its own resolution. If left
                out, files that are georeferenced or more than twice as high or wide as what the network was trained on
                are, by windows of 512; the others are answered in one piece, at their own resolution too, unless what
                it was trained on had been resized. 0 cuts none.
            overlap: of a sheet's windows in pixels; what the network sees and 32 more, up to half a tile, if left out.
            bands: of a sheet, counted from 1, one a channel.
            smallest: pixels of a sheet's smallest polygon.
            background: the class that gets no polygons: its name, first, or none.
            watershed: of a sheet whose background is outlines (its name in background), their probability below which
                a shape begins, on smallest pixels or more, to be flooded up to where it meets the next one: gaps in
                outlines are closed. Needs the extra shapes; up to 134 megapixels.
            vectors: format of a georeferenced sheet's polygons, or none for no polygons.
            video: folders hold the frames of a video each, in the order of their names.
            rate: frames a second of such a folder.
        """
        sheet = {"tile": tile, "overlap": overlap, "bands": bands, "smallest": smallest, "background": background}
        sheet |= {"watershed": watershed, "vectors": vectors}
        photos = {"group": group, "calibrated": calibrated, "skip_unreadable": skip_unreadable, "ids": ids}
        films = {"folders": video, "rate": rate}
        return Asked(run, paths, output, format, mc, seed, photos, sheet, films)

    asked = parse(command, arguments, "predict")
    runs, videos, paths = sort_paths(asked)
    check_asked(asked, runs, videos, paths)
    import cnnlab
    from cnnlab.commands.predict_outputs import show_files, show_videos

    members = [cnnlab.load(run) for run in runs]
    show_videos(members[0], videos, asked)
    if paths:
        show_files(members, runs, paths, asked)
