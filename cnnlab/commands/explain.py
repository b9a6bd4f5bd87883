"""Explain answers: cnnlab explain RUN PATH... [--method grad_cam] [--target 3] [--mc 30] [--output DIR]."""

from collections.abc import Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import AsJson, Misuse, Run, parse
from cnnlab.commands.explain_request import Request


def run(arguments: Sequence[str]) -> None:
    """Draws for each photo why the network gave its first and its second guess, and how far to trust the maps."""

    def command(
        run: Run,
        paths: tyro.conf.Positional[tuple[str, ...]],
        /,
        method: tuple[str, ...] = ("auto",),
        target: str | None = None,
        layer: str | None = None,
        mc: int | Literal["auto"] = "auto",
        verdict: bool = True,
        scores: tuple[str, ...] = ("deletion", "insertion"),
        classes: int = 0,
        output: str | None = None,
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
                the second guess.
            layer: layer of class activation maps, such as conv2; by default the last one with spatial axes.
            mc: number of MC-Dropout passes for the error bars, or 0 for none; auto takes 20 where the network has
                dropout.
            verdict: whether to judge each map, beside a random map and the image's edges.
            scores: scores of the verdict: deletion, insertion, road, infidelity, max_sensitivity, randomisation.
            classes: number of classes of the sheet NAME_classes.png, which shows a map of each, the most probable
                first; 0 for no sheet.
            output: directory for the figures, the maps (.npy) and explanations.json; by default RUN/explanations.
            window: row and column of the upper left corner of the window that is explained, for a sheet; by default the
                window in its middle.
            frames: numbers of the frames that are explained, for a video, from 1.
            invert: exchange black and white, as for cnnlab predict --invert.
            seed: seed of the dropout masks and of random methods.
            json: print one JSON object.
        """
        return Request(
            run, paths, method, target, layer, mc, verdict, scores, classes, output, window, frames, invert, seed, json
        )

    request = parse(command, arguments, "explain")
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
