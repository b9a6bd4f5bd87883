"""Targets: what an explanation explains. A target is a function of the logits `[B, ...]` that returns one value `[B]`.

Each maker returns a pytree (`jax.tree_util.Partial`), so that another class or region needs no new compilation.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnnlab.errors import unknown
from cnnlab.explain.taps import Layer, find_layer, logits_shape
from cnnlab.tasks.task import Outputs, Task, complete, task_name
from cnnlab.trained import Trained

Target = Callable[[jax.Array], jax.Array]
"""Function of the logits `[B, ...]` that returns one value an image, `[B]`."""

BOX_VALUES = ("score", "object", "class", "left", "top", "right", "bottom", "width", "height")


def _reads_class(function: Callable) -> Callable:
    """Marks a function whose first argument is the class that it reads."""
    function.reads_class = True
    return function


def class_logit(index: int | jax.Array) -> Target:
    """Creates the target of a class's logit, before the softmax.

    Args:
      index: number of the class, or one number an image, `[B]`. A single logit is that of class 1; class 0 has its
        negative.

    >>> class_logit(2)(jnp.array([[1.0, 2.0, 5.0]])).tolist()
    [5.0]
    """
    return Partial(_class_logit, jnp.asarray(index))


@_reads_class
def _class_logit(index: jax.Array, logits: jax.Array) -> jax.Array:
    return _at(logits, index)


def class_probability(index: int | jax.Array) -> Target:
    """Creates the target of a class's probability.

    An explanation reads it as the network's task does: for several labels it is the sigmoid of the class's own logit.
    As a function of logits alone it is the softmax, or the sigmoid of a single logit.

    >>> class_probability(0)(jnp.zeros((1, 4))).tolist()
    [0.25]
    """
    return Partial(_class_probability, jnp.asarray(index))


@_reads_class
def _class_probability(index: jax.Array, logits: jax.Array) -> jax.Array:
    single = logits.shape[-1] == 1  # a sigmoid is the softmax of plus and minus half the logit
    return _at(jax.nn.softmax(_both(logits) / (2 if single else 1)), index)


def margin(first: int | jax.Array, second: int | jax.Array) -> Target:
    """Creates the target of the difference between two classes' logits: why the first and not the second?

    >>> margin(2, 0)(jnp.array([[1.0, 2.0, 5.0]])).tolist()
    [4.0]
    """
    return Partial(_margin, jnp.asarray(first), jnp.asarray(second))


def _margin(first: jax.Array, second: jax.Array, logits: jax.Array) -> jax.Array:
    return _at(logits, first) - _at(logits, second)


def output(index: int | jax.Array) -> Target:
    """Creates the target of one output of the network, as it is; see `number` for a regression.

    >>> output(0)(jnp.array([[7.0]])).tolist()
    [7.0]
    """
    return Partial(_output, jnp.asarray(index))


@_reads_class
def _output(index: jax.Array, logits: jax.Array) -> jax.Array:
    return jnp.take_along_axis(logits, jnp.broadcast_to(index, len(logits))[:, None], -1)[:, 0]


def number(trained: Trained, index: int | jax.Array) -> Target:
    """Creates the target of a number of a regression, in the number's own unit.

    Args:
      trained: the network, whose task converts outputs to this unit.
      index: which number, or one an image, `[B]`.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Regression
    >>> net, spec = create_model("linear", num_classes=1), InputSpec((4, 4), classes=("size",))
    >>> variables = net.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))
    >>> trained = Trained(variables, net, Regression(mean=(10.0,), std=(2.0,)), spec)
    >>> number(trained, 0)(jnp.array([[1.5]])).tolist()
    [13.0]
    """
    return Partial(_number(trained.task), jnp.asarray(index))


@functools.lru_cache(maxsize=64)  # the same function each time, so that nothing is compiled again
def _number(task: Task) -> Callable:
    return _reads_class(lambda index, logits: _output(index, task.link(logits)["value"]))


def region(index: int | jax.Array, pixels: jax.Array | None = None) -> Target:
    """Creates the target of a class's mean logit over some pixels of a segmentation.

    Args:
      index: number of the class, or one number an image, `[B]`.
      pixels: `[H, W]` or `[B, H, W]`, boolean or weights; by default all pixels. An image without pixels has the
        value 0.

    >>> region(1, jnp.array([[True, False]]))(jnp.array([[[[0.0, 3.0], [0.0, 9.0]]]])).tolist()
    [3.0]
    """
    weights = jnp.ones((1, 1)) if pixels is None else jnp.asarray(pixels, jnp.float32)
    return Partial(_region, jnp.asarray(index), weights)


@_reads_class
def _region(index: jax.Array, weights: jax.Array, logits: jax.Array) -> jax.Array:
    index = jnp.broadcast_to(index, len(logits))
    values = jnp.take_along_axis(_both(logits), index[:, None, None, None], -1)[..., 0]
    weights = jnp.broadcast_to(weights, values.shape)
    return (values * weights).sum((1, 2)) / jnp.maximum(weights.sum((1, 2)), 1e-12)


def box(trained: Trained, place: int | jax.Array, label: int | jax.Array, value: str = "score") -> Target:
    """Creates the target of one box of a detection.

    Args:
      trained: the network, whose task says how logits become boxes.
      place: index of the box on the network's grid, as in `predict(...).place`, or one an image, `[B]`.
      label: number of the class, or one an image, `[B]`.
      value: `score` (the probability of an object times that of the class), `object` or `class` alone, or a coordinate
        in pixels: `left`, `top`, `right`, `bottom`, `width`, `height`.

    Raises:
      ValueError: the value is unknown, there is no such place or class, or the network detects nothing.
    """
    if value not in BOX_VALUES:
        raise unknown("value of a box", value, BOX_VALUES)
    if complete(trained.task).logits != "grid":
        raise ValueError(f"a box is a target for detection, found {task_name(trained.task)}")
    grid = jax.ShapeDtypeStruct(logits_shape(trained), jnp.float32)
    _check_range("place", place, jax.eval_shape(lambda x: flat_boxes(trained.task.link(x))[0], grid).shape[1])
    _check_range("label", label, len(trained.spec.classes))
    return Partial(_box(trained.task, value), jnp.asarray(label), jnp.asarray(place))


@functools.lru_cache(maxsize=64)  # the same function each time, so that nothing is compiled again
def _box(task: Task, value: str) -> Callable:
    @_reads_class
    def box_value(label: jax.Array, place: jax.Array, logits: jax.Array) -> jax.Array:
        score, probs, boxes = flat_boxes(task.link(logits))
        place, label = (jnp.broadcast_to(each, len(logits)) for each in (place, label))
        left, top, right, bottom = jnp.take_along_axis(boxes, place[:, None, None], 1)[:, 0].T
        presence, chance = _at(score, place), _at(jnp.take_along_axis(probs, place[:, None, None], 1)[:, 0], label)
        values = {"score": presence * chance, "object": presence, "class": chance, "left": left, "top": top}
        return (values | {"right": right, "bottom": bottom, "width": right - left, "height": bottom - top})[value]

    return box_value


def flat_boxes(outputs: Outputs) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the scores `[B, n]`, class probabilities `[B, n, k]` and boxes `[B, n, 4]` of a grid in one list."""
    score, boxes, probs = outputs["score"], outputs["boxes"], outputs["probs"]
    if probs.ndim == 4:  # the boxes of a cell share its classes
        probs = jnp.broadcast_to(probs[..., None, :], (*score.shape, probs.shape[-1]))
    b = len(score)
    return score.reshape(b, -1), probs.reshape(b, -1, probs.shape[-1]), boxes.reshape(b, -1, 4)


