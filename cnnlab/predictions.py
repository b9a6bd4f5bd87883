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
from cnnlab.data.images import find_images, read_image
from cnnlab.metrics.regression import central_interval
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs
from cnnlab.trained import Trained, predict
from cnnlab.uncertainty import mc_predict
from cnnlab.uncertainty.monte_carlo import Passes
from cnnlab.uncertainty.post_hoc import PostHoc

Record = dict[str, Any]


def predict_files(
    trained: Trained,
    paths: Sequence[str | Path],
    *,
    mc_samples: Passes | None = None,
    seed: int = 0,
    batch_size: int = 64,
    fitted: PostHoc | None = None,
    each_pass: bool = False,
) -> Iterator[tuple[Path, Prediction]]:
    """Each file's prediction, NumPy and without the batch axis.

    Args:
      trained: the network.
      paths: image files and folders.
      mc_samples: passes with dropout on, or `auto`; one without, if left out.
      seed: of the dropout masks.
      batch_size: images at a time; the last batch is filled up, so one compile serves all.
      fitted: calibrates `probs` and adds `set` `[k]`, the classes of the conformal set, where there is one. Entropies
        stay those of the passes.
      each_pass: add `passes`, what each of `mc_samples` passes alone is decoded to, with a leading axis.

    Raises:
      ValueError: a path is missing or no image; it is named.
    """
    files = find_images(paths)
    batch_size = min(batch_size, len(files))
    if fitted is not None:
        fitted.require_passes(mc_samples)
    images = (read_image(path, trained.spec) for path in files)
    yield from zip(
        files,
        answers(
            trained, images, batch_size=batch_size, mc_samples=mc_samples, seed=seed, fitted=fitted, each_pass=each_pass
        ),
        strict=True,
    )


def answers(
    trained: Trained,
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
      trained: the network.
      images: `[H, W, C]` uint8 each, as the network takes them.
      batch_size: of them at a time; the last batch is filled up, so one compile serves all.
      mc_samples: as in `predict_files`, which says what the others are too.
      seed: likewise.
      fitted: likewise.
      each_pass: likewise.
    """
    images, numbers = iter(images), itertools.count()
    while batch := list(itertools.islice(images, batch_size)):
        stack = np.stack(batch + batch[-1:] * (batch_size - len(batch)))
        if mc_samples is None:
            found = predict(trained, stack)
        else:
            key = jax.random.fold_in(jax.random.key(seed), next(numbers))  # other masks in every batch
            found = mc_predict(trained, stack, key=key, num_samples=mc_samples, return_samples=each_pass)
        if each_pass:
            found = Prediction({**found, "passes": _decode_each(trained, found.samples)})
            del found["samples"]
        found = jax.device_get(found)
        if fitted is not None:
            found = _decided(found, fitted)
        for i in range(len(batch)):
            yield jax.tree.map(lambda leaf, i=i: leaf[i], found)


@jit
def _decode_each(trained: Trained, samples: Outputs) -> Prediction:
    """Each pass `[B, T, ...]` by itself."""
    return jax.lax.map(trained.task.decode, samples)


def _decided(found: Prediction, fitted: PostHoc) -> Prediction:
    probs = fitted.apply(found["probs"])
    sets = {} if fitted.conformal is None else {"set": fitted.conformal.sets(probs)}
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
    if "value" not in prediction or not parts:
        return {}
    return dict(zip(("low", "high"), central_interval(prediction.value, sum(parts)), strict=True))


def save_masks(path: Path, prediction: Prediction, spec: InputSpec, target: Path) -> dict[str, str]:
    """Writes the pixel maps of a prediction as PNGs of the photo's own size.

    Args:
      path: the photo.
      prediction: of the photo.
      spec: of the network.
      target: the files' common beginning: `out/photo` gives `out/photo_mask.png`.

    Returns:
      The files by name: `mask` holds class indices; `entropy` and `mutual_information` run from 0 to log k at 255.
    """
    from PIL import Image

    if "mask" not in prediction:
        return {}
    with Image.open(path) as photo:
        size = photo.size
    target.parent.mkdir(parents=True, exist_ok=True)
    out = {}
    for name in ("mask", "entropy", "mutual_information"):
        if name not in prediction:
            continue
        pixels = np.asarray(prediction[name])
        scaled = pixels if name == "mask" else np.round(pixels * 255 / np.log(len(spec.classes))).clip(0, 255)
        file = target.with_name(f"{target.name}_{name}.png")
        part = file.with_suffix(".part")
        Image.fromarray(scaled.astype(np.uint8)).resize(size, Image.Resampling.NEAREST).save(part, "png")
        os.replace(part, file)
        out[name] = str(file)
    return out


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
