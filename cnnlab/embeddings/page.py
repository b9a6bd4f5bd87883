"""The page of an embedding: one HTML file that needs no network and sends nothing."""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.colours import CLASSES, GREY, RAMP
from cnnlab.embeddings.atlas import pack
from cnnlab.embeddings.inline import whole_page
from cnnlab.embeddings.points import Points
from cnnlab.files.atomic import write_text
from cnnlab.quoting import for_terminal

MODULES = (
    *("strings", "reading", "view", "colours", "dots", "thumbnails", "lasso", "legend", "details", "selection"),
    *("gestures", "main"),
)
"""The modules of the page, each after those that it imports."""

SHOWN_CLASSES = 10
"""Number of classes whose probability is stored for an image, the most probable ones."""
SHOWN_NEIGHBOURS = 12
"""Number of neighbours that are stored for an image."""


def write_page(path: Path, points: Points) -> Path:
    """Writes the page of an embedding atomically, and returns its path.

    The page is one file: style, script, places and thumbnails are in it, and its policy forbids every connection. All
    thumbnails are in one picture of at most 4096 x 4096 pixels and are shrunk until they fit; see `atlas.py`.

    Args:
      path: file to write, by custom `.html`.
      points: what the page shows.

    >>> import tempfile
    >>> import numpy as np
    >>> from cnnlab.embeddings.points import Points
    >>> places, images = {"PCA": np.eye(2, dtype=np.float32)}, np.zeros((2, 8, 8, 1), np.uint8)
    >>> insects = Points(places, images, ["a.png", "b.png"], {}, np.array([[1], [0]]), None, (), "Insects", ())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text = write_page(Path(folder) / "insects.html", insects).read_text()
    >>> "<title>Insects</title>" in text, "default-src 'none'" in text
    (True, True)
    """
    atlas = pack(points.thumbnails)
    data = {
        "title": for_terminal(points.title),
        "notes": [for_terminal(note) for note in points.notes],
        "names": [for_terminal(name) for name in points.names],
        "planes": [{"name": name, "places": _packed(in_unit_square(xy))} for name, xy in points.planes.items()],
        "columns": [column(name, values, points.classes) for name, values in points.colours.items()],
        "neighbours": _table(points.neighbours[:, :SHOWN_NEIGHBOURS], len(points)),
        "classes": [for_terminal(name) for name in points.classes],
        "probs": None if points.probs is None else _most_probable(np.asarray(points.probs)),
        "colours": {"classes": CLASSES, "ramp": RAMP, "unknown": GREY},
        "thumbnails": {
            "type": atlas.media_type,
            "columns": atlas.columns,
            "height": atlas.height,
            "width": atlas.width,
            "own": points.thumbnails.shape[1:3],
        },
    }
    picture = base64.b64encode(atlas.data).decode()
    title = for_terminal(points.title)
    page = whole_page("embeddings/page_assets", MODULES, title=title, data=data, blobs={"thumbnails": picture})
    write_text(Path(path), page)
    return Path(path)


def in_unit_square(places: np.ndarray) -> np.ndarray:
    """Moves and scales places `[N, 2]` into the middle of the unit square, both axes by the same factor.

    >>> import numpy as np
    >>> in_unit_square(np.array([[0.0, 2.0], [4.0, 4.0]])).tolist()
    [[0.0, 0.25], [1.0, 0.75]]
    """
    places = np.asarray(places, np.float64)
    low, high = places.min(0), places.max(0)
    return ((places - (low + high) / 2) / ((high - low).max() or 1) + 0.5).astype(np.float32)


def column(name: str, values: Sequence[str] | np.ndarray, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Returns a column as the page reads it: numbers, or categories in the order of the classes, then of their names.

    >>> found = column("label", ["10", "9", "", "b"], classes=("b",))
    >>> found["kind"], found["labels"]
    ('categories', ['b', '9', '10'])
    """
    array = np.asarray(values)
    if array.dtype.kind in "fiu":
        return {"name": for_terminal(name), "kind": "numbers", "values": _packed(array.astype(np.float32))}
    texts = [str(value) for value in values]
    place = {label: i for i, label in enumerate(classes)}
    labels = sorted(set(texts) - {""}, key=lambda label: (place.get(label, len(place)), _natural(label)))
    numbers = {label: i for i, label in enumerate(labels)} | {"": len(labels)}
    indices = np.array([numbers[text] for text in texts])
    quoted = [for_terminal(label) for label in labels]
    return {
        "name": for_terminal(name),
        "kind": "categories",
        "labels": quoted,
        "values": _indices(indices, len(labels)),
    }


def _natural(label: str) -> list[tuple[int, int, str]]:
    """Returns the key of an order in which 9 comes before 10."""
    parts = re.findall(r"[0-9]+|[^0-9]+", label)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _most_probable(probs: np.ndarray) -> dict[str, Any]:
    best = np.argsort(-probs, axis=1, kind="stable")[:, :SHOWN_CLASSES]
    values = np.round(np.take_along_axis(probs, best, 1).clip(0, 1) * 65535).astype("<u2")
    return {"classes": _table(best, probs.shape[1]), "values": _packed(values)}


def _table(indices: np.ndarray, most: int) -> dict[str, Any]:
    return {"columns": indices.shape[1], **_indices(indices, most)}


def _indices(indices: np.ndarray, most: int) -> dict[str, Any]:
    return _packed(indices.astype("<u2" if most < 1 << 16 else "<u4"))


def _packed(array: np.ndarray) -> dict[str, Any]:
    """Returns an array as base64 of its little-endian bytes, with the name of JavaScript's array of its type."""
    kind = {"u2": "Uint16Array", "u4": "Uint32Array", "f4": "Float32Array"}[array.dtype.str[1:]]
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return {"type": kind, "data": base64.b64encode(little.tobytes()).decode()}
