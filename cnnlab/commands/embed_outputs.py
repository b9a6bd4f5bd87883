"""The output of `cnnlab embed`: maps with their scores, as a page, a figure and a table."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from cnnlab.commands.common import Misuse, print_json, print_report
from cnnlab.commands.embed_inputs import Part, read_parts
from cnnlab.commands.embed_request import Request
from cnnlab.commands.embed_tables import colours, joined, predictions
from cnnlab.embeddings.embed import Embedding, measured, quality_text, titles
from cnnlab.embeddings.extract import extract
from cnnlab.embeddings.neighbours import nearest_images
from cnnlab.embeddings.project import PROJECTIONS, project
from cnnlab.embeddings.thumbnails import thumbnails
from cnnlab.errors import check_known
from cnnlab.evaluation.per_example import Table
from cnnlab.files.figures import FigureFormat, save_figures
from cnnlab.files.tables import write_table
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained
from cnnlab.training.restore import load

PAGE, TABLES = ".html", (".csv", ".parquet")
_FIGURES = tuple(f".{kind}" for kind in get_args(FigureFormat))


def show_maps(request: Request) -> None:
    """Maps the images, writes the output, and prints the scores and the names of the files.

    Raises:
      ValueError: images, layer or projection do not exist, or there are too few images.
    """
    output = output_file(request, (PAGE, *_FIGURES, *TABLES), Path(request.run) / "embedding.html")
    for name in request.method:
        check_known("projection", name, PROJECTIONS)
    trained = load(request.run)
    parts = read_parts(trained, request)
    features = np.concatenate([extract(trained, part.examples, layer=request.layer) for part in parts])
    tables, probs = zip(*(predictions(trained, part, mc=request.mc, seed=request.seed) for part in parts), strict=True)
    planes = {}
    for name in dict.fromkeys(request.method):
        print(f"{name} of {len(features):,} images, {features.shape[1]} features", file=sys.stderr)
        planes[name] = project(features, name, seed=request.seed, neighbours=request.neighbours)
    labels = np.concatenate([part.labels for part in parts])
    known = labels if (labels >= 0).any() else None
    embedding = measured(features, planes, labels=known, classes=trained.spec.classes)
    table, notes = joined(tables), sentences(embedding)
    title = f"{_described(parts)} by {request.run}{f', {request.layer}' if request.layer else ''}"
    if output.suffix == PAGE:
        both = None if probs[0] is None else np.concatenate(probs)
        _write_page(output, trained, embedding, parts, (table, both), title, notes, request)
    elif output.suffix in _FIGURES:
        _write_figure(output, embedding)
    beside = output if output.suffix in TABLES else output.with_suffix(f".{request.format}")
    write_table(beside, _with_places(table, planes))
    _print(request, embedding, parts, title, notes, list(dict.fromkeys((output, beside))))


def output_file(request: Request, suffixes: Sequence[str], default: Path | None) -> Path | None:
    """Returns the file of `--output`, whose folder is made; raises `Misuse` if its suffix is none of these."""
    output = default if request.output is None else Path(request.output)
    if output is None:
        return None
    if output.suffix not in suffixes:
        raise Misuse(f"--output must end in {', '.join(suffixes)}, found {output}")
    output.parent.mkdir(parents=True, exist_ok=True)
    return output


def sentences(embedding: Embedding) -> list[str]:
    """Returns sentences on what the maps keep, and on images that cannot be told apart."""
    out = []
    if embedding.knn_accuracy is not None:
        out.append(f"Space of features: accuracy of neighbours {embedding.knn_accuracy:.1%}.")
    out += [f"{PROJECTIONS[name].title}: {quality_text(scores)}." for name, scores in embedding.quality.items()]
    if "tsne" in embedding.planes or "umap" in embedding.planes:
        out.append("In t-SNE and UMAP only nearness counts: sizes of groups and distances between them mean little.")
    same = len(embedding) - len({row.tobytes() for row in embedding.features})
    if same:
        out.append(f"{same:,} images have exactly the features of another one.")
    return out


def _described(parts: Sequence[Part]) -> str:
    """Names the images: the data, its splits, and their number."""
    total = sum(len(part.examples) for part in parts)
    splits = f", {', '.join(part.split for part in parts)}" if parts[0].labelled else ""
    return f"{parts[0].dataset.name}{splits}: {total:,} images"


def _with_places(table: Table, planes: dict[str, np.ndarray]) -> Table:
    """Returns a table with the coordinates of each map after the names of the images."""
    names = {name: table[name] for name in ("file", "index", "split") if name in table}
    places = {f"{name}.{axis}": plane[:, i] for name, plane in planes.items() for i, axis in enumerate("xy")}
    return names | places | {name: column for name, column in table.items() if name not in names}


def _write_page(
    output: Path,
    trained: Trained,
    embedding: Embedding,
    parts: Sequence[Part],
    rows: tuple[Table, np.ndarray | None],
    title: str,
    notes: Sequence[str],
    request: Request,
) -> None:
    """Writes the page with thumbnails, colours, probabilities and neighbours."""
    from cnnlab.embeddings.page import write_page
    from cnnlab.embeddings.points import Points

    table, probs = rows
    write_page(
        output,
        Points(
            planes={PROJECTIONS[name].title: plane for name, plane in embedding.planes.items()},
            thumbnails=np.concatenate([thumbnails(part.examples, total=len(embedding)) for part in parts]),
            names=[name for part in parts for name in part.names],
            colours=colours(table, several=len(parts) > 1),
            neighbours=nearest_images(embedding.features, min(request.nearest, len(embedding) - 1))[0],
            probs=probs,
            classes=() if probs is None else trained.spec.classes,
            title=title,
            notes=notes,
        ),
    )


def _write_figure(output: Path, embedding: Embedding) -> None:
    """Draws the maps, coloured by class."""
    from cnnlab.plots.planes import draw_planes

    figure = draw_planes(embedding.planes, embedding.labels, embedding.classes, titles=titles(embedding))
    save_figures({output.stem: figure}, output.parent, figure_format=output.suffix[1:])


def _print(
    request: Request,
    embedding: Embedding,
    parts: Sequence[Part],
    title: str,
    notes: Sequence[str],
    files: Sequence[Path],
) -> None:
    """Prints the scores and the names of the files, or one JSON object."""
    report: dict[str, Any] = {"images": len(embedding), "features": embedding.features.shape[1]}
    if embedding.knn_accuracy is not None:
        report["knn_accuracy"] = embedding.knn_accuracy
    if request.json:
        places = {"run": request.run, "data": parts[0].dataset.name, "splits": [part.split for part in parts]}
        places |= {"layer": request.layer, "seed": request.seed}
        print_json(places | report | {"projections": embedding.quality, "notes": notes, "files": list(map(str, files))})
        return
    report["projections"] = [{"projection": name, **scores} for name, scores in embedding.quality.items()]
    print_report(report, title)
    print(*map(for_terminal, files), sep="\n")
