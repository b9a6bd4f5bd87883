"""Matches detections with objects by COCO's greedy rule, for all images, classes and thresholds at once."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cnnlab.geometry import boxes as geometry

Columns = Mapping[str, Sequence[np.ndarray]]
Table = dict[str, np.ndarray]
ANY_AREA = np.array([[0, np.inf]])


class Matches(NamedTuple):
    """The matches of all detections, sorted by class, image and falling score, for A area ranges and T thresholds.

    Attributes:
      image: `[n]` index of the image.
      place: `[n]` index among the image's detections in the input.
      classes: `[n]` classes.
      scores: `[n]` scores.
      rank: `[n]` rank by score among detections of the same class and image, from 0.
      hit: `[n, A, T]` bool, whether the detection takes an object.
      ignored: `[n, A, T]` bool, whether the detection counts neither as correct nor as wrong.
      present: `[K]` classes that have an object.
      objects: `[K, A]` numbers of objects that count.
    """

    image: np.ndarray
    place: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    rank: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    present: np.ndarray
    objects: np.ndarray


def match(
    detections: Columns,
    truths: Columns,
    *,
    thresholds: np.ndarray,
    ranges: np.ndarray = ANY_AREA,
    limit: float = np.inf,
    score_threshold: float = -np.inf,
) -> Matches:
    """Matches each detection, best first, with the free object of its class that it overlaps most, above a threshold.

    An object outside the area range, a difficult object and a crowd are taken only if no other object fits. A detection
    that takes one of these is ignored, and so is a detection outside the area range that takes no object. Many
    detections may take the same crowd; the overlap with a crowd is the share of the detection within it. Among equal
    overlaps the detection takes the last object; among equal scores the first detection comes first.

    Source: pycocotools, `COCOeval.evaluateImg`.

    Args:
      detections: lists of arrays, or padded arrays, with one entry per image: `boxes` `[n, 4]` as xyxy in pixels,
        `scores` `[n]`, and `classes` `[n]`, where -1 is padding. Detections with a score of NaN are left out.
      truths: the same for the objects: `boxes`, `classes`, and optionally `crowd` (bool), `difficult` (bool) and `area`
        (square pixels, by default the area of the box).
      thresholds: `[T]` smallest IoUs of a match.
      ranges: `[A, 2]` smallest and largest areas in square pixels, both inclusive.
      limit: largest number of detections per class and image; the best ones count.
      score_threshold: smallest score; lower detections are left out.

    Raises:
      ValueError: detections and truths have different numbers of images.
    """
    if len(detections["boxes"]) != len(truths["boxes"]):
        images = len(detections["boxes"]), len(truths["boxes"])
        raise ValueError(f"detections have {images[0]} images, truths have {images[1]}; give both one entry per image")
    table, real = _flat(detections, scored=True), _flat(truths, scored=False)
    table = _rows(table, table["scores"] >= score_threshold)
    table = _rows(table, np.lexsort((-table["scores"], table["image"], table["classes"])))
    table["rank"] = _count_within(_starts(table["classes"], table["image"]))
    table = _rows(table, table["rank"] < limit)
    real = _rows(real, np.lexsort((real["image"], real["classes"])))
    low, high = ranges.T
    area = geometry.area(table["boxes"])[:, None]
    outside = (area < low) | (area > high)  # [n, A]
    size = real["area"][:, None]
    skip = (real["crowd"] | real["difficult"])[:, None] | (size < low) | (size > high)  # [m, A]
    hit, ignored = _take(table, real, skip, np.minimum(thresholds, 1 - 1e-10))
    ignored |= ~hit & outside[..., None]
    present, begin = np.unique(real["classes"], return_index=True)
    objects = np.add.reduceat(~skip, begin, axis=0, dtype=np.int64) if len(begin) else np.zeros((0, len(ranges)), int)
    columns = (table[name] for name in ("image", "place", "classes", "scores", "rank"))
    return Matches(*columns, hit, ignored, present, objects)


def share_within(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Computes the share of each box that lies within its partner, `[..., 4]` to `[...]`; 0 for a box without area.

    >>> share_within(np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 100, 100])).tolist()
    0.5
    """
    side = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0)
    return side.prod(-1) / np.maximum(geometry.area(a), np.finfo(float).tiny)


