"""Converts the state dicts that torchvision publishes to variables of the networks here."""

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

_SHOWN = 8  # keys of a kind in a message
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
    """What the package knows about the weights that torchvision publishes for a network.

    Attributes:
      prefixes: torchvision's name of each layer, by the path of ours; the head comes last.
      normalisation: of the photos, as `cnnlab.data.folder` names it: `imagenet` for RGB in [0, 1] normalised by the
        mean (.485, .456, .406) and the standard deviation (.229, .224, .225), `symmetric` for .5 and .5.
      side: height and width of the map that `dense1` reads; None where no map is flattened.
      auxiliary: the prefixes of the layers that only training needs.
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
        """Returns the number of classes of a state dict, 1,000 if its last layer has no bias.

        Raises:
          ValueError: the bias of the last layer is empty.
        """
        key = f"{self.prefixes[self.head]}.bias"
        bias = state.get(key)
        if bias is not None and not bias.size:
            raise ValueError(f"{key} must hold a number for each class, found none")
        return 1000 if bias is None else bias.size


def convert(
    state: Mapping[str, np.ndarray], weights: Weights, shapes: Variables, *, new_head: bool = False, seed: int = 0
) -> Variables:
    """Converts a state dict to variables of a network.

    Args:
      state: the arrays by torchvision's names.
      weights: what is known of them.
      shapes: the network's variables, of which only the shapes are read.
      new_head: whether the last layer starts anew.
      seed: seed of a new last layer.

    Raises:
      ValueError: keys or shapes are not the network's; all of them are listed.
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
            arrays[leaf] = _fresh(leaf[-1], shapes[leaf].shape, seed)
            continue
        array = _ours(state[key], leaf[-1], weights.side if leaf[1:-1] == ("dense1",) else None)
        if array.shape != shapes[leaf].shape:
            wrong.setdefault("of another shape", []).append(f"{key} {tuple(state[key].shape)}")
        arrays[leaf] = array
    if any(wrong.values()):
        raise ValueError("; ".join(_listed(kind, keys) for kind, keys in wrong.items() if keys))
    return flax.traverse_util.unflatten_dict({leaf: jnp.asarray(array) for leaf, array in arrays.items()})


def load_state_dict(path: str | Path, weights: Weights) -> dict[str, np.ndarray]:
    """Reads a state dict and leaves out what only training needs: counters and, with a warning, auxiliary heads."""
    state = read_state_dict(path)
    left = [key for key in state if key.startswith(tuple(f"{prefix}." for prefix in weights.auxiliary))]
    if left:
        warnings.warn(f"the auxiliary heads of {path} are left out ({len(left)} arrays)", stacklevel=3)
    return {key: array for key, array in state.items() if key not in left and not key.endswith(".num_batches_tracked")}


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the arrays of a `.safetensors` file, or, with torch, of a `.pth` or `.pt` file.

    Raises:
      ValueError: the file is missing, damaged, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file; give a state dict as .safetensors, .pth or .pt")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix not in (".pth", ".pt"):
        raise ValueError(
            f"{path} must be a state dict as .safetensors, .pth or .pt, found {path.suffix or 'no ending'}"
        )
    try:
        import torch
    except ImportError as error:
        raise ValueError(f"{path} can be read where torch is installed; or save it as .safetensors") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value.to(torch.float32).numpy() for key, value in state.items()}
    except Exception as error:
        raise ValueError(f"{path} is no state dict ({type(error).__name__}: {str(error).splitlines()[0]})") from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (SafetensorError, TypeError, ValueError) as error:  # the latter two of kinds that NumPy lacks
        raise ValueError(f"{path} is no safetensors file, or damaged ({error})") from error


def _ours(array: np.ndarray, leaf: str, side: int | None) -> np.ndarray:
    """Converts PyTorch's `[K, C, h, w]` to `[h, w, C, K]`, and `[K, C]` to `[C, K]` with pixels before channels."""
    array = array.astype(np.float32)
    if leaf != "kernel":
        return array
    if side is not None and array.ndim == 2 and array.shape[1] % side**2 == 0:
        return array.reshape(len(array), -1, side, side).transpose(2, 3, 1, 0).reshape(-1, len(array))
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def _fresh(leaf: str, shape: tuple[int, ...], seed: int) -> jax.Array:
    if leaf == "bias":
        return jnp.zeros(shape)
    return nn.initializers.lecun_normal()(jax.random.key(seed), shape)


def _listed(kind: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{len(keys)} {kind}: {', '.join(keys[:_SHOWN])}{more}"


# The layers of each network as torchvision calls them; the head is the last.


def alexnet() -> dict[Layer, str]:
    """Returns the prefixes of AlexNet."""
    convolutions = {(f"conv{i}", "conv"): f"features.{place}" for i, place in enumerate((0, 3, 6, 8, 10), 1)}
    return convolutions | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((1, 4, 6), 1)}


def vgg(depths: tuple[int, ...]) -> dict[Layer, str]:
    """Returns the prefixes of a VGG with so many convolutions in each stage."""
    prefixes, place = {}, 0
    for stage, depth in enumerate(depths, 1):
        for layer in range(1, depth + 1):
            prefixes[f"stage{stage}_conv{layer}", "conv"] = f"features.{place}"
            place += 2  # the activation is counted
        place += 1  # and the pooling
    return prefixes | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((0, 3, 6), 1)}


def resnet(stage_sizes: tuple[int, ...]) -> dict[Layer, str]:
    """Returns the prefixes of a residual network with so many blocks in each stage."""
    prefixes = {("stem", "conv"): "conv1", ("stem", "norm"): "bn1"}
    for stage, size in enumerate(stage_sizes, 1):
        for i in range(size):
            block, torchs = f"stage{stage}_block{i + 1}", f"layer{stage}.{i}"
            for layer in (1, 2, 3):
                prefixes[block, f"conv{layer}", "conv"] = f"{torchs}.conv{layer}"
                prefixes[block, f"conv{layer}", "norm"] = f"{torchs}.bn{layer}"
            prefixes[block, "shortcut", "conv"] = f"{torchs}.downsample.0"
            prefixes[block, "shortcut", "norm"] = f"{torchs}.downsample.1"
    return prefixes | {("dense",): "fc"}


def googlenet() -> dict[Layer, str]:
    """Returns the prefixes of GoogLeNet."""
    blocks = {("conv1",): "conv1", ("conv2_reduce",): "conv2", ("conv2",): "conv3"}
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        blocks |= {(f"inception{name}", ours): f"inception{name}.{theirs}" for ours, theirs in _INCEPTION.items()}
    prefixes = {}
    for block, theirs in blocks.items():
        prefixes |= {(*block, "conv"): f"{theirs}.conv", (*block, "norm"): f"{theirs}.bn"}
    return prefixes | {("dense",): "fc"}
