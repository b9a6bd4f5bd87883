"""Test-time augmentation: predictions averaged over flipped and rotated views of each image."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnnlab.data import as_float, check_images
from cnnlab.errors import unknown
from cnnlab.geometry.warp import affine, invert, warp_images
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Prediction
from cnnlab.tasks.task import Outputs, complete
from cnnlab.trained import Trained, outputs


class View(NamedTuple):
    """A view of an image: an optional flip from left to right, then a number of counter-clockwise quarter turns."""

    flip: bool = False
    turns: int = 0


FLIPS = (View(), View(flip=True))
"""The image and its mirror image, for photographs, which have an upright direction."""
DIHEDRAL = tuple(View(flip, turns) for flip in (False, True) for turns in range(4))
"""All eight symmetries of a square, for aerial and microscope images, which have no upright direction."""
VIEWS = {"flips": FLIPS, "dihedral": DIHEDRAL}


def augmented_predict(trained: Trained, images: jax.Array, *, views: str | Sequence[View] = FLIPS) -> Prediction:
    """Predicts images by the mean over views of each image, dropout off, with one pass per view.

    Outputs on a grid (the pixels of a segmentation, the cells of a detector) are mapped back by the inverse warp before
    averaging, boxes included. Class probabilities and regression values are averaged unchanged, so a regression target
    should not change in a flip: a count is suitable, a position is not.

    Args:
      trained: the network.
      images: `[B, H, W, C]`, as in `predict`.
      views: `flips` (the image and its mirror image), `dihedral` (all eight views), or a sequence of views; an odd
        number of quarter turns needs square images.

    Returns:
      The prediction of `predict`, decoded from the mean.

    Raises:
      ValueError: there is no view, the name is unknown, or a view turns images that are not square by a quarter.

    >>> from cnnlab.data import InputSpec
    >>> from cnnlab.models import create_model
    >>> from cnnlab.tasks import Classification
    >>> net, images = create_model("linear", num_classes=2), jnp.ones((3, 4, 4, 1))
    >>> trained = Trained(net.init(jax.random.key(0), images), net, Classification(), InputSpec((4, 4), classes="ab"))
    >>> augmented_predict(trained, images, views=DIHEDRAL).probs.shape
    (3, 2)
    """
    check_images(images, trained.spec, any_size=trained.any_size)
    return _augmented_predict(trained, images, chosen_views(views, images.shape[1:3]))


@jit(static_argnames="views")
def _augmented_predict(trained: Trained, images: jax.Array, views: tuple[View, ...]) -> Prediction:
    return Prediction(trained.task.decode(augmented_outputs(trained, images, views)))


def chosen_views(views: str | Sequence[View], size: tuple[int, int]) -> tuple[View, ...]:
    """Returns views by name or from a sequence; raises `ValueError` if images of this height and width lack one."""
    if isinstance(views, str):
        if views not in VIEWS:
            raise unknown("set of views", views, VIEWS)
        views = VIEWS[views]
    views = tuple(View(*view) for view in views)
    if not views:
        raise ValueError("views must hold one view or more, found none")
    for view in views:
        if view.turns % 2 and size[0] != size[1]:
            raise ValueError(f"{view} needs square images, found {size[0]}x{size[1]}; use flips and half turns")
    return views


def augmented_outputs(trained: Trained, images: jax.Array, views: Sequence[View]) -> Outputs:
    """Computes the linked outputs of images, averaged over the views."""
    images = as_float(images)
    each = [_one_view(trained, images, view) for view in views]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *each)


def _one_view(trained: Trained, images: jax.Array, view: View) -> Outputs:
    """Computes the linked outputs of one view, mapped back to the original image."""
    size = images.shape[1:3]
    linked = outputs(trained, _warp(images, _matrix(view, size)))
    if complete(trained.task).logits in ("vector", "time"):  # no array on the image's grid
        return linked
    back = {name: _move_back(leaf, view) for name, leaf in linked.items()}
    if "boxes" in linked:
        back["boxes"] = _move_points(back["boxes"], invert(_matrix(view, size)))
    return back


def _matrix(view: View, size: tuple[int, int]) -> jax.Array:
    return affine(size, horizontal_flip=view.flip, rotation=90.0 * view.turns)


def _warp(leaf: jax.Array, matrix: jax.Array) -> jax.Array:
    return warp_images(leaf, jnp.broadcast_to(matrix, (len(leaf), 2, 3)))


def _move_back(leaf: jax.Array, view: View) -> jax.Array:
    """Maps an array `[B, S, S', ...]` back to the original image by the inverse warp on its own grid."""
    flat = leaf.reshape(*leaf.shape[:3], -1)
    return _warp(flat, invert(_matrix(view, leaf.shape[1:3]))).reshape(leaf.shape)


def _move_points(boxes: jax.Array, matrix: jax.Array) -> jax.Array:
    """Transforms boxes `[..., 4]` xyxy by a matrix of flips and quarter turns."""
    corners = boxes.reshape(*boxes.shape[:-1], 2, 2)
    moved = matrix[:, 0] * corners[..., :1] + matrix[:, 1] * corners[..., 1:] + matrix[:, 2]
    return jnp.concatenate([moved.min(-2), moved.max(-2)], -1)