def _flat(columns: Columns, *, scored: bool) -> Table:
    """Collects the boxes of all images in one table without padding; `image` and `place` locate each box."""
    labels = [np.asarray(classes).ravel() for classes in columns["classes"]]
    lengths = [len(classes) for classes in labels]

    def joined(name: str, kind: type, shape: tuple[int, ...] = (-1,)) -> np.ndarray:
        parts = [np.asarray(part, kind).reshape(shape) for part in columns[name]]
        return np.concatenate([np.zeros((0, *shape[1:]), kind), *parts])

    table = {
        "image": np.repeat(np.arange(len(labels)), lengths),
        "place": _count_within(np.repeat(np.cumsum([0, *lengths])[:-1], lengths)),
        "classes": joined("classes", np.int64),
        "boxes": joined("boxes", np.float64, (-1, 4)),
    }
    n = len(table["classes"])
    if scored:
        table["scores"] = joined("scores", np.float64)
    else:
        table |= {name: joined(name, bool) if name in columns else np.zeros(n, bool) for name in ("crowd", "difficult")}
        table["area"] = joined("area", np.float64) if "area" in columns else geometry.area(table["boxes"])
    return _rows(table, table["classes"] >= 0)


def _rows(table: Table, which: np.ndarray) -> Table:
    return {name: column[which] for name, column in table.items()}


def _starts(*keys: np.ndarray) -> np.ndarray:
    """Returns for each entry of sorted keys the index at which its run of equal keys begins."""
    new = np.ones(len(keys[0]), bool)
    new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def _count_within(starts: np.ndarray) -> np.ndarray:
    """Returns the position of each entry within its run, from 0."""
    return np.arange(len(starts)) - starts


def _take(table: Table, real: Table, skip: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns which detections match an object, and which of them do not count, both `[n, A, T]`.

    The matching runs in turns. In the first turn the best detection of every class and image takes an object, in the
    second turn the second best, and so on, so that each turn is one array operation over all classes and images.
    Detections that overlap no object have no turn.
    """
    hit = np.zeros((len(table["classes"]), skip.shape[1], len(thresholds)), bool)
    ignored = np.zeros_like(hit)
    free = np.ones((len(skip), *hit.shape[1:]), bool)
    taker, thing, overlap = _candidates(table, real, thresholds.min())
    if not len(taker):
        return hit, ignored
    takers, of_taker = np.unique(taker, return_inverse=True)
    turn = _count_within(_starts(table["classes"][takers], table["image"][takers]))[of_taker]
    by_turn = np.argsort(turn, kind="stable")
    for part in np.split(by_turn, np.flatnonzero(np.diff(turn[by_turn])) + 1):
        of, at = thing[part], _starts(taker[part])
        begin = np.unique(at)
        most = len(part) + 1
        liking = (most - _count_within(at))[:, None, None]  # a detection prefers its earlier candidates
        fits = free[of] & (overlap[part, None, None] >= thresholds)
        liking = liking * fits + most * (fits & ~skip[of][..., None])
        best = np.maximum.reduceat(liking, begin, axis=0)
        i, a, t = np.nonzero(best)
        taken = of[begin[i] + -best[i, a, t] % most]
        winner = taker[part][begin[i]]
        hit[winner, a, t] = True
        ignored[winner, a, t] = skip[taken, a]
        free[taken, a, t] = real["crowd"][taken]
    return hit, ignored


def _candidates(table: Table, real: Table, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns all pairs of a detection and an object of its class and image that overlap by at least `least`.

    Returns:
      The indices of the detections, the indices of the objects, and the overlaps. The pairs are sorted by detection,
      then by falling overlap; among equal overlaps the last object comes first.
    """
    images = 1 + max(table["image"].max(initial=0), real["image"].max(initial=0))
    mine, theirs = (part["classes"] * images + part["image"] for part in (table, real))
    begin, end = (np.searchsorted(theirs, mine, side) for side in ("left", "right"))
    taker = np.repeat(np.arange(len(mine)), end - begin)
    thing = np.repeat(begin, end - begin) + _count_within(_starts(taker))
    a, b, crowd = table["boxes"][taker], real["boxes"][thing], real["crowd"][thing]
    overlap = np.where(crowd, share_within(a, b), geometry.iou(a, b, matched=True))
    order = np.lexsort((-thing, -overlap, taker))
    order = order[overlap[order] >= least]
    return taker[order], thing[order], overlap[order]
