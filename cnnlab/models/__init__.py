"""The table of networks by name. To add a network, write a module such as `lenet.py` and an entry in `MODELS`."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab.errors import unknown
from cnnlab.models import torch_weights
from cnnlab.models.convnet import ConvNet
from cnnlab.models.inception import GoogLeNet, Xception
from cnnlab.models.lenet import Dense, KerasMNIST, KerasVGG, LeNet5, Linear
from cnnlab.models.reader import Reader
from cnnlab.models.resnet import ResNet
from cnnlab.models.separable import SeparableNet
from cnnlab.models.signal import TCN
from cnnlab.models.small import EncoderDecoder, GridDetector
from cnnlab.models.torch_weights import Weights
from cnnlab.models.unet import UNet
from cnnlab.models.vgg import VGG, AlexNet, NetworkInNetwork
from cnnlab.models.yolo import FAST_LAYERS, YOLO, SmallYOLO
from cnnlab.nn.apply import Variables


class Network(NamedTuple):
    """An entry of the table: how to build a network, its usual images and classes, and its published weights.

    Attributes:
      build: Linen module class with a field `num_classes`, or a `functools.partial` of such a class.
      input: height, width and channels of the usual images.
      classes: usual number of classes.
      weights: description of the weights that torchvision publishes for the network, or None if there are none.
    """

    build: Callable[..., nn.Module]
    input: tuple[int, int, int] = (224, 224, 3)
    classes: int = 1000
    weights: Weights | None = None


def _vgg(*depths: int) -> Network:
    return Network(partial(VGG, depths=depths), weights=Weights(torch_weights.vgg(depths), side=7))


def _resnet(*stage_sizes: int, **options) -> Network:
    build = partial(ResNet, stage_sizes=stage_sizes, **options)
    return Network(build, weights=Weights(torch_weights.resnet(stage_sizes)))


def _small_resnet(n: int) -> Network:
    build = partial(ResNet, stage_sizes=(n, n, n), width=16, stem="small", shortcut="pad")
    return Network(build, (32, 32, 3), 10)


MODELS: dict[str, Network] = {
    "linear": Network(Linear, (28, 28, 1), 10),
    "dense": Network(Dense, (28, 28, 1), 10),
    "lenet5": Network(LeNet5, (28, 28, 1), 10),
    "keras_mnist": Network(KerasMNIST, (28, 28, 1), 10),
    "keras_vgg": Network(KerasVGG, (100, 100, 3), 10),
    "convnet": Network(ConvNet, (28, 28, 1), 10),
    "separable": Network(SeparableNet),
    "alexnet": Network(AlexNet, weights=Weights(torch_weights.alexnet(), side=6)),
    "network_in_network": Network(NetworkInNetwork, (32, 32, 3), 10),
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "resnet18": _resnet(2, 2, 2, 2),
    "resnet34": _resnet(3, 4, 6, 3),
    "resnet50": _resnet(3, 4, 6, 3, block="bottleneck"),
    **{f"resnet{6 * n + 2}": _small_resnet(n) for n in (1, 3, 5, 7, 9)},
    "googlenet": Network(
        GoogLeNet, weights=Weights(torch_weights.googlenet(), "symmetric", auxiliary=("aux1", "aux2"))
    ),
    "googlenet_paper": Network(partial(GoogLeNet, norm=False, large=5, last_pool=3, dropout=0.4)),
    "xception": Network(Xception, (299, 299, 3)),
    "unet": Network(partial(UNet, up="bilinear")),
    "encoder_decoder": Network(EncoderDecoder, (64, 64, 3), 2),
    "grid_detector": Network(GridDetector, (64, 64, 3), 8),
    "reader": Network(Reader, (28, 208, 1), 11),
    "yolo": Network(YOLO),
    "yolo_fast": Network(partial(YOLO, layers=FAST_LAYERS)),
    "yolo_small": Network(SmallYOLO),
    "tcn": Network(TCN, (1, 256, 1), 2),
    "tcn_steps": Network(partial(TCN, pooled=False), (1, 256, 1), 1),
}
"""The networks by name. A new one is a file beside this one, and a line here."""


def register(
    name: str,
    network: Callable[..., nn.Module],
    *,
    input: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
) -> None:
    """Makes `create_model(name, num_classes=..., **options)` and `--model.name NAME` build `network`.

    Args:
      name: name of the network; an existing entry of this name is replaced.
      network: Linen module class with a field `num_classes`, or a `functools.partial` of such a class.
      input: height, width and channels of the images that `summary` assumes by default.
      classes: number of classes that `summary` assumes by default.
    """
    MODELS[name] = Network(network, input, classes)


def known_network(name: str) -> Network:
    """Returns the entry of `MODELS` with this name.

    Raises:
      ValueError: there is no such entry; the message lists similar names.
    """
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    return MODELS[name]


def create_model(name: str, *, num_classes: int, **options) -> nn.Module:
    """Creates the network with this name.

    Args:
      name: name in `MODELS`.
      num_classes: number of outputs of the last layer.
      **options: values of the network's other fields.

    Raises:
      ValueError: there is no such network or option (the message lists similar names), or `num_classes` is below 1.

    >>> create_model("lenet5", num_classes=10, dropout=0.5).dropout
    0.5
    """
    build = known_network(name).build
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, found {num_classes}")
    known = set(inspect.signature(build).parameters) - {"parent", "name"}
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return build(num_classes=num_classes, **options)


def import_torch(
    name: str, path: str | Path, *, num_classes: int | None = None, seed: int = 0, **options
) -> tuple[nn.Module, Variables]:
    """Loads a network with the weights of a torchvision state dict.

    The network's logits equal torchvision's up to float32 rounding. Photos must be normalised as the weights expect;
    see `MODELS[name].weights.normalisation`.

    Args:
      name: `alexnet`, `vgg11`, `vgg16`, `resnet18`, `resnet34`, `resnet50` or `googlenet`.
      path: a `.safetensors` file; if torch is installed, also a `.pth` or `.pt` file, of which only weights are read.
      num_classes: number of outputs. If it differs from the file's, the last layer is initialised anew.
      seed: seed of a new last layer.
      **options: values of the network's other fields, such as `dropout`, or `features_only=True` for the trunk alone
        (the variables still contain the last layer).

    Returns:
      `(network, variables)`. GoogLeNet's auxiliary heads are not loaded, and a warning says so.

    Raises:
      ValueError: the name has no published weights, the file is unreadable, or its keys or shapes do not fit the
        network; the message lists them.

    >>> network, variables = import_torch("resnet18", "resnet18.safetensors")  # doctest: +SKIP
    """
    published = {key: network.weights for key, network in MODELS.items() if network.weights is not None}
    if name not in published:
        raise unknown("network with published weights", name, published)
    weights = published[name]
    state = torch_weights.load_state_dict(path, weights)
    try:
        file_classes = weights.classes(state)
    except ValueError as error:
        raise ValueError(f"{path} does not contain the weights of {name}: {error}") from error
    classes = file_classes if num_classes is None else num_classes
    network = create_model(name, num_classes=classes, **options)
    whole = network.clone(features_only=False) if options.get("features_only") else network
    images = jax.ShapeDtypeStruct((1, *MODELS[name].input), jnp.float32)
    shapes = jax.eval_shape(whole.init, jax.random.key(0), images)
    try:
        variables = torch_weights.convert(state, weights, shapes, new_head=classes != file_classes, seed=seed)
    except ValueError as error:
        raise ValueError(f"{path} does not contain the weights of {name}: {error}") from error
    return network, variables


__all__ = [
    "MODELS",
    "TCN",
    "VGG",
    "YOLO",
    "AlexNet",
    "ConvNet",
    "Dense",
    "EncoderDecoder",
    "GoogLeNet",
    "GridDetector",
    "KerasMNIST",
    "KerasVGG",
    "LeNet5",
    "Linear",
    "Network",
    "NetworkInNetwork",
    "Reader",
    "ResNet",
    "SeparableNet",
    "SmallYOLO",
    "UNet",
    "Weights",
    "Xception",
    "create_model",
    "import_torch",
    "known_network",
    "register",
]


def __dir__() -> list[str]:
    return __all__
