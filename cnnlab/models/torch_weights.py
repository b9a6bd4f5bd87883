"""Other people's weights: the state dicts that torchvision publishes, as variables of our networks.

Photos for them are RGB in [0, 1], normalised by ImageNet's mean (.485, .456, .406) and standard deviation (.229, .224,
.225); for GoogLeNet by .5 and .5, into which torchvision's own `transform_input` turns the former. `NORMALISED` says
which, as `cnnlab.data.folder` names them.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from cnnlab.errors import unknown

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
NORMALISED = dict.fromkeys(("alexnet", "vgg11", "vgg16", "resnet18", "resnet34", "resnet50"), "imagenet") | {
    "googlenet": "symmetric"
}
_SIDES = {"alexnet": 6, "vgg11": 7, "vgg16": 7}  # of the map that the first dense layer reads


def import_torch(
    name: str, path: str | Path, *, num_classes: int | None = None, seed: int = 0, **options
) -> tuple[nn.Module, dict[str, Any]]:
    """A network with the weights of a torchvision state dict: the same logits, to float32 rounding.

    Args:
      name: `alexnet`, `vgg11`, `vgg16`, `resnet18`, `resnet34`, `resnet50` or `googlenet`.
      path: `.safetensors`; or `.pth`, `.pt` where torch is installed, read as weights only.
      num_classes: outputs; where they are not the file's, the last layer starts anew.
      seed: of a new last layer.
      **options: other fields of the network, such as `dropout`, or `features_only=True` for the trunk (whose
        variables keep the last layer).

    Returns:
      `(network, variables)`. GoogLeNet's auxiliary heads are left out, with a warning.

    Raises:
      ValueError: the file is unreadable, or its keys or shapes are not this network's; all of them are listed.

    >>> network, variables = import_torch("resnet18", "resnet18.safetensors")  # doctest: +SKIP
    """
    from cnnlab.models import create_model

    if name not in _PREFIXES:
        raise unknown("network with published weights", name, _PREFIXES)
    state = read_state_dict(path)
    prefixes = _PREFIXES[name]()
    head = next(reversed(prefixes))
    given = state.get(f"{prefixes[head]}.bias")
    in_file = 1000 if given is None else given.size
    classes = in_file if num_classes is None else num_classes
    network = create_model(name, num_classes=classes, **options)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    init = network.clone(features_only=False).init
    shapes = flax.traverse_util.flatten_dict(jax.eval_shape(init, jax.random.key(0), images))
    keys = {leaf: f"{prefixes.get(leaf[1:-1]) or '/'.join(leaf[1:-1])}.{_LEAVES[leaf[-1]]}" for leaf in shapes}
    state = _without_auxiliary(state, name, path)
    new_head = classes != in_file
    wrong = {"missing": [key for key in keys.values() if key not in state]}
    wrong["unexpected"] = [key for key in state if key not in keys.values()]
    found = {}
    for leaf, key in keys.items():
        if key not in state:
            continue
        if new_head and leaf[1:-1] == head:
            found[leaf] = _fresh(leaf[-1], shapes[leaf].shape, seed)
            continue
        array = _ours(state[key], leaf[-1], _SIDES.get(name) if leaf[1:-1] == ("dense1",) else None)
        if array.shape != shapes[leaf].shape:
            wrong.setdefault("of another shape", []).append(f"{key} {tuple(state[key].shape)}")
        found[leaf] = array
    if any(wrong.values()):
        raise ValueError(
            f"{path} holds no weights of {name}: " + "; ".join(_listed(k, v) for k, v in wrong.items() if v)
        )
    return network, flax.traverse_util.unflatten_dict({leaf: jnp.asarray(a) for leaf, a in found.items()})


def head_of(name: str) -> str:
    """The name of the last layer of a network with published weights.

    >>> head_of("vgg16")
    'dense3'
    """
    return next(reversed(_PREFIXES[name]()))[0]


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a `.safetensors` file, or of a `.pth` or `.pt` file where torch is installed.

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


def _without_auxiliary(state: Mapping[str, np.ndarray], name: str, path) -> dict[str, np.ndarray]:
    """The state without counters that only training needs, and without GoogLeNet's auxiliary heads."""
    left = [key for key in state if name == "googlenet" and key.startswith(("aux1.", "aux2."))]
    if left:
        warnings.warn(f"the auxiliary heads of {path} are left out ({len(left)} arrays)", stacklevel=3)
    return {k: v for k, v in state.items() if k not in left and not k.endswith(".num_batches_tracked")}


def _ours(array: np.ndarray, leaf: str, side: int | None) -> np.ndarray:
    """PyTorch's `[K, C, h, w]` as `[h, w, C, K]`, its `[K, C]` as `[C, K]`; pixels before channels where flattened."""
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

Prefixes = dict[tuple[str, ...], str]


def _alexnet() -> Prefixes:
    convolutions = {(f"conv{i}", "conv"): f"features.{place}" for i, place in enumerate((0, 3, 6, 8, 10), 1)}
    return convolutions | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((1, 4, 6), 1)}


def _vgg(depths: tuple[int, ...]) -> Prefixes:
    prefixes, place = {}, 0
    for stage, depth in enumerate(depths, 1):
        for layer in range(1, depth + 1):
            prefixes[f"stage{stage}_conv{layer}", "conv"] = f"features.{place}"
            place += 2  # the activation is counted
        place += 1  # and the pooling
    return prefixes | {(f"dense{i}",): f"classifier.{place}" for i, place in enumerate((0, 3, 6), 1)}


def _resnet(stage_sizes: tuple[int, ...]) -> Prefixes:
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


def _googlenet() -> Prefixes:
    blocks = {("conv1",): "conv1", ("conv2_reduce",): "conv2", ("conv2",): "conv3"}
    for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        blocks |= {(f"inception{name}", ours): f"inception{name}.{theirs}" for ours, theirs in _INCEPTION.items()}
    prefixes = {}
    for block, theirs in blocks.items():
        prefixes |= {(*block, "conv"): f"{theirs}.conv", (*block, "norm"): f"{theirs}.bn"}
    return prefixes | {("dense",): "fc"}


_PREFIXES = {
    "alexnet": _alexnet,
    "vgg11": lambda: _vgg((1, 1, 2, 2, 2)),
    "vgg16": lambda: _vgg((2, 2, 3, 3, 3)),
    "resnet18": lambda: _resnet((2, 2, 2, 2)),
    "resnet34": lambda: _resnet((3, 4, 6, 3)),
    "resnet50": lambda: _resnet((3, 4, 6, 3)),
    "googlenet": _googlenet,
}
