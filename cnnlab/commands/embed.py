"""Map images by their features: cnnlab embed RUN [DATA | PATH...] [--near photo.jpg] [--output FILE]."""

from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from cnnlab.commands.common import AsJson, File, Misuse, Run, parse
from cnnlab.commands.embed_request import Request
from cnnlab.files.tables import TableFormat, check_format

_COMMON = ("layer", "method", "split", "count", "mc", "near", "plus", "minus", "output", "json")
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Maps images in the plane and writes a page, or prints the neighbours of a photo."""

    def command(
        run: Run,
        paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="[DATA | PATH...]")] = (),
        /,
        layer: str | None = None,
        method: tuple[str, ...] = ("tsne", "pca"),
        split: tuple[str, ...] = ("test",),
        count: int = 10_000,
        neighbours: int | None = None,
        mc: int | None = None,
        seed: int = 0,
        near: tuple[str, ...] = (),
        plus: tuple[str, ...] = (),
        minus: tuple[str, ...] = (),
        nearest: int = 8,
        metric: Literal["cosine", "euclidean"] = "cosine",
        output: File = None,
        format: TableFormat = "csv",
        skip_unreadable: bool = False,
        json: AsJson = False,
    ) -> Request:
        """Show which images are alike for a network.

        It computes the features of the images, places them in the plane, and prints how far each map can be trusted:
        whether neighbours in the plane are neighbours in the space of features (trustworthiness), and how often ten
        neighbours name the class, in the space and in the plane. The page shows the images, and their neighbours.

        With --near it prints the images nearest to a photo instead; --plus and --minus add and subtract others.

        Args:
            run: run directory.
            paths: a labelled folder, or image files and folders without labels; by default the run's own data.
            layer: layer whose output, averaged over places, is the features; pixels for the pixels; by default the
                input of the last layer.
            method: projections: pca, tsne, umap (pip install 'cnnlab[embed]').
            split: one or more of train, validation and test.
            count: largest number of images; of more, a random choice.
            neighbours: number of neighbours that tsne (30 by default) and umap (15) keep together.
            mc: number of MC-Dropout passes, by which images can be coloured by mutual information.
            seed: seed of the maps, the choice of images and the dropout masks.
            near: image files, or numbers of images of the split, whose mean is the point.
            plus: images that are added to this point.
            minus: images that are subtracted from it.
            nearest: largest number of neighbours that are printed, or shown on the page.
            metric: what is near to --near: a large inner product of features of length 1, or a small distance.
            output: a page (.html), or a figure (.png, .pdf, .svg), each with a table of the coordinates beside it,
                or that table alone (.csv, .parquet); with --near a figure of the neighbours. By default
                RUN/embedding.html, with --near none.
            format: format of the table beside a page or figure: csv, or parquet with its exact numbers (pip install
                'cnnlab[parquet]').
            skip_unreadable: leave out files that are damaged or no image, and print their names.
            json: print one JSON object.
        """
        options = (layer, method, split, count, neighbours, mc, seed, near, plus, minus, nearest, metric)
        return Request(run, paths, *options, output, format, skip_unreadable, json)

    request = parse(command, arguments, "embed", common=_COMMON)
    check_format(request.format)
    for name, least in (("count", 2), ("nearest", 1), ("mc", 1)):
        value = getattr(request, name)
        if value is not None and value < least:
            raise Misuse(f"--{name} must be {least} or more, found {value}")
    if (request.plus or request.minus) and not request.near:
        raise Misuse("--plus and --minus change the point of --near; name its image, such as --near photo.jpg")
    if request.near:
        from cnnlab.commands.embed_near import show_neighbours

        show_neighbours(request)
    else:
        from cnnlab.commands.embed_outputs import show_maps

        show_maps(request)
