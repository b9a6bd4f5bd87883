"""Show what units respond to: cnnlab features RUN [--layer conv2] [--image photo.png] [--output DIR]."""

from collections.abc import Sequence
from typing import Literal

from cnnlab.commands.common import AsJson, Directory, File, Misuse, MovedData, Run, parse
from cnnlab.commands.features_request import Request
from cnnlab.files.figures import FigureFormat

_COMMON = ("layer", "unit", "image", "split", "output", "json")
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Draws the filters, top patches and activations of a run's layers, and writes `features.json`."""

    def command(
        run: Run,
        /,
        layer: tuple[str, ...] = (),
        unit: tuple[int, ...] = (),
        image: File = None,
        scale: Literal["unit", "layer"] = "unit",
        patches: bool = True,
        visualise: bool = True,
        count: int = 9,
        most: int = 64,
        split: str = "test",
        data_path: MovedData = None,
        batch_size: int | None = None,
        seed: int = 0,
        output: Directory = None,
        figure_format: FigureFormat = "png",
        json: AsJson = False,
    ) -> Request:
        """Show what the units of a network respond to.

        For each layer: its filters, before and after training; for each of its units the patches of the run's data that
        excite it most, beside their deconvolved patterns and an image that is made for it; and for an image the
        activations of every layer. It names the units that never fire.

        Args:
            run: run directory.
            layer: layers, such as conv2; by default those of all convolutions (a normalisation that follows stands for
                its convolution), without images that are made for units, and for --image every layer.
            unit: numbers of the units on the sheets; by default the first ones, at most --most.
            image: image file whose activations are drawn; it is resized to the size of the training images.
            scale: whether tiles of filters and activations are normalised one by one (unit) or together (layer).
            patches: whether to look for the patches, which takes a pass over the data.
            visualise: whether to make an image for each unit of the named layers.
            count: number of patches of each unit.
            most: largest number of units of a layer on the sheets.
            split: train, validation or test.
            data_path: new path of the run's data, if it has moved.
            batch_size: number of images in a batch; by default as many as fit, at most 256.
            seed: seed of the noise that images are made from.
            output: directory for the sheets and features.json; by default RUN/features.
            figure_format: file type of the sheets: png (300 dpi), or pdf or svg, which print sharply at any size.
            json: print one JSON object.
        """
        return Request(
            run,
            layer,
            unit,
            image,
            scale,
            patches,
            visualise,
            count,
            most,
            split,
            data_path,
            batch_size,
            seed,
            output,
            figure_format,
            json,
        )

    request = parse(command, arguments, "features", common=_COMMON)
    for name in ("count", "most"):
        if getattr(request, name) < 1:
            raise Misuse(f"--{name} must be 1 or more, found {getattr(request, name)}")
    from cnnlab.commands.features_outputs import show_features

    show_features(request)
