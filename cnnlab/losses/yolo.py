"""The losses of detectors on a grid, term by term.

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
    """Computes the five sums of YOLO's loss for each cell, not yet weighted.

    Where a cell holds an object, the box of the highest IoU with it is responsible (where none overlaps, the nearest
    by squared error); its confidence is to be that IoU, that of all other boxes 0. The network gives the square roots
    of width and height themselves, so no root of a prediction is taken and the gradient at size zero is finite.

    Args:
      centre: `[..., b, 2]` of the b boxes of a cell, relative to the cell.
      root: `[..., b, 2]` square roots of width and height relative to the image.
      confidence: `[..., b]`.
      probs: `[..., k]` of the cell's classes.
      overlap: `[..., b]` IoU of each box with the cell's object; no gradient flows through it.
      present: `[...]` 1 where the cell holds an object.
      true_centre: `[..., 2]`.
      true_extent: `[..., 2]` width and height, 0 or more.
      classes: `[...]` of the object.
      box: `[..., b]` loss of each box against the cell's object, which replaces the squared errors of centre and size.

    Returns:
      `centre` and `size` (or `box`), `object`, `no_object`, `classes`, each `[...]`.
    """
    overlap = jax.lax.stop_gradient(overlap)
    apart_centre = jnp.square(centre - true_centre[..., None, :]).sum(-1)
    apart_size = jnp.square(root - jnp.sqrt(jnp.maximum(true_extent, 0))[..., None, :]).sum(-1)
    nearest = jax.lax.stop_gradient(apart_centre + apart_size).argmin(-1)
    chosen = jnp.where(overlap.max(-1) > 0, overlap.argmax(-1), nearest)
    responsible = jax.nn.one_hot(chosen, confidence.shape[-1]) * present[..., None]
    wrong = jnp.square(probs - jax.nn.one_hot(classes, probs.shape[-1])).sum(-1)
    apart = {"centre": apart_centre, "size": apart_size} if box is None else {"box": box}
    return {name: (responsible * each).sum(-1) for name, each in apart.items()} | {
        "object": (responsible * jnp.square(confidence - overlap)).sum(-1),
        "no_object": ((1 - responsible) * jnp.square(confidence)).sum(-1),
        "classes": present * wrong,
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
    """Computes the five sums for anchors, each with an object and classes of its own, as cross-entropies.

    Args:
      centre: `[..., 2]` relative to the cell.
      stretch: `[..., 2]` logarithm of width and height in anchors.
      score: `[...]` logit of there being an object.
      logits: `[..., k]`.
      present: `[...]` 1 where the anchor has an object.
      ignored: `[...]` 1 where a box that has none overlaps one so well that it is not called wrong.
      true_centre: `[..., 2]`.
      true_stretch: `[..., 2]`.
      classes: `[...]`; read where there is an object.
      box: `[...]` loss of each box against its object, which replaces the squared errors of centre and size.

    Returns:
      `centre` and `size` (or `box`), `object`, `no_object`, `classes`, each `[...]`.
    """
    if box is None:
        apart = {"centre": jnp.square(centre - true_centre).sum(-1), "size": jnp.square(stretch - true_stretch).sum(-1)}
    else:
        apart = {"box": box}
    absent = (1 - present) * (1 - ignored)
    return {name: present * each for name, each in apart.items()} | {
        "object": present * binary_cross_entropy(score, jnp.ones_like(score)),
        "no_object": absent * binary_cross_entropy(score, jnp.zeros_like(score)),
        "classes": present * cross_entropy(logits, jnp.maximum(classes, 0)),
    }
