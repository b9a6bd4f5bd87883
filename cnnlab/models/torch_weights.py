"""Conversion of the state dicts that torchvision publishes to variables of the networks in this package."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cnnlab.nn.apply import Variables

_MOST_LISTED = 8  # largest number of keys that a message lists for each problem
_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_INCEPTION = {
    "one": "branch1",
    "three_reduce": "branch2.0",
    "three": "branch2.1",
    "five_reduce": "branch3.0",
    "five": "branch3.1",
    "pool": "branch4.1",
}

Layer = tuple[str, ...]


class Weights(NamedTuple):
    """A description of the weights that torchvision publishes for a network.

    Attributes:
      prefixes: torchvision's name for each layer path of this package; the head comes last.
      normalisation: normalisation of the photos, with the names of `cnnlab.data.folder`. `imagenet` normalises RGB in
        [0, 1] by the mean (.485, .456, .406) and the standard deviation (.229, .224, .225), `symmetric` by .5 and .5.
      side: height and width in pixels of the map that `dense1` reads, or None if the network does not flatten a map.
      auxiliary: torchvision's names for the layers that only training needs.
    """

    prefixes: dict[Layer, str]
    normalisation: str = "imagenet"
    side: int | None = None
    auxiliary: tuple[str, ...] = ()

    @property
    def head(self) -> Layer:
        """Returns the path of the last layer."""
        return next(reversed(self.prefixes))

    def classes(self, state: Mapping[str, np.ndarray]) -> int:
        """Returns the number of classes of a state dict, or 1,000 if its last layer has no bias.

        Raises:
          ValueError: the bias of the last layer is empty.
        """
        key = f"{self.prefixes[self.head]}.bias"
        bias = state.get(key)
        if bias is not None and not bias.size:
            raise ValueError(f"{key} must have one number for each class, found an empty array")
        return 1000 if bias is None else bias.size


def convert(
    state: Mapping[str, np.ndarray], weights: Weights, shapes: Variables, *, new_head: bool = False, seed: int = 0
) -> Variables:
    """Converts a state dict to the variables of a network.

    Args:
      state: arrays by torchvision's names.
      weights: description of the arrays.
      shapes: the network's variables, or their shapes; the values are not read.
      new_head: whether to initialise the last layer anew.
      seed: seed of a new last layer.

    Raises:
      ValueError: keys or shapes do not fit the network; the message lists them.
    """
    shapes = flax.traverse_util.flatten_dict(shapes)
    keys = {leaf: f"{weights.prefixes.get(leaf[1:-1]) or '/'.join(leaf[1:-1])}.{_LEAVES[leaf[-1]]}" for leaf in shapes}
    wrong = {"missing": [key for key in keys.values() if key not in state]}
    wrong["unexpected"] = [key for key in state if key not in keys.values()]
    arrays = {}
    for leaf, key in keys.items():
        if key not in state:
            continue
        if new_head and leaf[1:-1] == weights.head:
            arrays[leaf] = _initialise(leaf[-1], shapes[leaf].shape, seed)
            continue
        array = _convert_layout(state[key], leaf[-1], weights.side if leaf[1:-1] == ("dense1",) else None)
        if array.shape != shapes[leaf].shape:
            wrong.setdefault("of another shape", []).append(f"{key} {tuple(state[key].shape)}")
        arrays[leaf] = array
    if any(wrong.values()):
        raise ValueError("; ".join(_list_keys(kind, keys) for kind, keys in wrong.items() if keys))
    return flax.traverse_util.unflatten_dict({leaf: jnp.asarray(array) for leaf, array in arrays.items()})


def load_state_dict(path: str | Path, weights: Weights) -> dict[str, np.ndarray]:
    """Reads a state dict without the arrays that only training needs.

    These are the counters of batch norm and the auxiliary heads; if there are auxiliary heads, the function warns.

    Raises:
      ValueError: the file cannot be read; see `read_state_dict`.
    """
    state = read_state_dict(path)
    auxiliary = [key for key in state if key.startswith(tuple(f"{prefix}." for prefix in weights.auxiliary))]
    if auxiliary:
        warnings.warn(f"the auxiliary heads of {path} are left out ({len(auxiliary)} arrays)", stacklevel=3)
    return {
        key: array for key, array in state.items() if key not in auxiliary and not key.endswith(".num_batches_tracked")
    }


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.safetensors` file or, if torch is installed, of a `.pth` or `.pt` file.

    Raises:
      ValueError: the file is missing, damaged or of another kind, or it needs torch, which is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file; give a .safetensors, .pth or .pt file")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in (".pth", ".pt"):
        raise ValueError(f"{path} must be a .safetensors, .pth or .pt file, found {path.suffix or 'no ending'}")
    try:
        import torch
    except ImportError as error:
        raise ValueError(
            f"{path} cannot be read without torch; install torch, or save the file as .safetensors"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value.to(torch.float32).numpy() for key, value in state.items()}
    except Exception as error:
        raise ValueError(
            f"{path} is not a state dict ({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, TypeError, ValueError) as error:  # the last two: for types that NumPy does not have
        raise ValueError(f"{path} is damaged, or not a safetensors file ({error})") from error


def _convert_layout(array: np.ndarray, leaf: str, side: int | None) -> np.ndarray:
    """Converts an array from PyTorch's layout to Flax's.

    Kernels `[K, C, h, w]` become `[h, w, C, K]`, and `[K, C]` become `[C, K]`. PyTorch flattens a map with the channels
    first, so the inputs of the layer after a map of `side` x `side` pixels are also reordered to pixels first.
    """
    array = array.astype(np.float32)
    if leaf != "kernel":
        return array
    if side is not None and array.ndim == 2 and array.shape[1] % side**2 == 0:
        return array.reshape(len(array), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(array))
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _initialise(leaf: str, shape: tuple[int, ...], seed: int) -> jax.Array:
    """Initialises an array of a new last layer."""
    if leaf == "bias":
        return jnp.zeros(shape)
    return nn.initializers.lecun_normal()(jax.random.key(seed), shape)


def _list_keys(kind: str, keys: list[str]) -> str:
    """Returns the part of a message that lists the keys with one problem, at most `_MOST_LISTED`."""
    more = f" and {len(keys) - _MOST_LISTED} more" if len(keys) > _MOST_LISTED else ""
    return f"{len(keys)} {kind}: {', '.join(keys[:_MOST_LISTED])}{more}"


# torchvision's names for the layers of each network; the head comes last.


def alexnet() -> dict[Layer, str]:
    """Returns torchvision's names for the layers of AlexNet."""
    convolutions = {(f"conv{i}", "conv"): f"features.{place}" for i, place in enumerate((0, 3, 6, 8, 10), 1)}
    return convolutions | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((1, 4, 6), 1)}


