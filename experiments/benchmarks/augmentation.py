"""Augmentation of 16 images of 256x256x3, each with a mask and two boxes: cnnlab beside albumentations, in one run.

    pip install albumentations && python experiments/benchmarks/augmentation.py [--json] [--rounds 15]

Both flip, shift, rotate, zoom and change brightness and contrast, with the same probabilities and ranges, bilinear for
the image and nearest for the mask; boxes by their ellipse. cnnlab answers with float images in [0, 1], ready for a
network; albumentations with uint8. The two take turns, round by round; each figure is the median of the rounds'
medians, warm. `ratio` is albumentations' time divided by cnnlab's: above 1, cnnlab is faster; none where albumentations
is absent.

Measured on two cores of an AMD EPYC, jax 0.10.2, albumentations 2.0.8, 2026-11-21, two quiet runs: cnnlab 7.2 and
7.9 ms, albumentations 17.9 and 18.0: ratio 2.3 and 2.5; 1.5 to 1.9 while other work took the second core, which cnnlab
uses and albumentations does not.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import report, take_turns

import cnnlab
from cnnlab.data import Augmentation, augment

SETTINGS = Augmentation(horizontal_flip=0.5, shift=0.1, rotation=30, zoom=0.2, brightness=0.2, contrast=0.2)


def data(batch: int, size: int) -> dict[str, np.ndarray]:
    """The same images, masks and boxes for both."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, size / 2, (batch, 2, 2))
    return {
        "image": rng.integers(0, 256, (batch, size, size, 3), np.uint8),
        "mask": rng.integers(0, 3, (batch, size, size)).astype(np.int32),
        "boxes": np.concatenate([corner, corner + size / 4], -1).astype(np.float32),
        "classes": rng.integers(0, 3, (batch, 2)).astype(np.int32),
    }


def cnnlab_batch(columns: dict[str, np.ndarray]) -> Callable[[], None]:
    """The whole batch as one program, its key new every time; the time to hand the arrays over is counted."""
    program = cnnlab.jit(functools.partial(_augment, augmentation=SETTINGS))
    number = 0

    def run() -> None:
        nonlocal number
        number += 1
        jax.block_until_ready(program(columns, np.uint32(number)))

    return run


def _augment(columns: dict[str, jax.Array], seed: jax.Array, *, augmentation: Augmentation) -> dict[str, jax.Array]:
    return augment(columns, jax.random.key(seed), augmentation)


def albumentations_batch(columns: dict[str, np.ndarray]) -> Callable[[], None]:
    """One call an image, as its users do."""
    import albumentations

    change = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=SETTINGS.horizontal_flip),
            albumentations.Affine(
                translate_percent=(-SETTINGS.shift, SETTINGS.shift),
                rotate=(-SETTINGS.rotation, SETTINGS.rotation),
                scale=(1 / (1 + SETTINGS.zoom), 1 + SETTINGS.zoom),
                rotate_method="ellipse",
                p=1,
            ),
            albumentations.RandomBrightnessContrast(SETTINGS.brightness, SETTINGS.contrast, p=1),
        ],
        bbox_params=albumentations.BboxParams(
            format="pascal_voc", label_fields=["classes"], min_visibility=SETTINGS.min_visible
        ),
    )
    # OpenCV warps no int32: its users keep masks as uint8.
    masks = columns["mask"].astype(np.uint8)

    def run() -> None:
        for image, mask, boxes, classes in zip(
            columns["image"], masks, columns["boxes"], columns["classes"], strict=True
        ):
            change(image=image, mask=mask, bboxes=boxes, classes=classes)

    return run


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 15,
    repeats: int = 5,
    batch: int = 16,
    size: int = 256,
) -> dict:
    """Times both in turn and prints a table.

    Args:
        json_only: print one JSON object instead.
        rounds: turns of each.
        repeats: batches in a turn.
        batch: images.
        size: their height and width in pixels.
    """
    columns = data(batch, size)
    variants = {"cnnlab": cnnlab_batch(columns)}
    if importlib.util.find_spec("albumentations"):
        variants["albumentations"] = albumentations_batch(columns)
    times = take_turns(variants, rounds=rounds, repeats=repeats)
    name = f"augmentation, {batch}x{size}x{size}x3 with mask and two boxes"
    return report(name, times, images=batch, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
