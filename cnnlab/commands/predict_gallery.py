"""The output of `cnnlab predict --gallery`: for each photo the images of a gallery that are most alike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cnnlab.commands.common import Misuse
from cnnlab.commands.predict_answers import print_left_out
from cnnlab.commands.predict_inputs import Request, is_result
from cnnlab.commands.predict_outputs import print_or_write, warn_if_different
from cnnlab.data.appearance import measure_photo
from cnnlab.embeddings.neighbours import Retrieval, Space
from cnnlab.files.figures import save_figures
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.listing import find_images
from cnnlab.plots.neighbours import draw_neighbours
from cnnlab.predictions.options import require_option
from cnnlab.predictions.predict import predict_files
from cnnlab.quoting import for_terminal
from cnnlab.tasks.task import Record
from cnnlab.trained import Trained

_DRAWN = 20  # photos in the figure


def show_retrieved(members: Sequence[Trained], runs: Sequence[str], paths: Sequence[str], request: Request) -> None:
    """Prints or writes the nearest images of the gallery for each photo, and draws them if there is a directory.

    A photo that is in the gallery is not its own neighbour.

    Raises:
      ValueError: the network has no embedding, an image cannot be read, or the gallery holds one image.
    """
    options, trained = request.photos, members[0]
    require_option(trained.task, "gallery", "--gallery", run=runs[0])
    looks: dict[Path, dict[str, float]] = {}
    gallery = _embedded(members, options.gallery, request)
    if len(gallery) < 2:
        raise Misuse(f"--gallery {' '.join(options.gallery)} holds one image; name two or more")
    photos = _embedded(members, paths, request, looks)
    warn_if_different(runs[0], looks, options.invert)
    space = Space(np.stack(list(gallery.values())), list(map(str, gallery)))
    places = {path.resolve(): number for number, path in enumerate(gallery)}
    found = {path: _nearest(space, places.get(path.resolve()), photos[path], options.nearest) for path in photos}
    print_or_write([record for path in found for record in _records(path, found[path])], trained.task, request)
    if request.output:
        drawn = {path: found[path] for path in list(found)[:_DRAWN]}
        fewest = min(map(len, drawn.values()))
        near = np.stack([[_pixels(trained, name) for name in each.names[:fewest]] for each in drawn.values()])
        figure = draw_neighbours(np.stack([_pixels(trained, path) for path in drawn]), {"nearest images": near})
        save_figures({"neighbours": figure}, Path(request.output))
        print(for_terminal(Path(request.output) / "neighbours.png"))


def _embedded(
    members: Sequence[Trained],
    paths: Sequence[str],
    request: Request,
    looks: dict[Path, dict[str, float]] | None = None,
) -> dict[Path, np.ndarray]:
    """Returns the embedding `[D]` of each image file; `looks` gets what the photos look like."""
    options, fit = request.photos, members[0].spec.fit

    def look(path: Path, pixels: np.ndarray) -> None:
        if looks is not None:
            looks[path] = measure_photo(pixels, read_header(path)[0], fit)

    files = [file for file in find_images(paths) if not is_result(file, paths, request.output)]
    predictions = predict_files(
        members,
        files,
        mc_samples=request.mc,
        seed=request.seed,
        unreadable=print_left_out if options.skip_unreadable else None,
        invert=options.invert,
        look=look,
    )
    embedded = {path: prediction["embedding"] for path, prediction in predictions}
    if not embedded:
        raise ValueError("none of the files can be read; see above")
    return embedded


def _nearest(space: Space, place: int | None, embedding: np.ndarray, count: int) -> Retrieval:
    """Returns the images nearest to a photo, which has a place in the space if it is in the gallery."""
    others = len(space.features) - (place is not None)
    return space.nearest(embedding if place is None else place, min(count, others))


def _records(path: Path, found: Retrieval) -> list[Record]:
    """Returns a record for each image that was found."""
    return [
        {"file": str(path), "rank": rank, "image": name, "similarity": float(similarity)}
        for rank, (name, similarity) in enumerate(zip(found.names, found.similarity, strict=True), 1)
    ]


def _pixels(trained: Trained, path: str | Path) -> np.ndarray:
    return read_pixels(path, **trained.spec.layout)
