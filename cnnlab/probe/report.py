"""Everything that a probe measures, as one report."""

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from cnnlab.anatomy import Summary, summary
from cnnlab.console import console, progress_bar
from cnnlab.data import Dataset, Examples, as_float, check_images
from cnnlab.files.strict_json import without_nan
from cnnlab.probe.distortions import DISTORTIONS, Distortion
from cnnlab.probe.layers import compare_layers
from cnnlab.probe.response import Explain, respond, unmovable
from cnnlab.probe.specialisation import specialise
from cnnlab.probe.variation import vary
from cnnlab.tasks.detection import Detection
from cnnlab.tasks.task import complete, task_name
from cnnlab.trained import Trained
from cnnlab.uncertainty.dropout import has_dropout

MOST_IMAGES, MOST_PIXELS = 1000, 20_000_000  # by default; the maps of all images stay in memory
MEMORY = 1 << 30  # bytes for the outputs of all layers for one batch
LARGEST_BATCH = 256


def probe(
    trained: Trained,
    dataset: Dataset,
    *,
    split: str = "test",
    limit: int | None = None,
    mc_samples: int | None = 10,
    explain: Explain | None = None,
    distortions: Mapping[str, Distortion] = DISTORTIONS,
    key: jax.Array | None = None,
    batch_size: int | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Measures what makes images hard for a network, and how its layers answer to shifts and sums.

    Args:
      trained: the network.
      dataset: its data.
      split: split whose images are distorted.
      limit: largest number of images, drawn at random; by default 1,000, or as many as hold 20 million pixels.
      mc_samples: passes with dropout on that measure doubt; None or a network without dropout measures none.
      explain: function `(trained, images) -> maps [B, H, W]` whose drift is measured, such as `grad_cam_maps`.
      distortions: what to measure, by name.
      key: random key of all draws; by default that of seed 0.
      batch_size: images at a time; by default as many as fit a gigabyte with the outputs of all layers.
      quiet: whether to show no progress.

    Returns:
      JSON types: `split`, `images` (their number), `score` (the name of the task's measure of success), `response`
      (records of `respond`), `shift` and `layers` (see `compare_layers`), `variation` (classification, see `vary`),
      `specialisation` (detection, see `specialise`), and `left_out`, records of `what` was not measured and `why`.

    Raises:
      ValueError: the split does not exist, `limit` or `mc_samples` is below 1, or the data lacks a column of
        the task or has other classes or images.

    >>> from cnnlab.data import shapes
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> data, net = shapes(size=16, train=4, validation=2, test=8), create_model("linear", num_classes=3)
    >>> trained = Trained(net.init(jax.random.key(0), np.zeros((1, 16, 16, 1))), net, Classification(), data.spec)
    >>> report = probe(trained, data, distortions={"noise": DISTORTIONS["noise"]})
    >>> list(report), [record["strength"] for record in report["response"]]
    (['split', 'images', 'score', 'response', 'shift', 'layers', 'variation', 'left_out'], [0.0, 0.05, 0.1, 0.2, 0.4])
    """
    for name, value in (("limit", limit), ("mc_samples", mc_samples), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be 1 or more, found {value}; leave it out for the default")
    examples = drawn(dataset[split], limit, dataset.spec.size)
    check_columns(trained, examples, f"the split {split} of {dataset.name}")
    if dataset.spec.classes != trained.spec.classes:
        raise ValueError(f"the network knows the classes {trained.spec.classes}, {dataset.name} {dataset.spec.classes}")
    layers = summary(trained.network, dataset.spec.shape)
    batch_size = batch_size or fitting_batch(layers, len(examples))
    left_out = {name: why for name, it in distortions.items() if (why := unmovable(examples, it)) is not None}
    if mc_samples and not has_dropout(trained):
        mc_samples, left_out["doubt"] = None, "no dropout is active in the network, so all passes would be the same"
    if explain is not None and (why := _refusal(trained, examples, explain)) is not None:
        explain, left_out["drift of explanations"] = None, why
    measured = {name: it for name, it in distortions.items() if name not in left_out}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "layers": lambda: compare_layers(trained, examples, layers, batch_size=batch_size)
    }
    if complete(trained.task).decides:
        parts["variation"] = lambda: {"variation": vary(trained, examples, batch_size=batch_size)}
    else:
        learnt = " and ".join(complete(trained.task).columns)
        left_out["intraclass variation"] = f"a network that learns {learnt} does not give an image a single class"
    if isinstance(trained.task, Detection):
        parts["specialisation"] = lambda: {"specialisation": specialise(trained, examples, batch_size=batch_size)}
    steps = sum(len(it.strengths) for it in measured.values()) + len(parts)
    with _progress(steps, quiet) as advance:
        report = {"split": split, "images": len(examples)} | respond(
            trained,
            examples,
            measured,
            key=jax.random.key(0) if key is None else key,
            batch_size=batch_size,
            mc_samples=mc_samples,
            explain=explain,
            advance=advance,
        )
        for name, part in parts.items():
            advance(name)
            report |= part()
    return without_nan(report | {"left_out": [{"what": name, "why": why} for name, why in left_out.items()]})


def grad_cam_maps(trained: Trained, images: jax.Array) -> jax.Array:
    """Returns Grad-CAM's maps `[B, H, W]` of the predictions: what `probe(explain=...)` expects."""
    from cnnlab.explain import grad_cam

    with warnings.catch_warnings(action="ignore"):  # of empty maps, by numbers of images within a batch
        return grad_cam(trained, images).map


def drawn(examples: Examples, limit: int | None, size: tuple[int, int]) -> Examples:
    """Returns a random sample of a split in memory, always the same one, in the order of the split."""
    most = min(MOST_IMAGES, max(1, MOST_PIXELS // (size[0] * size[1]))) if limit is None else limit
    places = np.arange(len(examples))
    if most < len(examples):
        places = np.sort(np.random.default_rng(0).choice(places, most, replace=False))
    return Examples(examples[places])


def check_columns(trained: Trained, examples: Examples, name: str) -> None:
    """Raises `ValueError` if examples lack a column that the network's task reads, or do not fit its input."""
    row = examples[np.arange(1)]
    for column in complete(trained.task).columns:
        if column not in row:
            raise ValueError(
                f"{name} holds {', '.join(row)}, but {task_name(trained.task)} reads the column {column!r}; "
                "probe the network on data of its own kind"
            )
    check_images(row["image"], trained.spec, any_size=trained.any_size)


def fitting_batch(layers: Summary, examples: int) -> int:
    """Returns how many images fit `MEMORY` with the outputs of all layers, at most `LARGEST_BATCH` and all examples.

    >>> fitting_batch(summary("lenet5"), 10_000), fitting_batch(summary("resnet18"), 10_000)
    (256, 45)
    """
    return max(1, min(MEMORY // max(layers.bytes, 1), LARGEST_BATCH, examples))


def _refusal(trained: Trained, examples: Examples, explain: Explain) -> str | None:
    """Returns why a network cannot be explained, such as that it has no layer with spatial axes; None if it can."""
    try:
        explain(trained, as_float(examples[np.arange(1)]["image"]))
    except ValueError as error:
        return str(error)
    return None


@contextlib.contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Shows how many of the measurements are done; yields a function to call before each, with its name."""
    with progress_bar(
        console(quiet), texts={"label": "probe", "note": "{task.fields[now]}"}, total=total, now=""
    ) as update:
        numbers = itertools.count()
        yield lambda name: update(completed=next(numbers), now=name)
        update(completed=total, now="")
