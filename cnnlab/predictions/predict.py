"""Predicts images, from files or from a stream of any length."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
from scipy.special import entr

from cnnlab.calibration.image_draws import image_draws
from cnnlab.calibration.store import PostHoc
from cnnlab.data import read_signals
from cnnlab.files.images import read_pixels
from cnnlab.files.opening import ImageError
from cnnlab.files.photo import Photo
from cnnlab.geometry.letterbox import strip_canvas
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs
from cnnlab.trained import Passes, Trained, outputs, predict
from cnnlab.uncertainty.ensemble import ensemble_average, members_of
from cnnlab.uncertainty.monte_carlo import mc_predict

BATCH = 64
"""Usual number of images of a batch."""

UNCALIBRATED = ("variance", "expected_entropy", "mutual_information", "standard_error")
"""Entries of a prediction that describe the passes, so that no calibration of their mean changes them."""


def predict_files(
    trained: Trained | Sequence[Trained],
    files: Sequence[str | Path],
    *,
    mc_samples: Passes | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
    unreadable: Callable[[ImageError], None] | None = None,
    invert: bool = False,
    look: Callable[[Path, np.ndarray], None] | None = None,
    share: range | None = None,
) -> Iterator[tuple[Path, Prediction]]:
    """Yields each file and its prediction, as NumPy arrays without the batch axis; each file is read once.

    The dropout masks of a file depend only on its place among the files, whichever files can be read.

    A network that predicts each pixel, and was trained on images that were not resized, predicts a photo at the photo's
    own size if it can. A reader of strips predicts a strip at its own width, at the height of the training images. All
    other photos are resized to the size of the training images. Signals are read by `cnnlab.data.read_signals`, at
    their own length if the network predicts each time step.

    Args:
      trained: one network, or several whose predictions are averaged as in `ensemble_predict`.
      files: image files, or signals, in the order of the results.
      mc_samples: number of passes with dropout on, or `auto`; by default one pass with dropout off.
      seed: seed of the dropout masks.
      batch_size: number of images at a time; the last batch is padded, so that one compilation serves all batches.
      fitted: calibration of `probs`, from which `label` and `entropy` are computed; the entries `UNCALIBRATED` remain
        those of the passes. With conformal sets the prediction also holds `set` `[k]`, which is true for the classes in
        the set.
      each_pass: whether to add `passes`, the decoded prediction of each pass or of each network, with a leading axis.
      unreadable: callback that gets the error of a file that cannot be read; the file is then left out. Without a
        callback the first such error is raised.
      invert: whether to exchange black and white before the prediction.
      look: callback that gets each file and its pixels `[H, W, C]` uint8, as the network reads them.
      share: places of consecutive files that are predicted, exactly as among all files; by default all. No pixels of
        other files are read.

    Raises:
      ValueError: a file is missing or is no image (the error names it), several networks do not fit together, or
        several networks are combined with `mc_samples`.
    """
    members = members_of(trained, mc_samples=mc_samples)
    if fitted is not None:
        fitted.require_passes(mc_samples)
    share = range(len(files)) if share is None else share
    if not share:
        return
    batch_size, shape_of = min(batch_size, len(files)), _shapes(members[0])
    kind = np.float32 if members[0].spec.values == "signal" else np.uint8
    shapes = map(shape_of, files[: share.start + 1])
    first, start = _batch_of_last(shapes, batch_size, members[0].spec.shape)
    read: deque[Path | None] = deque()  # files whose images wait for their prediction; None for a blank image

    def images() -> Iterator[np.ndarray]:
        reader = _reader(members[0])
        for path in map(Path, files[start : share.start]):
            read.append(None)
            yield np.zeros(shape_of(path), kind)
        for path in map(Path, files[share.start : share.stop]):
            try:
                pixels = reader(path)
            except ImageError as error:
                if unreadable is None:
                    raise
                unreadable(error)
                read.append(None)
                yield np.zeros(shape_of(path), kind)
                continue
            pixels = 255 - pixels if invert else pixels
            if look is not None:
                look(path, pixels)
            read.append(path)
            yield pixels

    options = {"mc_samples": mc_samples, "seed": seed, "fitted": fitted, "each_pass": each_pass, "first": first}
    for prediction in predict_images(members, images(), batch_size=batch_size, **options):
        if (path := read.popleft()) is not None:
            yield path, prediction


def _shapes(trained: Trained) -> Callable[[str | Path], tuple[int, ...]]:
    """Returns a function from a file to the shape of its image; only networks of any size need its header.

    A file that cannot be read has the shape of the training images.
    """
    spec, fitting, reader = trained.spec, fitting_size(trained), _reader(trained)

    def shape(path: str | Path) -> tuple[int, ...]:
        try:
            if spec.values == "signal":
                return reader(Path(path)).shape if trained.any_size else spec.shape
            return (*fitting(Photo(Path(path))), spec.channels)
        except ImageError:
            return spec.shape

    return shape


def _batch_of_last(shapes: Iterable[tuple[int, ...]], most: int, usual: tuple[int, ...]) -> tuple[int, int]:
    """Returns the number of the batch that holds the last of some images, and the place of the batch's first image.

    >>> _batch_of_last([(8, 8), (8, 8), (8, 8)], 2, (8, 8)), _batch_of_last([(8, 8), (9, 9), (9, 9)], 2, (8, 8))
    ((1, 2), (2, 2))
    """
    number, start, before = -1, 0, None
    for place, shape in enumerate(shapes):
        if shape != before or shape != usual or place - start == most:
            number, start, before = number + 1, place, shape
    return number, start


def _reader(trained: Trained) -> Callable[[Path], np.ndarray]:
    """Returns a function from a file to its image `[H, W, C]` as the network takes it; errors are `ImageError`."""
    if trained.spec.values != "signal":
        fitting = fitting_size(trained)
        return lambda path: read_pixels(path, **trained.spec.layout | {"size": fitting(Photo(path))})

    def read(path: Path) -> np.ndarray:
        try:
            return read_signals([path], trained.spec, own_length=trained.any_size)[0]
        except ValueError as error:
            raise ImageError(str(error)) from error

    return read


def predict_images(
    trained: Trained | Sequence[Trained],
    images: Iterable[np.ndarray],
    *,
    batch_size: int,
    mc_samples: Passes | None = None,
    seed: int = 0,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
    first: int = 0,
) -> Iterator[Prediction]:
    """Yields each image's prediction, as NumPy arrays without the batch axis; memory holds one batch.

    Args:
      trained: one network, or several, as in `predict_files`.
      images: images `[H, W, C]` uint8, with the channels that the network takes.
      batch_size: number of images at a time; the last batch is padded, so that one compilation serves all batches.
        Images of another size than the training images are predicted one at a time.
      mc_samples: number of passes with dropout on, as in `predict_files`.
      seed: seed of the dropout masks, which differ between batches.
      fitted: calibration of `probs`, as in `predict_files`.
      each_pass: whether to add `passes`, as in `predict_files`.
      first: number of the first batch, on which its dropout masks depend.
    """
    members = members_of(trained, mc_samples=mc_samples)
    key = jax.random.key(seed)
    for number, batch in enumerate(_batches(images, batch_size, members[0].spec.shape), first):
        filled = batch_size if batch[0].shape == members[0].spec.shape else len(batch)
        stack = np.stack(batch + batch[-1:] * (filled - len(batch)))
        if len(members) > 1:
            prediction = ensemble_average(members, stack)
        elif mc_samples is None:
            prediction = predict(members[0], stack)
        else:
            options = {"num_samples": mc_samples, "return_samples": each_pass}
            prediction = mc_predict(members[0], stack, key=jax.random.fold_in(key, number), **options)
        if each_pass:
            prediction = Prediction({**prediction, "passes": _decode_each(members[0], prediction.samples, stack)})
        prediction = jax.device_get(Prediction({name: leaf for name, leaf in prediction.items() if name != "samples"}))
        if fitted is not None:
            prediction = _calibrated(prediction, fitted, stack)
        for i in range(len(batch)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i], prediction)


def fitting_size(trained: Trained) -> Callable[[Photo], tuple[int, int]]:
    """Returns a function from a photo to the size at which it is predicted: its own size if the network allows it.

    The own size of a strip is a canvas of the training images' height that is wide enough for it.
    """
    spec = trained.spec
    strips = spec.fit == "strip" and trained.any_width
    if not (strips or (trained.any_size and not spec.resized)):
        return lambda photo: spec.size
    possible = {spec.size: True}

    def size(photo: Photo) -> tuple[int, int]:
        own = strip_canvas(photo.size, spec.size) if strips else photo.size
        if own not in possible:
            possible[own] = _predicts_all(trained, own)
        return own if possible[own] else spec.size

    return size


def _predicts_all(trained: Trained, size: tuple[int, int]) -> bool:
    """Returns whether a network predicts an image of this size as a whole; some need multiples of their stride."""
    image = jax.ShapeDtypeStruct((1, *size, trained.spec.channels), np.uint8)
    try:
        prediction = jax.eval_shape(lambda x: predict(trained, x), image)
        return "mask" not in prediction or prediction["mask"].shape[1:] == size
    except (TypeError, ValueError):
        return False


def _batches(images: Iterable[np.ndarray], most: int, usual: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    """Yields batches in order: at most `most` images of the usual shape, and single images of other shapes."""
    for shape, alike in itertools.groupby(images, key=np.shape):
        while batch := list(itertools.islice(alike, most if shape == usual else 1)):
            yield batch


@jit
def _decode_each(trained: Trained, samples: Outputs | jax.Array, images: jax.Array) -> Prediction:
    """Decodes each pass of `samples` `[B, T, ...]` separately; a task's only output is an array without its name."""
    names = jax.tree.structure(jax.eval_shape(lambda x: outputs(trained, x), images))
    return jax.lax.map(trained.task.decode, jax.tree.unflatten(names, jax.tree.leaves(samples)))


def _calibrated(prediction: Prediction, fitted: PostHoc, images: np.ndarray) -> Prediction:
    probs = fitted.apply(prediction["probs"])
    changed = {"probs": probs, "label": probs.argmax(-1)}
    if "entropy" in prediction:
        changed["entropy"] = entr(probs).sum(-1)
    if fitted.conformal is not None:
        changed["set"] = fitted.conformal.sets(probs, uniform=image_draws(images))
    return Prediction(prediction | changed)
