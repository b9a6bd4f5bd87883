"""Answers of a trained network to images that clients send: the JSON that `cnnlab predict` prints for the files."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from cnnlab.app.batching import SIZES, padded
from cnnlab.app.images import MAX_PIXELS, Upload, checked, image_pixels
from cnnlab.app.refusals import Refusal
from cnnlab.calibration.store import PostHoc
from cnnlab.data.appearance import Appearance, far_outside, measure_photo
from cnnlab.files.photo import Photo
from cnnlab.files.strict_json import without_nan
from cnnlab.predictions.options import takes
from cnnlab.predictions.predict import fitting_size, predict_images
from cnnlab.sheets.rasters import is_large
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained

MOST_PASSES = 10_000
_PROGRAMS = 16  # compiled for images of other sizes than the training images, before all are dropped


class Question(NamedTuple):
    """An image that is decoded.

    Attributes:
      photo: the photo for its record; only its name and its content are used.
      pixels: `[H, W, C]` uint8 as the network takes it.
      remark: how it differs from the training images; empty if it does not.
    """

    photo: Photo
    pixels: np.ndarray
    remark: str = ""


class Kind(NamedTuple):
    """What the images of a batch have in common: their shape `(H, W, C)` and the number of passes, 0 for no dropout."""

    shape: tuple[int, ...]
    passes: int


class Answers(NamedTuple):
    """The functions that answer for one network.

    Attributes:
      read: function that decodes an upload; it raises `Refusal`.
      compute: function of a kind and at most 32 questions that returns the JSON text of each answer.
      warm: function that compiles the programs of all sizes of batches and all numbers of passes.
    """

    read: Callable[[Upload], Question]
    compute: Callable[[Kind, Sequence[Question]], list[bytes]]
    warm: Callable[[], None]


def answers(
    trained: Trained,
    *,
    passes: Sequence[int] = (0,),
    fits: Mapping[int, PostHoc] | None = None,
    seed: int = 0,
    max_pixels: int = MAX_PIXELS,
    usual: Appearance | None = None,
) -> Answers:
    """Returns the functions that answer for a network.

    A request that is computed alone gets exactly the answer of `cnnlab predict`. Requests that share a batch get it up
    to rounding; with MC-Dropout they get other masks of the same distribution.

    Args:
      trained: the network.
      passes: numbers of MC-Dropout passes that clients may ask for; 0 stands for one pass without dropout.
      fits: calibration of the probabilities, by the number of passes.
      seed: seed of the dropout masks.
      max_pixels: most pixels of an image.
      usual: appearance of the training images, from which an image may differ.
    """
    spec, task, fits = trained.spec, complete(trained.task), fits or {}
    fitting = fitting_size(trained)
    shapes: set[tuple[int, ...]] = set()  # other than the training images'

    def asked(photo: Photo, pixels: np.ndarray) -> Question:
        if usual is None:
            return Question(photo, pixels)
        return Question(photo, pixels, far_outside(usual, [measure_photo(pixels, photo.size, spec.fit)]) or "")

    def read(upload: Upload) -> Question:
        photo = Photo(Path(upload.name), encoded=upload.content)
        if task.logits == "vector":
            return asked(photo, image_pixels(upload, **spec.layout, max_pixels=max_pixels))
        with checked(upload, max_pixels):
            height, width = photo.size  # stays known, so that the thread that computes need not decode it again
        if takes(task, "tile") and not spec.resized and is_large((height, width), spec.size):
            raise Refusal(
                413,
                f"{upload.name} has {width}x{height} pixels, more than twice the training images' height or width; "
                "cut it, or predict it with cnnlab predict --tile 512 --output DIR",
            )
        layout = spec.layout | {"size": fitting(photo)}
        return asked(photo, image_pixels(upload, **layout, max_pixels=max_pixels))

    def compute(kind: Kind, questions: Sequence[Question]) -> list[bytes]:
        if kind.shape != spec.shape:
            _bound_programs(shapes, kind.shape)
        predictions = predict_images(
            trained,
            [question.pixels for question in questions],
            batch_size=padded(len(questions)),
            mc_samples=kind.passes or None,
            seed=seed,
            fitted=fits.get(kind.passes),
        )
        records = (
            task.record(prediction, spec, question.photo)
            for prediction, question in zip(predictions, questions, strict=True)
        )
        return [json.dumps(without_nan(task.document(each))).encode() for each in records]

    def warm() -> None:
        pixels = np.zeros(spec.shape, np.uint8)
        blank = Question(Photo(Path("blank"), frame=pixels), pixels)
        for number in passes:
            for size in SIZES:
                compute(Kind(spec.shape, number), [blank] * size)

    return Answers(read, compute, warm)


def check_passes(passes: Iterable[int]) -> tuple[int, ...]:
    """Returns the numbers of passes without repetition, in order; none stands for one pass without dropout.

    Raises:
      ValueError: a number is out of range.
    """
    numbers = tuple(dict.fromkeys(passes)) or (0,)
    for number in numbers:
        if not 0 <= number <= MOST_PASSES:
            raise ValueError(f"passes must lie in 0..{MOST_PASSES:,}, found {number}; 0 is one pass without dropout")
    return numbers


def _bound_programs(shapes: set[tuple[int, ...]], shape: tuple[int, ...]) -> None:
    """Drops all compiled programs before there are too many; JAX keeps one for each shape forever."""
    if shape not in shapes and len(shapes) >= _PROGRAMS:
        jax.clear_caches()
        shapes.clear()
    shapes.add(shape)
