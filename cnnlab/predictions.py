"""Predictions for image files, as records for JSON and CSV and as mask files."""

import csv
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from cnnlab.compile import jit
from cnnlab.data import InputSpec
from cnnlab.data.images import find_images, read_header, read_pixels
from cnnlab.metrics.regression import central_interval
from cnnlab.pictures import class_colours, told_white, white
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs
from cnnlab.trained import Trained, predict
from cnnlab.uncertainty import ensemble_predict, mc_predict
from cnnlab.uncertainty.ensemble import check_members
from cnnlab.uncertainty.image_draws import image_draws
from cnnlab.uncertainty.monte_carlo import Passes
from cnnlab.uncertainty.post_hoc import PostHoc

Record = dict[str, Any]


def predict_files(
    trained: Trained | Sequence[Trained],
    paths: Sequence[str | Path],
    *,
    mc_samples: Passes | None = None,
    seed: int = 0,
    batch_size: int = 64,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
) -> Iterator[tuple[Path, Prediction]]:
    """Each file's prediction, NumPy and without the batch axis.

    A network that answers each pixel, and learnt from images that were not resized, answers a photo at its own size
    where it can; all others are resized to what it learnt from.

    Args:
      trained: the network, or several, whose answers are averaged as by `ensemble_predict`.
      paths: image files and folders.
      mc_samples: passes with dropout on, or `auto`; one without, if left out.
      seed: of the dropout masks.
      batch_size: images at a time; the last batch is filled up, so one compile serves all.
      fitted: calibrates `probs` and adds `set` `[k]`, the classes of the conformal set, where there is one. Entropies
        stay those of the passes.
      each_pass: add `passes`, what each of `mc_samples` passes, or each network, alone is decoded to, with a leading
        axis.

    Raises:
      ValueError: a path is missing or no image; it is named. Several networks do not fit together, or are to make
        several passes each.
    """
    files = find_images(paths)
    batch_size = min(batch_size, len(files))
    if fitted is not None:
        fitted.require_passes(mc_samples)
    members = _members(trained, mc_samples)
    images = _read_all(files, members[0])
    options = {"mc_samples": mc_samples, "seed": seed, "fitted": fitted, "each_pass": each_pass}
    yield from zip(files, answers(members, images, batch_size=batch_size, **options), strict=True)


def answers(
    trained: Trained | Sequence[Trained],
    images: Iterable[np.ndarray],
    *,
    batch_size: int,
    mc_samples: Passes | None = None,
    seed: int = 0,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
) -> Iterator[Prediction]:
    """Each image's prediction, NumPy and without the batch axis; memory holds one batch of a stream of any length.

    Args:
      trained: as in `predict_files`.
      images: `[H, W, C]` uint8 each, as the network takes them.
      batch_size: of them at a time; the last batch is filled up, so one compile serves all. Images of another size than
        the network learnt from go one by one.
      mc_samples: likewise.
      seed: likewise.
      fitted: likewise.
      each_pass: likewise.
    """
    members = _members(trained, mc_samples)
    numbers = itertools.count()
    for batch in _batches(images, batch_size, members[0].spec.shape):
        filled = batch_size if batch[0].shape == members[0].spec.shape else len(batch)
        stack = np.stack(batch + batch[-1:] * (filled - len(batch)))
        if len(members) > 1:
            found = ensemble_predict(members, stack)
        elif mc_samples is None:
            found = predict(members[0], stack)
        else:
            key = jax.random.fold_in(jax.random.key(seed), next(numbers))  # other masks in every batch
            found = mc_predict(members[0], stack, key=key, num_samples=mc_samples, return_samples=each_pass)
        if each_pass:
            found = Prediction({**found, "passes": _decode_each(members[0], found.samples)})
        found = jax.device_get(Prediction({name: leaf for name, leaf in found.items() if name != "samples"}))
        if fitted is not None:
            found = _decided(found, fitted, stack)
        for i in range(len(batch)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i], found)


def _read_all(files: Iterable[Path], trained: Trained) -> Iterator[np.ndarray]:
    spec, own = trained.spec, trained.any_size and not trained.spec.resized
    answered = {spec.size: True}
    for path in files:
        size = read_header(path)[0] if own else spec.size
        if size not in answered:
            answered[size] = _answers_all(trained, size)
        yield read_pixels(path, size=size if answered[size] else spec.size, channels=spec.channels, fit=spec.fit)


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


def _members(trained: Trained | Sequence[Trained], mc_samples: Passes | None) -> list[Trained]:
    members = [trained] if isinstance(trained, Trained) else list(trained)
    check_members(members)
    if len(members) > 1 and mc_samples is not None:
        raise ValueError(f"mc_samples is for one network, found {len(members)}; leave it out, or give one of them")
    return members


@jit
def _decode_each(trained: Trained, samples: Outputs) -> Prediction:
    """Each pass `[B, T, ...]` by itself."""
    return jax.lax.map(trained.task.decode, samples)


def _decided(found: Prediction, fitted: PostHoc, images: np.ndarray) -> Prediction:
    probs = fitted.apply(found["probs"])
    sets = {}
    if fitted.conformal is not None:
        sets = {"set": fitted.conformal.sets(probs, uniform=image_draws(images))}
    return Prediction(found | {"probs": probs, "label": probs.argmax(-1)} | sets)


