"""The benchmarks' networks in PyTorch, layer by layer as users of PyTorch write them."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cuda":
    torch.set_float32_matmul_precision("high")  # TF32, as XLA by default


def synchronise() -> None:
    """Waits until the device has finished its work."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Returns a convolution, batch norm and ReLU."""
    pad = (kernel - 1) * dilation // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Mean(nn.Module):
    """Mean over positions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def lenet5() -> nn.Module:
    """Returns LeNet5 without dropout."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def keras_mnist() -> nn.Module:
    """Returns the lecture's first Keras network with its dropout of .25 and .5."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )


def keras_vgg() -> nn.Module:
    """Returns the lecture's VGG-like Keras network with its dropout of .25 and .5."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)),
        *(nn.Flatten(), nn.Linear(30976, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10)),
    )


class Residual(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3 and 1x1 ones with `narrow` channels between them."""

    def __init__(self, inputs: int, outputs: int, stride: int, narrow: int | None = None):
        super().__init__()
        if narrow is None:
            self.body = nn.Sequential(block(inputs, outputs, stride=stride), block(outputs, outputs)[:2])
        else:
            first, middle = block(inputs, narrow, 1), block(narrow, narrow, stride=stride)
            self.body = nn.Sequential(first, middle, block(narrow, outputs, 1)[:2])
        self.shortcut = nn.Identity() if inputs == outputs else block(inputs, outputs, 1, stride)[:2]
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


def resnet18(stem: str = "small") -> nn.Module:
    """Returns ResNet-18 with the stem for images of 32 pixels, or for a `photo`."""
    first = [block(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)] if stem == "photo" else [block(3, 64)]
    widths = (64, 64, 128, 256, 512)
    stages = [nn.Sequential(Residual(a, b, 1 if a == b else 2), Residual(b, b, 1)) for a, b in pairwise(widths)]
    return nn.Sequential(*first, *stages, Mean(), nn.Linear(512, 10))


def resnet50() -> nn.Module:
    """Returns ResNet-50 with the stem for photos and the strides in the 3x3 convolutions."""
    stem = nn.Sequential(block(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
    layers, inputs = [], 64
    for stage, number in enumerate((3, 4, 6, 3)):
        narrow = 64 * 2**stage
        for i in range(number):
            layers.append(Residual(inputs, 4 * narrow, 2 if stage and not i else 1, narrow))
            inputs = 4 * narrow
    return nn.Sequential(stem, *layers, Mean(), nn.Linear(2048, 10))


class UNet(nn.Module):
    """U-Net with batch norm, and spatial dropout after the bottleneck and on the way up."""

    def __init__(self, width: int, classes: int, depth: int = 4, dropout: float = 0.0):
        super().__init__()

        def twice(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(block(inputs, outputs), block(outputs, outputs))

        w = [width * 2**i for i in range(depth + 1)]
        self.down = nn.ModuleList(map(twice, [3, *w], w))
        self.drop = nn.Dropout2d(dropout)
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * n, n, 2, 2) for n in w[:-1])
        self.join = nn.ModuleList(twice(2 * n, n) for n in w[:-1])
        self.classes = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down in self.down[:-1]:
            skips.append(down(x))
            x = F.max_pool2d(skips[-1], 2)
        x = self.drop(self.down[-1](x))
        for up, join, skip in reversed(list(zip(self.up, self.join, skips, strict=True))):
            x = self.drop(join(torch.cat([up(x), skip], 1)))
        return self.classes(x)


class Inception(nn.Module):
    """An Inception block: four branches side by side."""

    def __init__(self, inputs: int, a: int, b: int, c: int, d: int, e: int, f: int):
        super().__init__()
        pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), block(inputs, f, 1))
        ways = [block(inputs, a, 1)], [block(inputs, b, 1), block(b, c)], [block(inputs, d, 1), block(d, e)], [pool]
        self.branches = nn.ModuleList([nn.Sequential(*way) for way in ways])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet() -> nn.Module:
    """Returns GoogLeNet with batch norm, as torchvision has it."""

    def halve(kernel: int) -> nn.MaxPool2d:
        return nn.MaxPool2d(kernel, 2, ceil_mode=True)

    return nn.Sequential(
        *(block(3, 64, 7, 2), halve(3), block(64, 64, 1), block(64, 192), halve(3)),
        *(Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64), halve(3)),
        *(Inception(480, 192, 96, 208, 16, 48, 64), Inception(512, 160, 112, 224, 24, 64, 64)),
        *(Inception(512, 128, 128, 256, 24, 64, 64), Inception(512, 112, 144, 288, 32, 64, 64)),
        *(Inception(528, 256, 160, 320, 32, 128, 128), halve(2)),
        *(Inception(832, 256, 160, 320, 32, 128, 128), Inception(832, 384, 192, 384, 48, 128, 128)),
        *(Mean(), nn.Dropout(0.2), nn.Linear(1024, 10)),
    )


def separable(widths: tuple[tuple[int, int], ...]) -> nn.Module:
    """Returns a network of depthwise-separable convolutions, each with a width and a stride."""
    layers, inputs = [block(3, 32)], 32
    for outputs, stride in widths:
        depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False)
        layers.append(nn.Sequential(depthwise, block(inputs, outputs, 1)))
        inputs = outputs
    return nn.Sequential(*layers, Mean(), nn.Linear(inputs, 10))


def dilated(width: int, dilations: tuple[int, ...]) -> nn.Module:
    """Returns a network with one convolution for each dilation."""
    layers = [block(3 if i == 0 else width, width, dilation=d) for i, d in enumerate(dilations)]
    return nn.Sequential(*layers, nn.Conv2d(width, 10, 1))


def transposed(widths: tuple[int, ...], inputs: int) -> nn.Module:
    """Returns a decoder that doubles the size before each width."""
    layers = []
    for outputs in widths:
        layers += [nn.ConvTranspose2d(inputs, outputs, 2, 2), nn.ReLU(), block(outputs, outputs)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 10, 1))