def unit(trained: Trained, layer: str, channel: int, *, row: int | None = None, column: int | None = None) -> Target:
    """Creates the target of one unit of any layer: a channel's mean over all places, or its value at one place.

    Args:
      trained: the network.
      layer: name of the layer.
      channel: index on the last axis of the layer's output.
      row: row of the place, for a layer with spatial axes.
      column: column of the place.

    Raises:
      ValueError: there is no such layer, channel or place.
    """
    tapped = find_layer(trained, layer)
    limits = {"channel": (channel, tapped.shape[-1])}
    if is_placed := row is not None or column is not None:
        if len(tapped.shape) != 4 or row is None or column is None:
            raise ValueError(f"{layer} has the output {list(tapped.shape[1:])}; give both row and column, or neither")
        limits |= {"row": (row, tapped.shape[1]), "column": (column, tapped.shape[2])}
    for name, (number, end) in limits.items():
        if not 0 <= number < end:
            raise ValueError(f"{name} must lie in 0..{end - 1} for {layer}, found {number}")
    if is_placed:
        return LayerTarget(tapped, Partial(_unit_at, jnp.array([row, column, channel])))
    return LayerTarget(tapped, Partial(_channel, jnp.asarray(channel)))


def _channel(channel: jax.Array, output: jax.Array) -> jax.Array:
    return output.reshape(len(output), -1, output.shape[-1]).mean(1)[:, channel]


def _unit_at(place: jax.Array, output: jax.Array) -> jax.Array:
    return output[:, place[0], place[1], place[2]]


