"""The choice of a target: a network's own answer, or what a user names."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from cnnlab.errors import unknown
from cnnlab.explain import targets
from cnnlab.explain.taps import find_layer, logits_shape
from cnnlab.explain.targets import LayerTarget, Target, box, class_logit, flat_boxes, margin, output, region
from cnnlab.runtime.compile import jit
from cnnlab.tasks.task import Outputs, Task, complete, task_name
from cnnlab.trained import Trained, outputs


def choose_target(members: Sequence[Trained], images: jax.Array, target: Any = None) -> Target:
    """Turns what a user names into a target.

    Args:
      members: the network, or the members of an ensemble.
      images: `[B, H, W, C]`.
      target: None for the network's own answer: the most probable class, the first number of a regression, the most
        frequent class of a segmentation other than its first one, the best box of a detection. A class's number or
        name, or one number an image, `[B]`: of a segmentation its pixels, of a detection its best box. `4-9` for
        the margin between two classes. A function of the logits.

    Raises:
      ValueError: there is no such class, or the function does not return one value an image.
    """
    trained = members[0]
    if callable(target):
        target = target if isinstance(target, Partial | LayerTarget) else Partial(target)
        _check_values(trained, images, target)
        return targets.by_link(trained, target)
    kind = complete(trained.task).logits
    if kind not in _CHOICES:
        raise ValueError(
            f"the task {task_name(trained.task)} has no classes or boxes to choose from; give a function of the logits"
        )
    if isinstance(target, str):
        target = named(trained, target)
        if callable(target):
            return target
    if target is not None:
        target = _checked(target, len(images), len(trained.spec.classes))
    return _CHOICES[kind](tuple(members), images, target)


def named(trained: Trained, text: str) -> int | Target:
    """Reads a target from text: a class's name, its number, or two of them joined by a hyphen."""
    classes = trained.spec.classes
    if text in classes:
        return classes.index(text)
    if text.isdecimal():
        return int(text)
    for at in (i for i, letter in enumerate(text) if letter == "-"):
        ends = [text[:at], text[at + 1 :]]
        if all(end in classes or end.isdecimal() for end in ends):
            first, second = (_checked(named(trained, end), 1, len(classes)) for end in ends)
            if first == second:
                raise ValueError(f"a margin is between two classes, found {text}, which is 0 for every image")
            if not _has_margins(trained):
                raise ValueError(f"a margin such as {text} is for classification, found {task_name(trained.task)}")
            return margin(first, second)
    margins = " and margins such as 4-9" if _has_margins(trained) else ""
    raise unknown("target", text, classes, f"Numbers from 0{margins} are known too.")


def _has_margins(trained: Trained) -> bool:
    return complete(trained.task).logits == "vector" and "probs" in output_names(trained)


def _checked(index: Any, number: int, k: int) -> np.ndarray:
    """Returns class numbers as an array `[B]` or a single one."""
    index = np.asarray(index)
    if index.dtype.kind not in "iu" or index.shape not in ((), (number,)):
        raise ValueError(
            f"target must be a class's number or name, one number for each of the {number} images, or a function of "
            f"the logits, found {index.dtype} {list(index.shape)}"
        )
    wrong = index[(index < 0) | (index >= k)] if index.ndim else index[None][(index < 0) | (index >= k)]
    if wrong.size:
        raise ValueError(f"target must lie in 0..{k - 1} for {k} classes, found {wrong.ravel()[0]}")
    return index


def _check_values(trained: Trained, images: jax.Array, target: Target) -> None:
    size = images.shape[1:]
    if isinstance(target, LayerTarget):
        read = find_layer(trained, target.layer.name, size).shape
    else:
        read = logits_shape(trained, size)
        targets.check_classes(target, read)
    try:
        shape = jax.eval_shape(target, jax.ShapeDtypeStruct((len(images), *read[1:]), jnp.float32)).shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"the target does not fit {len(images)} images of logits {list(read[1:])}: {error}") from error
    if shape != (len(images),):
        raise ValueError(f"a target must return one value an image, [{len(images)}], found {list(shape)}")


@jit
def mean_outputs(members: tuple[Trained, ...], images: jax.Array) -> Outputs:
    """Computes the linked outputs of a pass without dropout, averaged over members."""
    each = [outputs(member, images) for member in members]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *each)


def _of_vector(members: tuple[Trained, ...], images: jax.Array, index: np.ndarray | None) -> Target:
    index = class_ranks(mean_outputs(members, images))[:, 0] if index is None else np.broadcast_to(index, len(images))
    return class_target(members[0], index)


def class_target(trained: Trained, index: np.ndarray | jax.Array) -> Target:
    """Returns the target of classes by their numbers `[B]`: their logits, or the numbers of a regression.

    The single logit of one label is that of its yes, which is class 1 of two.
    """
    names = output_names(trained)
    if "probs" in names:
        is_yes = logits_shape(trained)[-1] == len(trained.spec.classes) == 1
        return class_logit(index + 1 if is_yes else index)
    return targets.number(trained, index) if "value" in names else output(index)


def output_names(trained: Trained) -> tuple[str, ...]:
    """Returns the names of a network's outputs after the task's link."""
    return _names_once(trained.task, logits_shape(trained))


@functools.lru_cache(maxsize=64)
def _names_once(task: Task, shape: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(jax.eval_shape(task.link, jax.ShapeDtypeStruct(shape, jnp.float32)))


@jit
def class_ranks(outputs: Outputs) -> jax.Array:
    """Returns the classes of each image, the most probable first, `[B, k]`; outputs without classes keep their order.

    A class of several labels is as probable as its yes.
    """
    if "probs" not in outputs:
        values = jax.tree.leaves(outputs)[0]
        values = values if values.ndim > 1 else values[:, None]  # one number an image
        return jnp.broadcast_to(jnp.arange(values.shape[-1]), values.shape)
    probs = outputs["probs"]
    return jnp.argsort(-(probs[..., 1] if probs.ndim == 3 else probs), axis=-1, stable=True)


def _of_map(members: tuple[Trained, ...], images: jax.Array, index: np.ndarray | None) -> Target:
    outputs = mean_outputs(members, images)
    mask = outputs["probs"].argmax(-1)
    index = area_ranks(outputs)[:, 0] if index is None else jnp.broadcast_to(index, len(mask))
    pixels = mask == index[:, None, None]
    return region(index, pixels | ~pixels.any((1, 2), keepdims=True))


@jit
def area_ranks(outputs: Outputs) -> jax.Array:
    """Returns the classes of each segmentation, that of most pixels first, `[B, k]`; class 0 comes last."""
    probs = outputs["probs"]
    k = probs.shape[-1]
    count = jax.nn.one_hot(probs.argmax(-1), k).sum((1, 2))
    present = (jnp.arange(k) > 0) & (count > 0)
    return jnp.argsort(-jnp.where(present, count, jnp.where(jnp.arange(k) == 0, 0.0, -1.0)), axis=-1, stable=True)


def _of_grid(members: tuple[Trained, ...], images: jax.Array, index: np.ndarray | None) -> Target:
    trained, outputs = members[0], mean_outputs(members, images)
    score, probs, _ = flat_boxes(outputs)
    each = score[..., None] * probs  # [B, n, k]
    if index is None:
        best = each.reshape(len(each), -1).argmax(-1)
        return box(trained, best // each.shape[-1], best % each.shape[-1])
    index = jnp.broadcast_to(index, len(each))
    return box(trained, jnp.take_along_axis(each, index[:, None, None], -1)[..., 0].argmax(-1), index)


_CHOICES = {"vector": _of_vector, "map": _of_map, "grid": _of_grid}