def vgg(depths: tuple[int, ...]) -> dict[Layer, str]:
    """Returns torchvision's names for the layers of a VGG; `depths` are the numbers of convolutions in each stage."""
    prefixes, place = {}, 0
    for stage, depth in enumerate(depths, 1):
        for layer in range(1, depth + 1):
            prefixes[f"stage{stage}_conv{layer}", "conv"] = f"features.{place}"
            place += 2  # torchvision also numbers the activation
        place += 1  # and the pooling layer
    return prefixes | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((0, 3, 6), 1)}


def resnet(stage_sizes: tuple[int, ...]) -> dict[Layer, str]:
    """Returns torchvision's names for a residual network; `stage_sizes` are the numbers of blocks in each stage."""
    prefixes = {("stem", "conv"): "conv1", ("stem", "norm"): "bn1"}
    for stage, size in enumerate(stage_sizes, 1):
        for i in range(size):
            block, theirs = f"stage{stage}_block{i + 1}", f"layer{stage}.{i}"
            for layer in (1, 2, 3):
                prefixes[block, f"conv{layer}", "conv"] = f"{theirs}.conv{layer}"
                prefixes[block, f"conv{layer}", "norm"] = f"{theirs}.bn{layer}"
            prefixes[block, "shortcut", "conv"] = f"{theirs}.downsample.0"
            prefixes[block, "shortcut", "norm"] = f"{theirs}.downsample.1"
    return prefixes | {("dense",): "fc"}


def googlenet() -> dict[Layer, str]:
    """Returns torchvision's names for the layers of GoogLeNet."""
    blocks = {("conv1",): "conv1", ("conv2_reduce",): "conv2", ("conv2",): "conv3"}
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        blocks |= {(f"inception{name}", ours): f"inception{name}.{theirs}" for ours, theirs in _INCEPTION.items()}
    prefixes = {}
    for block, theirs in blocks.items():
        prefixes |= {(*block, "conv"): f"{theirs}.conv", (*block, "norm"): f"{theirs}.bn"}
    return prefixes | {("dense",): "fc"}
