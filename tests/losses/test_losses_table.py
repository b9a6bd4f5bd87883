"""The losses of docs/losses.md: as functions against torch, and as a training step computes them from logits."""

import functools
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab import losses, tasks
from cnnlab.training.step import start, train_step

ROOT = Path(__file__).parents[2]
TORCH = json.loads((ROOT / "tests/goldens/losses.json").read_text())
FUNCTIONS = {
    "mse": losses.squared_error,
    "l1": losses.absolute_error,
    "huber": losses.huber,
    "huber_0_7": functools.partial(losses.huber, delta=0.7),
    "smooth_l1_0_7": lambda p, q: losses.huber(p, q, delta=0.7) / 0.7,
    "binary_cross_entropy": losses.binary_cross_entropy,
    "binary_cross_entropy_pos_weight_2_5": lambda z, y: (
        losses.class_weights(y.astype(int), (1.0, 2.5)) * losses.binary_cross_entropy(z, y)
    ),
    "cross_entropy": losses.cross_entropy,
    "cross_entropy_smooth_0_1": functools.partial(losses.cross_entropy, label_smoothing=0.1),
    "cross_entropy_thousand": losses.cross_entropy,
    "focal": losses.focal,
    "dice": lambda z, y: losses.dice(jax.nn.softmax(z)[None], y[None])[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_equal_torch(name):
    target = np.array(TORCH[name]["target"])
    value, pull = jax.vjp(lambda z: FUNCTIONS[name](z, target), jnp.array(TORCH[name]["input"]))
    np.testing.assert_allclose(value, TORCH[name]["value"], rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(pull(jnp.ones_like(value))[0], TORCH[name]["gradient"], rtol=2e-5, atol=1e-6)


class Logits(nn.Module):
    """A network whose parameters are its logits."""

    @nn.compact
    def __call__(self, images):
        return self.param("logits", lambda key: images)


@functools.partial(jax.jit, static_argnums=0)
def step(task, logits, batch):
    """Returns the loss of a training step and its gradient with respect to the logits."""
    state = start({"params": {"logits": logits}}, optax.sgd(1.0))
    options = {"network": Logits(), "task": task, "optimizer": optax.sgd(1.0), "key": jax.random.key(0)}
    new, metrics = train_step(state, {"image": logits, "weight": jnp.ones(len(logits))} | batch, **options)
    return metrics["loss"], logits - new.params["logits"]


RNG = np.random.default_rng(0)
NUMBERS = {"target": np.float32([[0.3, -2], [1, 4], [0, 0.5]])}
LABELS = {"label": np.array([0, 2, 1])}
MASKS = {"mask": RNG.integers(0, 3, (3, 4, 4))}
BOXES = {"boxes": np.float32([[[2, 2, 9, 7]], [[8, 0, 16, 16]], [[1, 9, 6, 15]]]), "classes": np.array([[0], [2], [1]])}
BY_GIOU = {"box_loss": "giou", "box_weight": 1.0, "image_size": (16, 16), "anchors": ((4.0, 4.0), (9.0, 5.0))}
ROWS = {
    "mean squared": (tasks.Regression(kind="mse"), (2,), NUMBERS),
    "absolute": (tasks.Regression(kind="l1"), (2,), NUMBERS),
    "Huber": (tasks.Regression(kind="huber"), (2,), NUMBERS),
    "binary": (tasks.Classification(kind="sigmoid"), (1,), {"label": np.array([0, 1, 1])}),
    "cross-entropy": (tasks.Classification(), (3,), LABELS),
    "class-weighted": (tasks.Classification(class_weights=(0.5, 1.0, 4.0)), (3,), LABELS),
    "class-weighted pixels": (tasks.Segmentation(class_weights=(0.5, 1.0, 4.0)), (4, 4, 3), MASKS),
    "focal": (tasks.Segmentation(kind="focal"), (4, 4, 3), MASKS),
    "Dice": (tasks.Segmentation(kind="dice"), (4, 4, 3), MASKS),
    "GIoU in cells": (tasks.Detection(**BY_GIOU), (2, 2, 13), BOXES),
    "GIoU of anchors": (tasks.Detection(kind="anchors", **BY_GIOU), (2, 2, 16), BOXES),
    "CTC": (tasks.Sequence(), (6, 4), {"text": np.array([[0, 1], [2, 2], [1, -1]])}),
}
"""Task, shape of the logits of an example, and a batch of three examples for each loss."""


def logits_of(row):
    return jnp.asarray(np.random.default_rng(1).normal(size=(3, *ROWS[row][1])), jnp.float32)


# The triplets of an example depend on the others, so it cannot count twice.
OF_BATCHES = {"margin ranking": (tasks.Ranking(), (4,), {"label": np.array([0, 0, 1])})}


@pytest.mark.parametrize("row", [*ROWS, *OF_BATCHES])
def test_a_step_from_logits_of_a_thousand_is_finite(row):
    task, shape, batch = (ROWS | OF_BATCHES)[row]
    loss, gradient = step(task, jnp.asarray(RNG.choice([-1e3, 0, 1e3], (3, *shape)), jnp.float32), batch)
    assert jnp.isfinite(loss)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("row", ROWS)
def test_an_example_counts_as_often_as_its_weight_says(row):
    task, _, batch = ROWS[row]
    loss, gradient = step(task, logits_of(row), batch | {"weight": np.float32([1, 2, 0])})
    often = np.array([0, 1, 1])
    expected, parts = step(task, logits_of(row)[often], {name: column[often] for name, column in batch.items()})
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(gradient, [parts[0], parts[1] + parts[2], 0 * parts[0]], atol=1e-5)


@pytest.mark.parametrize("row", [row for row, (*_, batch) in ROWS.items() if {"label", "mask"} & set(batch)])
def test_an_ignored_example_changes_neither_loss_nor_gradient(row):
    task, _, batch = ROWS[row]
    ((name, labels),) = batch.items()
    ignored = np.concatenate([labels[:2], np.full_like(labels[2:], -1)])
    loss, gradient = step(task, logits_of(row), {name: ignored})
    expected, slopes = step(task, logits_of(row), batch | {"weight": np.float32([1, 1, 0])})
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(gradient, slopes, atol=1e-6)


@pytest.mark.parametrize("row", [row for row, (*_, batch) in ROWS.items() if {"boxes", "text"} & set(batch)])
def test_padding_changes_neither_loss_nor_gradient(row):
    task, _, batch = ROWS[row]
    padded = {name: np.concatenate([column, np.full_like(column, -1)], 1) for name, column in batch.items()}
    for got, expected in zip(step(task, logits_of(row), padded), step(task, logits_of(row), batch), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("golden", ["cross_entropy_weighted_mean", "cross_entropy_weighted_mean_last_ignored"])
@pytest.mark.parametrize("pixels", [False, True])
def test_a_step_with_weights_of_classes_equals_torch(golden, pixels, goldens):
    weights = tuple(goldens["ce"]["weights"])
    logits, labels = jnp.array(TORCH[golden]["input"]), np.array(TORCH[golden]["target"])
    if pixels:  # two images of two pixels
        task, logits, batch = tasks.Segmentation, logits.reshape(2, 1, 2, 5), {"mask": labels.reshape(2, 1, 2)}
    else:
        task, batch = tasks.Classification, {"label": labels}
    loss, gradient = step(task(class_weights=weights), logits, batch)
    assert float(loss) == pytest.approx(TORCH[golden]["value"], rel=1e-5)
    np.testing.assert_allclose(gradient.reshape(4, 5), TORCH[golden]["gradient"], atol=1e-6)


def test_the_page_has_every_loss_that_a_task_offers():
    page = (ROOT / "docs/losses.md").read_text()
    tables = (losses.POINTWISE, losses.PIXELS, losses.REGIONS, losses.BOXES)
    names = [loss.__name__ for table in tables for loss in table.values()]
    assert [name for name in names if f"](#cnnlab.losses.{name})" not in page] == []
