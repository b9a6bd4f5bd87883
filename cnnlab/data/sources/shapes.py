"""A dataset of drawn shapes with annotations for every task, for tests, lessons and first experiments."""

from typing import Literal

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, from_arrays

KINDS = ("disc", "square", "triangle")
Annotation = Literal["label", "labels", "target", "mask", "boxes"]


def shapes(
    annotation: Annotation = "label",
    *,
    size: int = 32,
    kinds: int = 3,
    train: int = 1024,
    validation: int = 128,
    test: int = 256,
    noise: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """Draws discs, squares and triangles on noisy grey images.

    Args:
      annotation: annotation of each image. `label`: the kind of its only shape. `labels`: the kinds that occur among up
        to `kinds` shapes. `target`: x and y of the only shape's centre, in pixels. `mask`: the kind at every pixel,
        0 = background. `boxes`: one or two shapes with their boxes, in different quarters of the image.
      size: height and width in pixels, 16 or more.
      kinds: number of kinds (disc, square, triangle) that occur, 2 or 3.
      train: number of training examples.
      validation: number of validation examples.
      test: number of test examples.
      noise: standard deviation of the noise; images lie in [0, 1].
      seed: seed of everything that is drawn.

    >>> shapes("boxes", train=4, validation=2, test=2)["train"].columns["boxes"].shape
    (4, 2, 4)
    """
    if size < 16:
        raise ValueError(f"size must be 16 or more pixels, found {size}")
    if kinds not in (2, 3):
        raise ValueError(f"kinds must be 2 or 3, found {kinds}")
    if noise < 0 or seed < 0 or min(train, validation, test) < 1:
        raise ValueError(
            f"noise and seed must be 0 or more, sizes 1 or more; found {noise}, {seed}, {(train, validation, test)}"
        )
    splits = {
        split: _draw(annotation, n, size, kinds, noise, np.random.default_rng((seed, part)))
        for part, (split, n) in enumerate({"train": train, "validation": validation, "test": test}.items())
    }
    names = {"target": ("x", "y"), "mask": ("background", *KINDS[:kinds])}
    return from_arrays(splits, classes=names.get(annotation, KINDS[:kinds]), name=f"shapes-{annotation}")


def _draw(annotation: Annotation, n: int, size: int, kinds: int, noise: float, rng: np.random.Generator) -> Columns:
    """Draws `n` images with one to four shapes, each in its own quarter, and all their annotations."""
    count = {"labels": kinds, "boxes": 2}.get(annotation, 1)
    radius = rng.uniform(0.12, 0.22, (n, count)) * size
    if count == 1:
        centre = rng.uniform(0.25, 0.75, (n, 1, 2)) * size
    else:
        quarter = rng.permuted(np.tile(np.arange(4), (n, 1)), axis=1)[:, :count]
        middle = (np.stack([quarter % 2, quarter // 2], -1) + 0.5) / 2
        centre = (middle + rng.uniform(-0.03, 0.03, (n, count, 2))) * size
    kind = rng.integers(0, kinds, (n, count))
    present = np.arange(count) < rng.integers(1, count + 1, n)[:, None]
    grey = rng.uniform(0.6, 1.0, (n, count))
    y, x = np.mgrid[:size, :size] + 0.5
    image = np.zeros((n, size, size))
    mask = np.zeros((n, size, size), np.int32)
    for i in range(count):
        inside = _inside(x - centre[:, i, 0, None, None], y - centre[:, i, 1, None, None], kind[:, i], radius[:, i])
        inside &= present[:, i, None, None]
        image = np.where(inside, grey[:, i, None, None], image)
        mask = np.where(inside, kind[:, i, None, None] + 1, mask)
    image = np.clip(image + rng.normal(0, noise, image.shape), 0, 1)
    columns = {
        "label": kind[:, 0],
        "labels": ((kind[:, :, None] == np.arange(kinds)) & present[:, :, None]).any(1),
        "target": centre[:, 0],
        "mask": mask,
        "boxes": np.where(present[..., None], _boxes(centre, kind, radius), 0),
    }
    extra = {"classes": np.where(present, kind, -1)} if annotation == "boxes" else {}
    return {"image": np.round(image * 255).astype(np.uint8), annotation: columns[annotation], **extra}


def _inside(dx: np.ndarray, dy: np.ndarray, kind: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Returns which pixels `[n, H, W]` lie inside a shape of that kind and radius, from their offsets to its centre."""
    kind, radius = kind[:, None, None], radius[:, None, None]
    disc = np.hypot(dx, dy) <= radius
    square = np.maximum(abs(dx), abs(dy)) <= 0.85 * radius
    triangle = (abs(dy) <= radius) & (2 * abs(dx) <= dy + radius)  # apex up, as wide as high at its foot
    return np.select([kind == 0, kind == 1], [disc, square], triangle)


def _boxes(centre: np.ndarray, kind: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Returns the tight boxes `[n, m, 4]` xyxy."""
    half = np.where(kind == 1, 0.85, 1.0)[..., None] * radius[..., None]
    return np.concatenate([centre - half, centre + half], -1)