def direction(trained: Trained, layer: str, vector: jax.Array) -> Target:
    """Creates the target of a direction in feature space: the inner product of a layer's mean output with a vector.

    Args:
      trained: the network.
      layer: name of the layer.
      vector: `[C]`, as long as the last axis of the layer's output.

    Raises:
      ValueError: there is no such layer, or the vector has another length.
    """
    tapped = find_layer(trained, layer)
    if np.shape(vector) != tapped.shape[-1:]:
        raise ValueError(f"vector must be [{tapped.shape[-1]}] for {layer}, found {list(np.shape(vector))}")
    return LayerTarget(tapped, Partial(_direction, jnp.asarray(vector, jnp.float32)))


def _direction(vector: jax.Array, output: jax.Array) -> jax.Array:
    return output.reshape(len(output), -1, output.shape[-1]).mean(1) @ vector


@jax.tree_util.register_pytree_node_class
class LayerTarget:
    """A target that reads the output of a layer instead of the logits."""

    def __init__(self, layer: Layer, function: Target):
        self.layer, self.function = layer, function

    def __call__(self, output: jax.Array) -> jax.Array:
        return self.function(output)

    def tree_flatten(self):
        return (self.function,), self.layer

    @classmethod
    def tree_unflatten(cls, layer: Layer, children):
        return cls(layer, *children)


def as_probability(trained: Trained, target: Target) -> Target:
    """Returns the probability of the class whose logit a target reads, by which deletion and insertion are comparable.

    The probability is that of the task's link. Other targets, such as margins, boxes and functions of a user, stay as
    they are.
    """
    function = target.func if isinstance(target, Partial) else None
    return (
        Partial(_probability(trained.task, function), *target.args) if function in (_class_logit, _region) else target
    )


def by_link(trained: Trained, target: Target) -> Target:
    """Returns the target of a class's probability by the link of the task, if this has probabilities of classes."""
    if not isinstance(target, Partial) or target.func is not _class_probability:
        return target
    if "probs" not in jax.eval_shape(trained.task.link, jax.ShapeDtypeStruct(logits_shape(trained), jnp.float32)):
        return target
    return Partial(_probability(trained.task, _class_logit), *target.args)


def class_of(target: Target, number: int) -> jax.Array | None:
    """Returns the class that a target reads of each of a number of images, or the number of a regression, `[B]`.

    For margins, units, directions and functions of a user it is None.
    """
    if not isinstance(target, Partial) or not getattr(target.func, "reads_class", False):
        return None
    return jnp.broadcast_to(target.args[0], number)


@functools.lru_cache(maxsize=64)
def _probability(task: Task, function: Callable) -> Callable:
    @_reads_class
    def probability(*args) -> jax.Array:
        probs = task.link(args[-1])["probs"]
        if probs.shape[-1] == 2 and probs.ndim == args[-1].ndim + 1:  # no or yes for each of several labels
            probs = probs[..., 0, :] if probs.shape[-2] == 1 else probs[..., 1]  # one label: class 0 is its no
        return function(*args[:-1], probs)

    return probability


_READS = {_class_logit: (1, 2), _class_probability: (1, 2), _margin: (2, 2), _output: (1, 2), _region: (1, 4)}
"""Number of a target's arguments that are classes, and the number of axes of the logits that it reads."""


def check_classes(target: Target, shape: tuple[int, ...]) -> None:
    """Raises an error if a target of this file reads a class that logits of a shape `[B, ...]` do not have.

    >>> check_classes(margin(4, 9), (1, 6))
    Traceback (most recent call last):
    ValueError: a target's class must lie in 0..5, found 9
    """
    function = target.func if isinstance(target, Partial) else None
    if function not in _READS:
        return
    number, axes = _READS[function]
    if len(shape) != axes:
        wanted = "[B, k]" if axes == 2 else "[B, H, W, k]"
        raise ValueError(
            f"{function.__name__[1:]} is a target for logits {wanted}, found [B, {', '.join(map(str, shape[1:]))}]"
        )
    for index in target.args[:number]:
        _check_range("a target's class", index, 2 if shape[-1] == 1 and function is not _output else shape[-1])


def _check_range(name: str, index: Any, end: int) -> None:
    """Raises an error unless all numbers lie in 0..end - 1; those of a trace are not known yet."""
    if isinstance(index, jax.core.Tracer):
        return
    index = np.asarray(index)
    if wrong := index[(index < 0) | (index >= end)].ravel().tolist():
        raise ValueError(f"{name} must lie in 0..{end - 1}, found {wrong[0]}")


def _at(values: jax.Array, index: jax.Array) -> jax.Array:
    """Returns `values[b, index[b]]` of an array `[B, k]`."""
    values = _both(values)
    return jnp.take_along_axis(values, jnp.broadcast_to(index, len(values))[:, None], -1)[:, 0]


def _both(logits: jax.Array) -> jax.Array:
    """Returns the logits of both classes where one logit stands for the second one."""
    return jnp.concatenate([-logits, logits], -1) if logits.shape[-1] == 1 else logits
