"""Networks by name. A new one is a file beside `lenet.py` and a line in `MODELS`."""

import inspect
from collections.abc import Callable
from functools import partial

import flax.linen as nn

from cnnlab.errors import unknown
from cnnlab.models.convnet import ConvNet
from cnnlab.models.inception import GoogLeNet, Xception
from cnnlab.models.lenet import Dense, KerasMNIST, KerasVGG, LeNet5, Linear
from cnnlab.models.resnet import ResNet
from cnnlab.models.separable import SeparableNet
from cnnlab.models.small import EncoderDecoder, GridDetector
from cnnlab.models.torch_weights import import_torch
from cnnlab.models.unet import UNet
from cnnlab.models.vgg import VGG, AlexNet, NetworkInNetwork
from cnnlab.models.yolo import FAST_LAYERS, YOLO, SmallYOLO

MODELS: dict[str, Callable[..., nn.Module]] = {
    "linear": Linear,
    "dense": Dense,
    "lenet5": LeNet5,
    "keras_mnist": KerasMNIST,
    "keras_vgg": KerasVGG,
    "convnet": ConvNet,
    "separable": SeparableNet,
    "alexnet": AlexNet,
    "network_in_network": NetworkInNetwork,
    "vgg11": partial(VGG, depths=(1, 1, 2, 2, 2)),
    "vgg16": partial(VGG, depths=(2, 2, 3, 3, 3)),
    "resnet18": partial(ResNet, stage_sizes=(2, 2, 2, 2)),
    "resnet34": partial(ResNet, stage_sizes=(3, 4, 6, 3)),
    "resnet50": partial(ResNet, stage_sizes=(3, 4, 6, 3), block="bottleneck"),
    **{
        f"resnet{6 * n + 2}": partial(ResNet, stage_sizes=(n, n, n), width=16, stem="small", shortcut="pad")
        for n in (3, 5, 7, 9)
    },
    "googlenet": GoogLeNet,
    "googlenet_paper": partial(GoogLeNet, norm=False, large=5, last_pool=3, dropout=0.4),
    "xception": Xception,
    "unet": UNet,
    "encoder_decoder": EncoderDecoder,
    "grid_detector": GridDetector,
    "yolo": YOLO,
    "yolo_fast": partial(YOLO, layers=FAST_LAYERS),
    "yolo_small": SmallYOLO,
}


def register(name: str, network: Callable[..., nn.Module]) -> None:
    """Makes `create_model(name, num_classes=..., **options)` and `--model.name NAME` build `network`.

    Args:
      name: the new name; an existing one is replaced.
      network: a Linen module class with a field `num_classes`, or a `functools.partial` of one.
    """
    MODELS[name] = network


def create_model(name: str, *, num_classes: int, **options) -> nn.Module:
    """The network of that name.

    Args:
      name: a name in `MODELS`.
      num_classes: outputs of the last layer.
      **options: the network's other fields.

    Raises:
      ValueError: there is no such network or option (the nearest names are told), or `num_classes` is below 1.

    >>> create_model("lenet5", num_classes=10, dropout=0.5).dropout
    0.5
    """
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more, found {num_classes}")
    known = set(inspect.signature(MODELS[name]).parameters) - {"parent", "name"}
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    return MODELS[name](num_classes=num_classes, **options)


__all__ = [
    "MODELS",
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
    "NetworkInNetwork",
    "ResNet",
    "SeparableNet",
    "SmallYOLO",
    "UNet",
    "Xception",
    "create_model",
    "import_torch",
    "register",
]
