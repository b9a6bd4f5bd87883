"""The detectors of `cnnlab.models.yolo` in PyTorch, with decoding and suppression by plain operations.

`yolo.py` compares with them. Layers and names are the same, so the weights can be copied.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.traverse_util
import numpy as np
import torch
from torch import nn

from cnnlab.models.yolo import YOLO, SmallYOLO
from cnnlab.tasks import Detection

SLOPE = 0.1  # of the leaky ReLU


class Block(nn.Module):
    """A convolution, batch norm (or a bias) and an activation."""

    def __init__(
        self, inputs: int, outputs: int, side: int = 3, stride: int = 1, norm: bool = True, slope: float = 0.0
    ):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=not norm)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.leaky_relu(self.norm(self.conv(x)), self.slope)


class Residual(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.conv2 = Block(inputs, outputs, 3, stride), Block(outputs, outputs, slope=1.0)
        change = stride > 1 or inputs != outputs
        self.shortcut = Block(inputs, outputs, 1, stride, slope=1.0) if change else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv2(self.conv1(x)) + self.shortcut(x))


class TorchYOLO(nn.Module):
    """Groups of convolutions with a pooling between them, and two dense layers."""

    def __init__(self, network: YOLO, size: tuple[int, int]):
        super().__init__()
        self.groups, inputs, number, side = [], 3, 0, np.array(size)
        for group, layers in enumerate(network.layers):
            names = []
            side = side // 2 if group else side
            for kernel, features, stride in layers:
                number += 1
                names.append(f"conv{number}")
                self.add_module(names[-1], Block(inputs, features, kernel, stride, network.norm, SLOPE))
                inputs, side = features, -(-side // stride)
            self.groups.append(names)
        self.cells = network.cells
        self.dense1 = nn.Linear(int(side.prod()) * inputs, network.hidden)
        self.dense2 = nn.Linear(network.hidden, network.cells**2 * network.num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for group, names in enumerate(self.groups):
            x = nn.functional.max_pool2d(x, 2) if group else x
            for name in names:
                x = getattr(self, name)(x)
        x = x.permute(0, 2, 3, 1).flatten(1)  # pixels before channels, as cnnlab's weights have them
        x = nn.functional.leaky_relu(self.dense1(x), SLOPE)
        return self.dense2(x).view(len(x), self.cells, self.cells, -1)


class TorchSmallYOLO(nn.Module):
    """Residual stages, and a 1x1 convolution as head."""

    def __init__(self, network: SmallYOLO):
        super().__init__()
        self.stem, self.names, inputs, reached = Block(3, network.width, 3, 2), ["stem"], network.width, 2
        for stage, size in enumerate(network.stage_sizes, 1):
            features = network.width * 2 ** (stage - 1)
            for i in range(1, size + 1):
                stride = 2 if i == 1 and reached < network.stride else 1
                reached, name = reached * stride, f"stage{stage}_block{i}"
                self.add_module(name, Residual(inputs, features, stride))
                self.names.append(name)
                inputs = features
        self.neck, self.head = Block(inputs, inputs, slope=SLOPE), nn.Conv2d(inputs, network.num_classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in (*self.names, "neck", "head"):
            x = getattr(self, name)(x)
        return x.permute(0, 2, 3, 1)


def twin(network: YOLO | SmallYOLO, variables: Mapping[str, Any], size: tuple[int, int]) -> nn.Module:
    """Returns the network in PyTorch, with the same weights."""
    copy = TorchYOLO(network, size) if isinstance(network, YOLO) else TorchSmallYOLO(network)
    theirs = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    state = {}
    for (_, *place, leaf), value in flax.traverse_util.flatten_dict(dict(variables)).items():
        value = np.asarray(value)
        if leaf == "kernel":
            value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        state[".".join([*place, theirs[leaf]])] = torch.from_numpy(value.copy())
    missing, unexpected = copy.load_state_dict(state, strict=False)
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        raise ValueError(f"the twin differs: without {missing}, besides {unexpected}")
    return copy.eval()


def detector(
    model: Callable[[torch.Tensor], torch.Tensor],
    task: Detection,
    *,
    device: str = "cpu",
    layout=torch.contiguous_format,
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns a function from a photo `[1, H, W, 3]` uint8 to its boxes on the host, as `cnnlab.predict` has them."""

    @torch.inference_mode()
    def detect(images: np.ndarray) -> dict[str, np.ndarray]:
        x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(torch.float32, memory_format=layout) / 255
        boxes, score, classes = decode(model(x)[0], task)
        usable = score > task.score_threshold
        boxes, score, classes = boxes[usable], score[usable], classes[usable]
        best = suppress(boxes, score, classes, task.iou_threshold)[: task.max_boxes]
        detections = {"boxes": boxes[best], "score": score[best], "classes": classes[best]}
        return {name: value.cpu().numpy() for name, value in detections.items()}

    return detect


def decode(logits: torch.Tensor, task: Detection) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Decodes logits `[S, S', 5 b + k]` to boxes `[n, 4]` (xyxy in pixels), scores `[n]` and classes `[n]`."""
    (rows, columns), b = logits.shape[:2], task.boxes_per_cell
    numbers = logits[..., : 5 * b].reshape(rows, columns, b, 5).sigmoid()
    sure, kind = logits[..., 5 * b :].softmax(-1).max(-1, keepdim=True)
    scale = torch.tensor([task.image_size[1], task.image_size[0]], device=logits.device)
    cells = torch.meshgrid(
        torch.arange(columns, device=logits.device), torch.arange(rows, device=logits.device), indexing="xy"
    )
    centre = (torch.stack(cells, -1)[:, :, None] + numbers[..., :2]) * scale
    centre = centre / torch.tensor([columns, rows], device=logits.device)
    half = numbers[..., 2:4].square() * scale / 2
    boxes = torch.cat([centre - half, centre + half], -1).clamp(min=0).minimum(scale.repeat(2))
    return boxes.reshape(-1, 4), (numbers[..., 4] * sure).flatten(), kind.expand(rows, columns, b).flatten()


def suppress(boxes: torch.Tensor, score: torch.Tensor, classes: torch.Tensor, threshold: float) -> torch.Tensor:
    """Returns the indices of the boxes that remain, the best first."""
    order, keep = score.argsort(descending=True, stable=True), []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(order):
        best, order = order[0], order[1:]
        keep.append(best)
        side = torch.minimum(boxes[best, 2:], boxes[order, 2:]) - torch.maximum(boxes[best, :2], boxes[order, :2])
        overlap = side.clamp(min=0).prod(1)
        near = overlap > threshold * (area[best] + area[order] - overlap)
        order = order[~(near & (classes[order] == classes[best]))]
    return torch.stack(keep) if keep else order
