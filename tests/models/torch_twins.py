"""torchvision's networks written in torch with the same key names, so that its published state dicts fit them."""

import pytest

torch = pytest.importorskip("torch", reason="the twins need torch, of the extra peers")
nn = torch.nn


def alexnet(classes=1000):
    features = nn.Sequential(
        *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
    )
    classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, classes),
    )
    return Dense(features, 6, classifier)


def vgg(depths, classes=1000):
    layers, channels = [], 3
    for depth, width in zip(depths, (64, 128, 256, 512, 512), strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    classifier = nn.Sequential(
        *(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, classes),
    )
    return Dense(nn.Sequential(*layers), 7, classifier)


class Dense(nn.Module):
    def __init__(self, features, side, classifier):
        super().__init__()
        self.features, self.avgpool, self.classifier = features, nn.AdaptiveAvgPool2d(side), classifier

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class Block(nn.Module):
    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        sizes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        sizes = sizes if bottleneck else [(inputs, width, 3, stride), (width, width, 3, 1)]
        for i, (a, b, k, s) in enumerate(sizes, 1):
            setattr(self, f"conv{i}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(b))
        self.number, self.downsample = len(sizes), None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.number + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.number else y
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class ResNet(nn.Module):
    def __init__(self, sizes, bottleneck=False, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool, channels = nn.MaxPool2d(3, 2, 1), 64
        for stage, (size, width) in enumerate(zip(sizes, (64, 128, 256, 512), strict=True), 1):
            blocks = []
            for i in range(size):
                blocks.append(Block(channels, width, 2 if i == 0 and stage > 1 else 1, bottleneck))
                channels = 4 * width if bottleneck else width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        for stage in (1, 2, 3, 4):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, inputs, outputs, side, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Inception(nn.Module):
    def __init__(self, inputs, a, b, c, d, e, f):
        super().__init__()
        self.branch1 = Basic(inputs, a, 1)
        self.branch2 = nn.Sequential(Basic(inputs, b, 1), Basic(b, c, 3))
        self.branch3 = nn.Sequential(Basic(inputs, d, 1), Basic(d, e, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), Basic(inputs, f, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


WIDTHS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class GoogLeNet(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = Basic(3, 64, 7, 2), Basic(64, 64, 1), Basic(64, 192, 3)
        for name, widths in WIDTHS.items():
            setattr(self, f"inception{name}", Inception(*widths))
        self.aux1 = nn.Linear(4, 2)  # stands for an auxiliary head
        self.fc = nn.Linear(1024, classes)

    def forward(self, x):
        pool = nn.functional.max_pool2d
        x = pool(self.conv1(x), 3, 2, ceil_mode=True)
        x = pool(self.conv3(self.conv2(x)), 3, 2, ceil_mode=True)
        for name in WIDTHS:
            if name in ("4a", "5a"):
                x = pool(x, 3 if name == "4a" else 2, 2, ceil_mode=True)
            x = getattr(self, f"inception{name}")(x)
        return self.fc(x.mean((2, 3)))


TWINS = {
    "alexnet": alexnet,
    "vgg11": lambda classes=1000: vgg((1, 1, 2, 2, 2), classes),
    "vgg16": lambda classes=1000: vgg((2, 2, 3, 3, 3), classes),
    "resnet18": lambda classes=1000: ResNet((2, 2, 2, 2), classes=classes),
    "resnet34": lambda classes=1000: ResNet((3, 4, 6, 3), classes=classes),
    "resnet50": lambda classes=1000: ResNet((3, 4, 6, 3), True, classes),
    "googlenet": GoogLeNet,
}


class UNet(nn.Module):
    """The paper's U-Net: no padding, no normalisation, and skips that are cropped."""

    def __init__(self, width=64, depth=4, channels=1, classes=2):
        super().__init__()
        widths = [width * 2**i for i in range(depth + 1)]
        inputs = [channels, *widths[:-1]]
        self.down = nn.ModuleList(self.double(a, b) for a, b in zip(inputs, widths, strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[:-1])
        self.join = nn.ModuleList(self.double(2 * w, w) for w in widths[:-1])
        self.classes = nn.Conv2d(width, classes, 1)

    @staticmethod
    def double(inputs, outputs):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.Conv2d(outputs, outputs, 3), nn.ReLU())

    def forward(self, x):
        skips = []
        for block in self.down[:-1]:
            skips.append(block(x))
            x = nn.functional.max_pool2d(skips[-1], 2)
        x = self.down[-1](x)
        for up, join, skip in reversed(list(zip(self.up, self.join, skips, strict=True))):
            x = up(x)
            cut = (skip.shape[-1] - x.shape[-1]) // 2
            x = join(torch.cat([x, skip[..., cut : cut + x.shape[-2], cut : cut + x.shape[-1]]], 1))
        return self.classes(x)
