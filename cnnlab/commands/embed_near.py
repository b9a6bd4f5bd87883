"""The output of `cnnlab embed --near`: the images nearest to a photo, a mean of photos, or a sum and difference."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.commands.common import print_json, print_report
from cnnlab.commands.embed_inputs import Part, read_parts
from cnnlab.commands.embed_outputs import output_file
from cnnlab.commands.embed_request import Request
from cnnlab.embeddings.extract import extract
from cnnlab.embeddings.neighbours import Retrieval, Space
from cnnlab.files.figures import save_figures
from cnnlab.files.images import read_pixels
from cnnlab.plots.gallery import gallery
from cnnlab.quoting import for_figure, for_terminal
from cnnlab.trained import Trained
from cnnlab.training.restore import load

_SUFFIXES = (".png", ".pdf", ".svg")
_RARE = 0.05  # typicality below which the neighbours say little
_DOUBT = "few images are as far from their nearest one as this point is from its own, so its neighbours say little"


def show_neighbours(request: Request) -> None:
    """Prints the images nearest to the mean of `--near`, plus the images of `--plus`, less those of `--minus`.

    Raises:
      ValueError: an image or layer does not exist or cannot be read, or there are fewer images than neighbours.
    """
    output = output_file(request, _SUFFIXES, None)
    trained = load(request.run)
    parts = read_parts(trained, request)
    features = np.concatenate([extract(trained, part.examples, layer=request.layer) for part in parts])
    names = [name for part in parts for name in part.names]
    space = Space(features, names, _labels(parts), metric=request.metric)
    signed = {"near": request.near, "+": request.plus, "-": request.minus}
    images = [_image(trained, parts, sign, name) for sign, given in signed.items() for name in given]
    near, plus, minus = ([_point(trained, i, request.layer) for i in images if i.sign == sign] for sign in signed)
    others = len(features) - len({image.place for image in images if image.place is not None})
    found = space.combine([near, *plus], minus, max(1, min(request.nearest, others)))
    query = " + ".join((" and ".join(request.near), *request.plus)) + "".join(f" - {name}" for name in request.minus)
    if output is not None:
        _draw(output, parts, images, found, query)
    _print(request, found, query, output)


class _Image(NamedTuple):
    """An image of the query.

    Attributes:
      sign: `near`, `+` or `-`.
      name: as it was given.
      pixels: `[H, W, C]`.
      place: its place among the images of the space; None if it is not one of them.
    """

    sign: str
    name: str
    pixels: np.ndarray
    place: int | None


def _image(trained: Trained, parts: Sequence[Part], sign: str, name: str) -> _Image:
    """Returns the image of a file, or of a number in the first split."""
    path = Path(name)
    if path.exists():
        same = [i for i, each in enumerate(_paths(parts)) if each == path.resolve()]
        return _Image(sign, name, read_pixels(path, **trained.spec.layout), same[0] if same else None)
    first = parts[0]
    if not (name.isdecimal() and int(name) < len(first.source)):
        raise ValueError(
            f"{name} is no file, and no number of an image of the split {first.split}, which has "
            f"0..{len(first.source) - 1}"
        )
    same = np.flatnonzero(first.numbers == int(name))
    return _Image(
        sign, name, first.source.columns["image"][np.array([int(name)])][0], int(same[0]) if len(same) else None
    )


def _paths(parts: Sequence[Part]) -> Iterator[Path | None]:
    """Yields the file of each image of the space, None for images that have none."""
    for part in parts:
        files = part.examples.files
        yield from [None] * len(part.examples) if files is None else (Path(file).resolve() for file in files)


def _point(trained: Trained, image: _Image, layer: str | None) -> int | np.ndarray:
    """Returns the image's place in the space, or its features."""
    return extract(trained, image.pixels[None], layer=layer)[0] if image.place is None else image.place


def _labels(parts: Sequence[Part]) -> list[str] | None:
    """Returns the name of each image's class; None without classes."""
    labels, classes = np.concatenate([part.labels for part in parts]), parts[0].dataset.spec.classes
    return ["unknown" if k < 0 else classes[k] for k in labels] if (labels >= 0).any() else None


def _records(found: Retrieval) -> list[dict[str, Any]]:
    """Returns a record for each image that was found."""
    records = []
    for i, name in enumerate(found.names):
        label = {} if found.labels is None else {"label": found.labels[i]}
        similarity = {} if found.similarity is None else {"similarity": float(found.similarity[i])}
        records.append({"image": name} | label | similarity | {"distance": float(found.distance[i])})
    return records


def _print(request: Request, found: Retrieval, query: str, output: Path | None) -> None:
    """Prints the images that were found and how sure that is, or one JSON object."""
    sure = {} if found.label is None else {"label": found.label, "share": found.share}
    sure |= {"typicality": found.typicality}
    records = _records(found)
    if request.json:
        files = [] if output is None else [str(output)]
        print_json({"run": request.run, "query": query, **sure, "neighbours": records, "files": files})
        return
    print_report(sure | {"neighbours": records}, f"nearest to {query}", _DOUBT if found.typicality < _RARE else "")
    if output is not None:
        print(for_terminal(output))


def _draw(output: Path, parts: Sequence[Part], images: Sequence[_Image], found: Retrieval, query: str) -> None:
    """Draws the images of the query and those that were found."""
    places = [(part, i) for part in parts for i in range(len(part.examples))]
    chosen = [places[i] for i in found.index]
    pixels = [part.examples.columns["image"][np.array([i])][0] for part, i in chosen]
    scores = [f"{'distance' if found.similarity is None else 'similarity'} {value:.2f}" for value in _scores(found)]
    labels = found.labels or [Path(name).name for name in found.names]
    titles = [f"{image.sign} {Path(image.name).name}" for image in images]
    titles += [f"{label}\n{score}" for label, score in zip(labels, scores, strict=True)]
    figure = gallery([*(image.pixels for image in images), *pixels], titles, title=f"nearest to {for_figure(query)}")
    save_figures({output.stem: figure}, output.parent, figure_format=output.suffix[1:])


def _scores(found: Retrieval) -> np.ndarray:
    return found.distance if found.similarity is None else found.similarity
