"""The loss terms of detectors that predict on a grid.

Sources: Redmon et al., You Only Look Once, CVPR 2016, equation 3; Redmon and Farhadi, YOLO9000, CVPR 2017.
"""

import jax
import jax.numpy as jnp

from cnnlab.losses.pointwise import binary_cross_entropy, cross_entropy

Terms = dict[str, jax.Array]


def five_terms(
    centre: jax.Array,
    root: jax.Array,
    confidence: jax.Array,
    probs: jax.Array,
    overlap: jax.Array,
    *,
    present: jax.Array,
    true_centre: jax.Array,
    true_extent: jax.Array,
    classes: jax.Array,
    box: jax.Array | None = None,
) -> Terms:
    """Computes the five terms of YOLO's loss for each cell, before they are weighted.

    If a cell contains an object, one of its boxes is responsible for it: the box with the highest IoU, or, if no box
    overlaps the object, the box with the smallest squared error. The target of its confidence is that IoU; the target
    of all other confidences is 0. The network predicts the square roots of width and height, so that the loss takes no
    square root of a prediction and its gradient stays finite for boxes of size zero.

    Args:
      centre: centres `[..., b, 2]` of the b boxes of a cell, relative to the cell.
      root: square roots `[..., b, 2]` of the boxes' widths and heights relative to the image.
      confidence: confidences `[..., b]` of the boxes.
      probs: class probabilities `[..., k]` of the cell.
      overlap: IoU `[..., b]` of each box with the cell's object; no gradient flows through it.
      present: `[...]`, 1 if the cell contains an object, else 0.
      true_centre: centre `[..., 2]` of the object, relative to the cell.
      true_extent: width and height `[..., 2]` of the object relative to the image, 0 or more.
      classes: class `[...]` of the object.
      box: loss `[..., b]` of each box against the cell's object, which replaces the squared errors of centre and size.

    Returns:
      The terms, each `[...]`. Those of the responsible box are `centre`, `|centre - true_centre|^2`, and `size`,
      `|root - sqrt(true_extent)|^2` (or `box`), and `object`, `(confidence - overlap)^2`. `no_object` is the sum of
      `confidence^2` over all other boxes, and `classes` is `sum_k (probs_k - y_k)^2`.

    >>> boxes = jnp.array([[0.4, 0.7]]), jnp.array([[0.6, 0.1]]), jnp.array([0.8])  # centre, roots and confidence
    >>> truth = {"true_centre": jnp.array([0.5, 0.5]), "true_extent": jnp.array([0.25, 0.16]), "classes": jnp.array(1)}
    >>> terms = five_terms(*boxes, jnp.array([0.2, 0.8]), jnp.array([0.5]), present=jnp.array(1.0), **truth)
    >>> {name: round(float(term), 2) for name, term in terms.items()}
    {'centre': 0.05, 'size': 0.1, 'object': 0.09, 'no_object': 0.0, 'classes': 0.08}
    """
    overlap = jax.lax.stop_gradient(overlap)
    centre_error = jnp.square(centre - true_centre[..., None, :]).sum(-1)
    size_error = jnp.square(root - jnp.sqrt(jnp.maximum(true_extent, 0))[..., None, :]).sum(-1)
    nearest = jax.lax.stop_gradient(centre_error + size_error).argmin(-1)
    chosen = jnp.where(overlap.max(-1) > 0, overlap.argmax(-1), nearest)
    responsible = jax.nn.one_hot(chosen, confidence.shape[-1]) * present[..., None]
    class_error = jnp.square(probs - jax.nn.one_hot(classes, probs.shape[-1])).sum(-1)
    errors = {"centre": centre_error, "size": size_error} if box is None else {"box": box}
    return {name: (responsible * error).sum(-1) for name, error in errors.items()} | {
        "object": (responsible * jnp.square(confidence - overlap)).sum(-1),
        "no_object": ((1 - responsible) * jnp.square(confidence)).sum(-1),
        "classes": present * class_error,
    }


def anchor_terms(
    centre: jax.Array,
    stretch: jax.Array,
    score: jax.Array,
    logits: jax.Array,
    *,
    present: jax.Array,
    ignored: jax.Array,
    true_centre: jax.Array,
    true_stretch: jax.Array,
    classes: jax.Array,
    box: jax.Array | None = None,
) -> Terms:
    """Computes the five loss terms for anchors, each of which predicts an object and its class.

    Args:
      centre: centres `[..., 2]` of the boxes, relative to the cell.
      stretch: logarithms `[..., 2]` of the boxes' widths and heights relative to the anchor.
      score: logits `[...]` of the anchors having an object.
      logits: class logits `[..., k]`.
      present: `[...]`, 1 if the anchor has an object, else 0.
      ignored: `[...]`, 1 if a box without an object is not penalised, because it overlaps some object well.
      true_centre: centres `[..., 2]` of the objects, relative to the cell.
      true_stretch: logarithms `[..., 2]` of the objects' widths and heights relative to the anchor.
      classes: classes `[...]` of the objects; ignored for anchors without an object.
      box: loss `[...]` of each box against its object, which replaces the squared errors of centre and size.

    Returns:
      The terms, each `[...]`. Those of an anchor with an object are `centre`, `|centre - true_centre|^2`, and `size`,
      `|stretch - true_stretch|^2` (or `box`), `object`, `-log sigmoid(score)`, and `classes`, the cross-entropy of its
      class. `no_object` is `-log sigmoid(-score)` of an anchor that has no object and is not ignored.

    >>> number, pair = jnp.zeros(()), jnp.zeros(2)
    >>> truth = {"true_centre": pair, "true_stretch": pair + 1.0, "classes": jnp.array(1)}
    >>> terms = anchor_terms(pair, pair, number, pair, present=number + 1.0, ignored=number, **truth)
    >>> {name: round(float(term), 2) for name, term in terms.items()}  # log 2 is .69
    {'centre': 0.0, 'size': 2.0, 'object': 0.69, 'no_object': 0.0, 'classes': 0.69}
    """
    if box is None:
        errors = {
            "centre": jnp.square(centre - true_centre).sum(-1),
            "size": jnp.square(stretch - true_stretch).sum(-1),
        }
    else:
        errors = {"box": box}
    absent = (1 - present) * (1 - ignored)
    return {name: present * error for name, error in errors.items()} | {
        "object": present * binary_cross_entropy(score, jnp.ones_like(score)),
        "no_object": absent * binary_cross_entropy(score, jnp.zeros_like(score)),
        "classes": present * cross_entropy(logits, jnp.maximum(classes, 0)),
    }
