"""Reads and predicts the images of a pool, one batch at a time, and keeps the little that a choice needs of each."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnlab.embeddings import extract
from cnnlab.files.images import read_pixels
from cnnlab.files.listing import find_images
from cnnlab.files.opening import ImageError
from cnnlab.files.photo import Photo
from cnnlab.labelling.acquisition import ACQUISITIONS, Acquisition, score_of
from cnnlab.predictions.predict import fitting_size, predict_files, predict_images
from cnnlab.tasks import Prediction
from cnnlab.trained import Trained

Images = Sequence[str | Path] | str | Path | np.ndarray
"""Image files and folders, or images `[N, H, W, C]` in memory."""

CANDIDATE_BYTES = 256 << 20  # of the passes that are kept


class Pool(NamedTuple):
    """The images of a pool.

    Attributes:
      columns: `[N]` by name: `file`, or `index` for images in memory; `prediction`, the class, where an image has one
        distribution; `confidence`, the largest probability, and `entropy` and, over passes, `mutual_information` in
        nats, of maps and boxes their means.
      score: `[N]`.
      features: `[N, D]`; None unless requested.
      candidates: numbers `[M]` of the images with the largest scores, in the order of the pool, and their probabilities
        in each pass `[M, T, K]`; None unless requested.
      pixels: function from the number of an image to its pixels `[H, W, C]`, as the network reads them; it reads the
        file again.
    """

    columns: dict[str, np.ndarray]
    score: np.ndarray
    features: np.ndarray | None
    candidates: tuple[np.ndarray, np.ndarray] | None
    pixels: Callable[[int], np.ndarray]


def read_pool(
    members: Sequence[Trained],
    images: Images,
    *,
    acquisition: Acquisition | None,
    with_features: bool,
    most_candidates: int,
    batch_size: int,
    unreadable: Callable[[ImageError], None] | None = None,
    **options: Any,
) -> Pool:
    """Reads each image once, predicts and scores it.

    Args:
      members: one network, or several whose predictions are averaged.
      images: the images.
      acquisition: score of an image; None for none.
      with_features: whether to compute the features of the first network.
      most_candidates: number of images whose passes are kept, fewer if they take more than 256 MiB; 0 for none.
      batch_size: number of images at a time.
      unreadable: callback that gets the error of a file that cannot be read, as in `predict_files`.
      **options: `mc_samples` and `seed`, as in `predict_files`.

    Raises:
      ValueError: there is no image, or one is missing or cannot be read.
    """
    in_memory, first = isinstance(images, np.ndarray), members[0]
    look, features = _collect_features(first, batch_size) if with_features else (lambda name, pixels: None, list)
    options |= {"batch_size": batch_size, "each_pass": most_candidates > 0}
    if in_memory:
        predictions = _predict_array(members, images, look=look, **options)
    else:
        files = find_images([images] if isinstance(images, str | Path) else images)
        predictions = predict_files(members, files, look=look, unreadable=unreadable, **options)
    names, rows, scores, best = [], [], [], []
    for number, (name, prediction) in enumerate(predictions):
        names.append(name if in_memory else str(name))
        rows.append(describe(prediction, first))
        scores.append(0.0 if acquisition is None else score_of(acquisition, prediction, first.task))
        if most_candidates:
            passes = np.asarray(prediction["passes"]["probs"], np.float32)
            most = max(1, min(most_candidates, CANDIDATE_BYTES // passes.nbytes))
            (heapq.heappush if len(best) < most else heapq.heappushpop)(best, (scores[-1], -number, passes))
    if not rows:
        raise ValueError("pool holds no image; give one or more" if in_memory else "none of the images can be read")
    columns = {"index" if in_memory else "file": np.array(names, None if in_memory else object)}
    columns |= {name: np.array([row[name] for row in rows], _dtype(rows[0][name])) for name in rows[0]}
    kept = sorted(best, key=lambda entry: -entry[1])
    candidates = (np.array([-entry[1] for entry in kept]), np.stack([entry[2] for entry in kept])) if kept else None

    def pixels(number: int) -> np.ndarray:
        return images[number] if in_memory else read_photo(first, names[number])

    return Pool(columns, np.array(scores), np.concatenate(features()) if with_features else None, candidates, pixels)


def read_photo(trained: Trained, path: str | Path) -> np.ndarray:
    """Reads a photo as a network does, `[H, W, C]` uint8."""
    return read_pixels(path, **trained.spec.layout | {"size": fitting_size(trained)(Photo(Path(path)))})


def describe(prediction: Prediction, trained: Trained) -> dict[str, Any]:
    """Returns the prediction of an image in a few words and numbers, as in `Pool.columns`."""
    if "probs" not in prediction:
        return {}
    probs, out = np.asarray(prediction["probs"]), {}
    if probs.ndim == 1:
        out["prediction"] = trained.spec.classes[int(probs.argmax())]
    names = {"confidence": "least_confidence", "entropy": "entropy", "mutual_information": "mutual_information"}
    means = {n: score_of(ACQUISITIONS[by], prediction, trained.task) for n, by in names.items() if _has(prediction, by)}
    return out | means | {"confidence": 1 - means["confidence"]}


def _has(prediction: Prediction, by: str) -> bool:
    return not ACQUISITIONS[by].passes or by in prediction


def _dtype(value: Any) -> Any:
    return object if isinstance(value, str) else np.float64


def _predict_array(
    members: Sequence[Trained], images: np.ndarray, *, look: Callable[[int, np.ndarray], None], **options: Any
) -> Iterator[tuple[int, Prediction]]:
    """Yields the number of each image and its prediction."""

    def each() -> Iterator[np.ndarray]:
        for number, pixels in enumerate(images):
            look(number, pixels)
            yield pixels

    options["batch_size"] = min(options["batch_size"], max(len(images), 1))
    yield from enumerate(predict_images(members, each(), **options))


def _collect_features(
    trained: Trained, batch_size: int
) -> tuple[Callable[[Any, np.ndarray], None], Callable[[], list[np.ndarray]]]:
    """Returns a function that takes images one by one, and one that returns the features of all, `[n, D]` each."""
    waiting: list[np.ndarray] = []
    parts: list[np.ndarray] = []

    def compute() -> list[np.ndarray]:
        if waiting:
            parts.append(extract(trained, np.stack(waiting), batch_size=batch_size))
            waiting.clear()
        return parts

    def look(name: Any, pixels: np.ndarray) -> None:
        if len(waiting) == batch_size or (waiting and waiting[0].shape != pixels.shape):
            compute()
        waiting.append(pixels)

    return look, compute
