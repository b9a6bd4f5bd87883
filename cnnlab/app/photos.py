"""What a network says of a photo: the records of `cnnlab predict`, and its maps as PNG files, as JSON types."""

import base64
import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnlab.app.answers import answers
from cnnlab.app.doubt import state
from cnnlab.app.images import MAX_PIXELS, Upload
from cnnlab.files.png import PngImage, class_colours
from cnnlab.predictions.predict import predict_images
from cnnlab.tasks.task import by_class, complete, task_name
from cnnlab.trained import Trained
from cnnlab.uncertainty.dropout import has_dropout

PASSES = 30


class Viewer(NamedTuple):
    """The functions that look at photos.

    Attributes:
      about: what a page must know before the first photo.
      photo: function of an upload that returns JSON types; it raises `Refusal`.
      warm: function that compiles the program.
    """

    about: dict[str, Any]
    photo: Callable[[Upload], dict[str, Any]]
    warm: Callable[[], None]


def viewer(trained: Trained, *, passes: int = PASSES, seed: int = 0, max_pixels: int = MAX_PIXELS) -> Viewer:
    """Returns the functions that look at photos by a network.

    Args:
      trained: the network.
      passes: number of MC-Dropout passes; a network without dropout takes one pass.
      seed: seed of the dropout masks.
      max_pixels: most pixels of a photo.

    Raises:
      ValueError: the page cannot show the network's task, or no file holds its images.
    """
    task, spec = complete(trained.task), trained.spec
    if task.logits not in ("vector", "map", "grid"):
        raise ValueError(
            f"the page shows classification, regression, segmentation and detection, this run is {task_name(task)}; "
            "use cnnlab predict"
        )
    if spec.channels not in (1, 3):
        raise ValueError(f"image files have 1 or 3 channels, the network takes {spec.channels}; use cnnlab.predict")
    passes = passes if has_dropout(trained) else 0
    read = answers(trained, passes=(passes,), seed=seed, max_pixels=max_pixels).read

    def predicted(pixels: np.ndarray):
        return next(iter(predict_images(trained, [pixels], batch_size=1, mc_samples=passes or None, seed=seed)))

    def photo(upload: Upload) -> dict[str, Any]:
        question = read(upload)
        prediction = predicted(question.pixels)
        records = task.record(prediction, spec, question.photo)
        height, width = question.photo.size
        drawn, shares, colours = {}, {}, {}
        if task.logits == "map":
            drawn = task.draw(prediction, spec, question.photo)
            k = len(spec.classes)
            shares = by_class(spec.classes, np.bincount(prediction.mask.ravel(), minlength=k) / prediction.mask.size)
            colours = {name: f"#{bytes(class_colours(k)[i]).hex()}" for i, name in enumerate(spec.classes)}
        return {
            "size": [height, width],
            "records": records,
            "images": {name: _png(image) for name, image in drawn.items()},
            "white": {name: image.white for name, image in drawn.items() if image.palette is None and image.white},
            "shares": shares,
            "colours": colours,
        } | (_in_words(records[0], spec.classes) if task.logits == "vector" and task.decides else {})

    about = {
        "kind": "photo",
        "task": task_name(trained.task),
        "logits": task.logits,
        "classes": list(spec.classes),
        "size": list(spec.size),
        "passes": passes,
    }
    return Viewer(about, photo, lambda: jax.block_until_ready(predicted(np.zeros(spec.shape, np.uint8))))


def _in_words(record: Mapping[str, Any], classes: tuple[str, ...]) -> dict[str, str]:
    """Returns the state of a network that chooses one class, by the record of a photo."""
    mean = np.array(list(record["probs"].values()))
    deviation = np.sqrt(list(record["variance"].values())) if "variance" in record else None
    own = state(mean, deviation, None, classes)
    return {"state": own.kind, "words": own.words}


def _png(image: PngImage) -> str:
    """Returns a PNG file in base64."""
    from PIL import Image

    raster, file = Image.fromarray(image.pixels), io.BytesIO()
    if image.palette is not None:
        raster.putpalette(image.palette.tobytes())
    raster.save(file, "png")
    return base64.b64encode(file.getvalue()).decode()
