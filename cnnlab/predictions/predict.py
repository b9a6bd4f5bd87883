"""Predictions for images, as a stream of any length or from files."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from cnnlab.calibration.image_draws import image_draws
from cnnlab.calibration.store import PostHoc
from cnnlab.files.images import ImageError, read_header, read_pixels
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs
from cnnlab.trained import Passes, Trained, predict
from cnnlab.uncertainty.ensemble import ensemble_average, members_of
from cnnlab.uncertainty.monte_carlo import mc_predict


def predict_files(
    trained: Trained | Sequence[Trained],
    files: Sequence[str | Path],
    *,
    mc_samples: Passes | None = None,
    seed: int = 0,
    batch_size: int = 64,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
    unreadable: Callable[[ImageError], None] | None = None,
) -> Iterator[tuple[Path, Prediction]]:
    """Yields each file and its prediction, as NumPy arrays without the batch axis; each file is read once.

    A network that answers each pixel, and learnt from images that were not resized, answers a photo at its own size
    where it can; all other photos are resized to the size that the network learnt from.

    Args:
      trained: the network, or several, whose answers are averaged as by `ensemble_predict`.
      files: image files, in the order of the results.
      mc_samples: passes with dropout on, or `auto`; one without, if left out.
      seed: of the dropout masks.
      batch_size: images at a time; the last batch is filled up, so one compile serves all.
      fitted: calibrates `probs` and adds `set` `[k]`, the classes of the conformal set, where there is one. Entropies
        stay those of the passes.
      each_pass: adds `passes`, what each of `mc_samples` passes, or each network, alone is decoded to, with a leading
        axis.
      unreadable: is called with the error of a file that cannot be read, which is then left out; if it is left out
        itself, the first such error is raised.

    Raises:
      ValueError: a file is missing or no image; it is named. Several networks do not fit together, or are to make
        several passes each.
    """
    members = members_of(trained, mc_samples=mc_samples)
    if fitted is not None:
        fitted.require_passes(mc_samples)
    read: deque[Path] = deque()  # and not yet answered

    def images() -> Iterator[np.ndarray]:
        fitting = _fitting_size(members[0])
        for path in map(Path, files):
            try:
                pixels = read_pixels(path, **members[0].spec.layout | {"size": fitting(path)})
            except ImageError as error:
                if unreadable is None:
                    raise
                unreadable(error)
                continue
            read.append(path)
            yield pixels

    options = {"mc_samples": mc_samples, "seed": seed, "fitted": fitted, "each_pass": each_pass}
    for prediction in predict_images(members, images(), batch_size=min(batch_size, max(len(files), 1)), **options):
        yield read.popleft(), prediction


def predict_images(
    trained: Trained | Sequence[Trained],
    images: Iterable[np.ndarray],
    *,
    batch_size: int,
    mc_samples: Passes | None = None,
    seed: int = 0,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
) -> Iterator[Prediction]:
    """Yields each image's prediction, as NumPy arrays without the batch axis; memory holds one batch.

    Args:
      trained: as in `predict_files`.
      images: `[H, W, C]` uint8 each, as the network takes them.
      batch_size: images at a time; the last batch is filled up, so one compile serves all. Images of another size than
        the network learnt from go one by one.
      mc_samples: as in `predict_files`, with the rest.
      seed: of the dropout masks, other ones in every batch.
      fitted: calibrates `probs`.
      each_pass: adds `passes`.
    """
    members = members_of(trained, mc_samples=mc_samples)
    key = jax.random.key(seed)
    for number, batch in enumerate(_batches(images, batch_size, members[0].spec.shape)):
        filled = batch_size if batch[0].shape == members[0].spec.shape else len(batch)
        stack = np.stack(batch + batch[-1:] * (filled - len(batch)))
        if len(members) > 1:
            answer = ensemble_average(members, stack)
        elif mc_samples is None:
            answer = predict(members[0], stack)
        else:
            options = {"num_samples": mc_samples, "return_samples": each_pass}
            answer = mc_predict(members[0], stack, key=jax.random.fold_in(key, number), **options)
        if each_pass:
            answer = Prediction({**answer, "passes": _decode_each(members[0], answer.samples)})
        answer = jax.device_get(Prediction({name: leaf for name, leaf in answer.items() if name != "samples"}))
        if fitted is not None:
            answer = _calibrated(answer, fitted, stack)
        for i in range(len(batch)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i], answer)


def _fitting_size(trained: Trained) -> Callable[[Path], tuple[int, int]]:
    """Returns a function from a file to the size that it is answered at: its own, where the network can."""
    spec = trained.spec
    if not trained.any_size or spec.resized:
        return lambda path: spec.size
    answered = {spec.size: True}

    def size(path: Path) -> tuple[int, int]:
        own = read_header(path)[0]
        if own not in answered:
            answered[own] = _answers_all(trained, own)
        return own if answered[own] else spec.size

    return size


def _answers_all(trained: Trained, size: tuple[int, int]) -> bool:
    """Whether the network answers every pixel of an image of this size; some need multiples of their stride."""
    image = jax.ShapeDtypeStruct((1, *size, trained.spec.channels), np.uint8)
    try:
        return jax.eval_shape(lambda x: predict(trained, x)["mask"], image).shape[1:] == size
    except (TypeError, ValueError):
        return False


def _batches(images: Iterable[np.ndarray], most: int, usual: tuple[int, ...]) -> Iterator[list[np.ndarray]]:
    """In order; `most` of the usual shape at a time, others alone."""
    for shape, alike in itertools.groupby(images, key=np.shape):
        while batch := list(itertools.islice(alike, most if shape == usual else 1)):
            yield batch


@jit
def _decode_each(trained: Trained, samples: Outputs) -> Prediction:
    """Each pass `[B, T, ...]` by itself."""
    return jax.lax.map(trained.task.decode, samples)


def _calibrated(answer: Prediction, fitted: PostHoc, images: np.ndarray) -> Prediction:
    probs = fitted.apply(answer["probs"])
    sets = {}
    if fitted.conformal is not None:
        sets = {"set": fitted.conformal.sets(probs, uniform=image_draws(images))}
    return Prediction(answer | {"probs": probs, "label": probs.argmax(-1)} | sets)
