"""Training of some layers of a network while the others stay fixed, such as a new head on a pretrained trunk."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from cnnlab.errors import unknown
from cnnlab.nn.taps import tap


def is_trained(path: Sequence[str], trainable: Sequence[str]) -> bool:
    """Returns whether the parameter or layer at this path is in one of the trainable layers.

    If `trainable` is empty, the whole network is trained.

    Args:
      path: names of the modules from the root of the network to the parameter or layer.
      trainable: layers that are trained, with `/` between the names of nested modules.

    >>> is_trained(("stage1", "conv1", "kernel"), ["stage1/conv1", "head"]), is_trained(("stage1",), ["head"])
    (True, False)
    """
    inside = "/".join(path) + "/"
    return not trainable or any(inside.startswith(f"{layer}/") for layer in trainable)


def trained_mask(params: Any, trainable: Sequence[str]) -> Any:
    """Returns a tree like `params` that is True at every trained parameter."""
    return jax.tree_util.tree_map_with_path(lambda path, _: is_trained([k.key for k in path], trainable), params)


def hold(params: Any, trainable: Sequence[str]) -> Any:
    """Returns the parameters and stops the gradients of those that are not trained."""
    mask = trained_mask(params, trainable)
    return jax.tree.map(lambda leaf, trained: leaf if trained else jax.lax.stop_gradient(leaf), params, mask)


def frozen_batch_norms(trainable: Sequence[str]):
    """Returns a context in which batch norms that are not trained use their running averages, as in inference.

    A frozen trunk then computes the same function for every batch.
    """

    def hold_norm(module: nn.Module, call, args, kwargs):
        if isinstance(module, nn.BatchNorm) and not is_trained(module.path, trainable):
            object.__setattr__(
                module, "use_running_average", True
            )  # changes only this call's instance; the switch may also be an argument
            args, kwargs = args[:1], {k: v for k, v in kwargs.items() if k != "use_running_average"}
        return call(*args, **kwargs)

    return tap(hold_norm)


def check_trainable(params: Any, trainable: Sequence[str]) -> None:
    """Raises `ValueError` if a name is not a layer of the network."""
    paths = [[k.key for k in path] for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    layers = {"/".join(path[:depth]) for path in paths for depth in range(1, len(path))}
    for name in trainable:
        if not any(is_trained(path, [name]) for path in paths):
            raise unknown("trainable layer", name, layers)
