"""Explain answers: cnnlab explain RUN PATH... [--method grad_cam] [--target 3] [--mc 30] [--output DIR]."""

from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from cnnlab.commands.common import AsJson, Directory, Misuse, Run, parse
from cnnlab.commands.explain_request import Request
from cnnlab.files.figures import FigureFormat

_COMMON = ("method", "target", "mc", "verdict", "output", "json")
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Draws for each photo why the network gave its first and its second answer, and how far to trust the maps."""

    def command(
        run: Run,
        paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PATH...")],
        /,
        method: Annotated[tuple[str, ...], tyro.conf.arg(metavar="METHOD...")] = ("auto",),
        target: Annotated[str | None, tyro.conf.arg(metavar="TARGET")] = None,
        layer: Annotated[str | None, tyro.conf.arg(metavar="LAYER")] = None,
        mc: int | Literal["auto"] = "auto",
        verdict: bool = True,
        scores: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SCORE...")] = ("deletion", "insertion"),
        classes: int = 0,
        output: Directory = None,
        figure_format: FigureFormat = "png",
        window: tuple[int, int] | None = None,
        frames: tuple[int, ...] = (1,),
        invert: bool = False,
        seed: int = 0,
        json: AsJson = False,
    ) -> Request:
        """Explain a trained network's answers for photos: which pixels do they hang on?

        Args:
            run: run directory.
            paths: image files, folders, sheets and videos; run directories before them form an ensemble with the first
                one, whose maps are averaged.
            method: methods, such as grad_cam occlusion; cnnlab list names them all. auto takes grad_cam, or occlusion
                for a network without spatial layers.
            target: what to explain: a class's name or number, or 4-9 for why 4 and not 9; by default the first and
                the second answer.
            layer: layer of class activation maps, such as conv2; by default the last one with spatial axes.
            mc: number of MC-Dropout passes for the error bars, or 0 for none; auto takes 20 where the network has
                dropout.
            verdict: whether to judge each map, beside a random map and the image's edges.
            scores: scores of the verdict: deletion, insertion, road, infidelity, max_sensitivity, randomisation.
            classes: number of classes of the sheet NAME_classes.png, which shows a map of each, the most probable
                first; 0 for no sheet.
            output: directory for the figures, the maps (.npy) and explanations.json; by default RUN/explanations.
            figure_format: file type of the figures: png (300 dpi), or pdf or svg, which print sharply at any size.
            window: row and column of the upper left corner of the window that is explained, for a sheet; by default the
                window in its middle.
            frames: numbers of the frames that are explained, for a video, from 1.
            invert: exchange black and white, as for cnnlab predict --invert.
            seed: seed of the dropout masks and of random methods.
            json: print one JSON object.
        """
        maps = (method, target, layer, mc, verdict, scores, classes)
        return Request(run, paths, *maps, output, figure_format, window, frames, invert, seed, json)

    request = parse(command, arguments, "explain", common=_COMMON)
    import cnnlab
    from cnnlab.commands.explain_inputs import read_inputs
    from cnnlab.commands.explain_outputs import explain_images
    from cnnlab.commands.predict_inputs import split_runs

    runs, paths = split_runs(request.run, request.paths)
    if not paths:
        raise Misuse("no PATH given; name image files, folders or videos")
    members = [cnnlab.load(each) for each in runs]
    options = {"window": request.window, "frames": request.frames, "invert": request.invert}
    images = read_inputs(members[0], paths, **options)
    explain_images(members, images, request)
