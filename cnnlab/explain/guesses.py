"""The answers of a network for one image that are worth an explanation: its first and second guess."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.explain import choice, targets
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained

_LEAST_SCORE = 0.05  # of a box that is a guess


class Guesses(NamedTuple):
    """Some answers for one image.

    Attributes:
      names: name of each answer, such as a class.
      probs: probability of each answer; None for a number or a function of the logits.
      target: target of a batch that repeats the image once for each answer.
      marks: box `[4]` xyxy in pixels, or mask `[H, W]`, to which each answer belongs; None where it is the whole image.
    """

    names: tuple[str, ...]
    probs: tuple[float | None, ...]
    target: targets.Target
    marks: tuple[Any, ...]


def best_guesses(members: Sequence[Trained], image: np.ndarray, number: int = 2) -> Guesses:
    """Returns the most probable answers for an image `[H, W, C]`.

    These are classes (of several labels the most probable ones), the numbers of a regression, the classes of a
    segmentation by their area, and the boxes of a detection by their score. There may be fewer than `number`.
    """
    outputs = choice.mean_outputs(tuple(members), image[None])
    kind = complete(members[0].task).logits
    if kind not in _GUESSES:
        name, target = "the mean logit", lambda logits: logits.reshape(len(logits), -1).mean(-1)
        return Guesses((name,), (None,), jax.tree_util.Partial(target), (None,))
    return _GUESSES[kind](members[0], outputs, number)


def named_guess(members: Sequence[Trained], image: np.ndarray, text: str) -> Guesses:
    """Returns the answer that a user names: a class, its number, or a margin such as `4-9`."""
    target = choice.choose_target(members, image[None], text)
    trained, outputs = members[0], choice.mean_outputs(tuple(members), image[None])
    chosen = choice.named(trained, text)
    if callable(chosen):
        return Guesses((text,), (None,), target, (None,))
    guesses = _GUESSES[complete(trained.task).logits](trained, outputs, 1, only=chosen)
    return guesses._replace(target=target)


def _of_vector(trained: Trained, outputs: dict, number: int, *, only: int | None = None) -> Guesses:
    ranks = np.asarray(choice.class_ranks(outputs))[0, :number] if only is None else np.array([only])
    names, target = tuple(trained.spec.classes[i] for i in ranks), choice.class_target(trained, ranks)
    if "probs" not in outputs:
        return Guesses(names, (None,) * len(ranks), target, (None,) * len(ranks))
    probs = np.asarray(outputs["probs"][0])
    probs = probs[:, 1] if probs.ndim == 2 else probs
    return Guesses(names, tuple(map(float, probs[ranks])), target, (None,) * len(ranks))


def _of_map(trained: Trained, outputs: dict, number: int, *, only: int | None = None) -> Guesses:
    probs = np.asarray(outputs["probs"][0])
    mask = probs.argmax(-1)
    present = [int(i) for i in np.asarray(choice.area_ranks(outputs))[0] if (mask == i).any()]
    ranks = present[:number] if only is None else [only]
    pixels = [mask == i if (mask == i).any() else np.ones_like(mask, bool) for i in ranks]
    sure = tuple(float(probs[..., i][where].mean()) for i, where in zip(ranks, pixels, strict=True))
    names = tuple(trained.spec.classes[i] for i in ranks)
    return Guesses(names, sure, targets.region(np.array(ranks), np.stack(pixels)), tuple(pixels))


def _of_grid(trained: Trained, outputs: dict, number: int, *, only: int | None = None) -> Guesses:
    boxes = jax.device_get(trained.task.decode(outputs))
    usable = boxes["classes"][0] >= 0 if only is None else boxes["classes"][0] == only
    order = np.flatnonzero(usable)[:number]
    sure = [i for i in order if boxes["score"][0, i] >= _LEAST_SCORE]
    order = np.array(sure or list(order[:1]), int)
    if not len(order):  # no box at all: the best place of the grid
        score, probs, each = targets.flat_boxes(outputs)
        joint = np.asarray(score[..., None] * probs)[0]
        label = int(joint.max(0).argmax()) if only is None else only
        place = int(joint[:, label].argmax())
        places, labels, scores = np.array([place]), np.array([label]), [float(joint[place, label])]
        marks = (np.asarray(each[0, place]),)
    else:
        places, labels = boxes["place"][0, order], boxes["classes"][0, order]
        scores, marks = map(float, boxes["score"][0, order]), tuple(boxes["boxes"][0, order])
    names = tuple(trained.spec.classes[i] for i in labels)
    return Guesses(names, tuple(scores), targets.box(trained, jnp.asarray(places), jnp.asarray(labels)), marks)


_GUESSES = {"vector": _of_vector, "map": _of_map, "grid": _of_grid}
