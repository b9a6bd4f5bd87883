"""What goes wrong in detection: each wrong box and each object not found, by its cause."""

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.ops.boxes import iou

Columns = Mapping[str, Sequence[np.ndarray]]
CAUSES = ("correct", "localisation", "confusion", "duplicate", "background", "both", "missed")


def detection_errors(
    detections: Columns,
    truths: Columns,
    *,
    score_threshold: float = 0.3,
    found_above: float = 0.5,
    near_above: float = 0.1,
) -> dict[str, int]:
    """Counts of `CAUSES` over all images.

    A detection is `correct` where it takes a free object of its class (best score first, largest overlap). Any other
    one is off by `localisation` (near an object of its class, not on it), `confusion` (on an object of another class),
    `duplicate` (on an object of its class that a better one took), `background` (near nothing) or `both` (near an
    object of another class); the first that fits counts. An object is `missed` where no detection is on it, of whatever
    class, and none of its own class near it.

    Source: the error types of Bolya et al., TIDE, ECCV 2020.

    Args:
      detections: as in `coco_scores`.
      truths: likewise.
      score_threshold: detections scored lower are left out.
      found_above: IoU from which a box is on an object.
      near_above: IoU from which it is near one.

    >>> box = [np.array([[0.0, 0, 10, 10]])]
    >>> found = {"boxes": box, "scores": [np.array([0.9])], "classes": [np.array([1])]}
    >>> {name: n for name, n in detection_errors(found, {"boxes": box, "classes": [np.array([0])]}).items() if n}
    {'confusion': 1}
    """
    if not 0 <= near_above <= found_above <= 1:
        raise ValueError(f"0 <= near_above <= found_above <= 1 must hold, found {near_above} and {found_above}")
    if len(detections["boxes"]) != len(truths["boxes"]):
        raise ValueError(f"detections are of {len(detections['boxes'])} images, truths of {len(truths['boxes'])}")
    counts = dict.fromkeys(CAUSES, 0)
    for i in range(len(truths["boxes"])):
        scores, classes = (np.asarray(detections[name][i]).ravel() for name in ("scores", "classes"))
        kept = np.flatnonzero((scores >= score_threshold) & (classes >= 0))
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        labels = np.asarray(truths["classes"][i]).ravel()
        boxes = np.asarray(detections["boxes"][i], np.float64).reshape(-1, 4)[kept]
        true_boxes = np.asarray(truths["boxes"][i], np.float64).reshape(-1, 4)[labels >= 0]
        overlap = iou(boxes, true_boxes)
        same = classes[kept][:, None] == labels[labels >= 0][None]
        for cause in _causes(overlap, same, found_above, near_above):
            counts[cause] += 1
        seen = (overlap >= found_above) | (same & (overlap >= near_above))
        counts["missed"] += int((~seen.any(0)).sum()) if len(kept) else len(true_boxes)
    return counts


def _causes(overlap: np.ndarray, same: np.ndarray, found_above: float, near_above: float) -> list[str]:
    """The cause of each detection, best first, from its overlaps with all objects `[n, m]`."""
    taken, out = np.zeros(overlap.shape[1], bool), []
    for row, alike in zip(overlap, same, strict=True):
        free = np.where(alike & ~taken, row, 0)
        mine, others = np.where(alike, row, 0).max(initial=0), np.where(alike, 0, row).max(initial=0)
        if free.max(initial=0) >= found_above:
            taken[free.argmax()] = True
            out.append("correct")
        elif near_above <= mine < found_above:
            out.append("localisation")
        elif others >= found_above:
            out.append("confusion")
        elif mine >= found_above:
            out.append("duplicate")
        else:
            out.append("background" if max(mine, others) < near_above else "both")
    return out