def record(path: Path, prediction: Prediction, spec: InputSpec) -> Record:
    """A prediction as JSON's types, indices named by the spec's classes.

    Of a mask the share of each class. Of a number with a variance also `low` and `high`, the ends of its central 95 %
    interval: of the passes, of the noise that the network has learnt, or of both.
    """
    names = spec.classes
    out: Record = {"file": str(path)}
    if "mask" in prediction:
        share = np.bincount(np.asarray(prediction.mask).ravel(), minlength=len(names)) / prediction.mask.size
        out["share"] = dict(zip(names, share.tolist(), strict=True))
        maps = ("entropy", "mutual_information")
        return out | {f"mean_{name}": float(prediction[name].mean()) for name in maps if name in prediction}
    for name, value in prediction.items():
        if name == "variance" and isinstance(value, dict):
            value = value.get("value", value)
        if name == "mean" or isinstance(value, dict):
            continue  # the mean is what was decoded
        value = np.asarray(value)
        several = name in ("probs", "variance") and value.ndim == 2 and "label" in prediction
        if name == "label" and value.ndim == 0:
            out[name] = names[int(value)]
        elif name == "label":
            out[name] = [one for one, yes in zip(names, value, strict=True) if yes]
        elif name == "set":
            out[name] = [one for one, inside in zip(names, value, strict=True) if inside]
        elif name == "classes":
            out[name] = [names[int(k)] for k in value]
        elif several:  # labels at once: the probability of yes
            out[name] = dict(zip(names, value[:, 1].tolist(), strict=True))
        elif name in ("probs", "value", "noise", "variance") and value.shape == (len(names),):
            out[name] = dict(zip(names, value.tolist(), strict=True))
        else:
            out[name] = value.tolist()
    for name, ends in _interval(prediction).items():
        out[name] = dict(zip(names, ends.tolist(), strict=True))
    return out


def _interval(prediction: Prediction) -> dict[str, np.ndarray]:
    spread = prediction.get("variance")
    parts = [spread.get("value") if isinstance(spread, dict) else spread, prediction.get("noise")]
    parts = [np.asarray(part, np.float64) for part in parts if part is not None]
    alone = "noise" not in prediction and np.all(prediction.get("num_samples", 2) == 1)  # one pass has no spread
    if "value" not in prediction or not parts or alone:
        return {}
    return dict(zip(("low", "high"), central_interval(prediction.value, sum(parts)), strict=True))


def save_masks(path: Path, prediction: Prediction, spec: InputSpec, target: Path) -> dict[str, str]:
    """Writes the pixel maps of a prediction as PNGs of the photo's own size, upright.

    Args:
      path: the photo.
      prediction: of the photo.
      spec: of the network.
      target: the files' common beginning: `out/photo` gives `out/photo_mask.png`.

    Returns:
      The files by name: `mask` holds class indices, shown in colours. Of the others 255 is 1 for `mean`, the second
      class's probability where there are two, log k for `entropy`, and the picture's largest value for `variance`,
      that of the guessed class's probability, and `mutual_information`: the number in the PNG's text `white`.
    """
    from PIL import Image

    if "mask" not in prediction:
        return {}
    height, width = read_header(path)[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    out = {}
    for name, pixels in _maps(prediction).items():
        top = white(name, len(spec.classes), np.max(pixels))
        scaled = np.round(pixels * (255 / top)).clip(0, 255)
        file = target.with_name(f"{target.name}_{name}.png")
        part = file.with_suffix(".part")
        picture = Image.fromarray(scaled.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
        if name == "mask":
            picture.putpalette(class_colours(len(spec.classes)).tobytes())
        picture.save(part, "png", pnginfo=told_white(top))
        os.replace(part, file)
        out[name] = str(file)
    return out


def _maps(prediction: Prediction) -> dict[str, np.ndarray]:
    """Maps `[H, W]` by name."""
    mask, probs = np.asarray(prediction["mask"]), np.asarray(prediction["probs"])
    maps = {"mask": mask} | ({"mean": probs[..., 1]} if probs.shape[-1] == 2 else {})
    if "variance" in prediction:
        maps["variance"] = np.take_along_axis(np.asarray(prediction["variance"]), mask[..., None], -1)[..., 0]
    return maps | {
        name: np.asarray(prediction[name]) for name in ("entropy", "mutual_information") if name in prediction
    }


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name of its own for each file: its stem, with a number where that occurred before.

    >>> output_names([Path("a.png"), Path("a.jpg"), Path("a-2.png")])
    ['a', 'a-2', 'a-2-2']
    """
    out: dict[str, None] = {}
    for path in paths:
        numbered = (f"{path.stem}-{i}" for i in itertools.count(2))
        out[next(name for name in itertools.chain([path.stem], numbered) if name not in out)] = None
    return list(out)


def write_json(records: Sequence[Record], file: TextIO) -> None:
    """One JSON object: `{"predictions": [...]}`."""
    json.dump({"predictions": list(records)}, file, indent=2)
    file.write("\n")


def write_csv(records: Sequence[Record], file: TextIO) -> None:
    """One line a record: numbers by class become columns `probs.cat`, lists become JSON in their cell."""
    flat = [_flat(one) for one in records]
    columns = list(dict.fromkeys(name for one in flat for name in one))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)


def _flat(one: Record) -> Record:
    out: Record = {}
    for name, value in one.items():
        if isinstance(value, dict):
            out |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            out[name] = json.dumps(value) if isinstance(value, list) else value
    return out
