"""Augmentation of 16 images of 256x256x3, each with a mask and two boxes: cnnlab beside albumentations.

    pip install albumentations && python experiments/benchmarks/augmentation.py [--json] [--rounds 15] [--record]

Both libraries flip, shift, rotate, zoom and change brightness and contrast, with the same probabilities and ranges. The
image is resampled bilinearly, the mask by the nearest pixel, and a box follows its ellipse. cnnlab returns float images
in [0, 1], ready for a network, and albumentations returns uint8. The two run in turns, round by round. Each time is the
median of the rounds' medians, without compilation. `ratio` is albumentations' time divided by cnnlab's: above 1, cnnlab
is faster. It is null where albumentations is not installed.

cnnlab is faster on a CPU, most of all while no other work takes the second core, which albumentations does not use.
"""

import functools
import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import OFF, Options, report, take_turns

import cnnlab
from cnnlab.data import Augmentation, augment

SETTINGS = Augmentation(horizontal_flip=0.5, shift=0.1, rotation=30, zoom=0.2, brightness=0.2, contrast=0.2)


def data(batch: int, size: int) -> dict[str, np.ndarray]:
    """Returns the images, masks and boxes that both libraries augment."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, size / 2, (batch, 2, 2))
    return {
        "image": rng.integers(0, 256, (batch, size, size, 3), np.uint8),
        "mask": rng.integers(0, 3, (batch, size, size)).astype(np.int32),
        "boxes": np.concatenate([corner, corner + size / 4], -1).astype(np.float32),
        "classes": rng.integers(0, 3, (batch, 2)).astype(np.int32),
    }


def cnnlab_batch(columns: dict[str, np.ndarray]) -> Callable[[], None]:
    """Returns a call that augments the batch as one program with a new key; the transfer of the arrays counts."""
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
    """Returns a call that augments image by image, as users of albumentations do."""
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
    # OpenCV does not warp int32, so its users store masks as uint8.
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
    recording: Options = OFF,
) -> dict:
    """Times both libraries in turns and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        rounds: turns of each library.
        repeats: batches in a turn.
        batch: number of images.
        size: height and width of the images in pixels.
        recording: whether the results are stored.
    """
    columns = data(batch, size)
    variants = {"cnnlab": cnnlab_batch(columns)}
    if importlib.util.find_spec("albumentations"):
        variants["albumentations"] = albumentations_batch(columns)
    times = take_turns(variants, rounds=rounds, repeats=repeats)
    name = f"augmentation, {batch}x{size}x{size}x3 with mask and two boxes"
    return report(name, times, images=batch, as_json=json_only, recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
