"""Non-maximum suppression of boxes without classes: cnnlab beside kornia, MONAI and a plain loop in PyTorch.

    python experiments/benchmarks/suppression.py [--json] [--batch 16] [--boxes 98] [--record]

98 is the number of boxes of YOLO V1 (7 x 7 cells, 2 boxes each). Peers that are not installed are left out. `ratio` is
the time of the fastest peer divided by cnnlab's: above 1, cnnlab is faster. `--batch 1 --boxes 1000` times 1,000 boxes
of one image.

On a CPU cnnlab is far faster than all peers.
"""

import importlib.util
from collections.abc import Callable
from typing import Annotated

import jax
import numpy as np
import tyro
from timing import OFF, Options, report, take_turns

import cnnlab
from cnnlab.geometry.suppression import non_maximum_suppression


def own(boxes: np.ndarray, scores: np.ndarray) -> Callable[[], None]:
    """Returns a compiled call for all images."""
    program = cnnlab.jit(jax.vmap(non_maximum_suppression))
    boxes, scores = jax.device_put((boxes, scores))
    return lambda: jax.block_until_ready(program(boxes, scores))


def peers(boxes: np.ndarray, scores: np.ndarray) -> dict[str, Callable[[], None]]:
    """Returns a call for each peer that is installed, image after image."""
    if not importlib.util.find_spec("torch"):
        return {}
    import torch

    def plain(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
        order, keep = scores.argsort(descending=True, stable=True), []
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        while len(order):
            best, order = order[0], order[1:]
            keep.append(best)
            side = torch.minimum(boxes[best, 2:], boxes[order, 2:]) - torch.maximum(boxes[best, :2], boxes[order, :2])
            overlap = side.clamp(min=0).prod(1)
            order = order[overlap <= threshold * (area[best] + area[order] - overlap)]
        return torch.stack(keep)

    functions = {"torch, plain loop": plain}
    if importlib.util.find_spec("kornia"):
        from kornia.geometry.bbox import nms

        functions["kornia"] = nms
    if importlib.util.find_spec("monai"):
        from monai.data.box_utils import non_max_suppression

        functions["monai"] = non_max_suppression
    images = list(zip(torch.tensor(boxes), torch.tensor(scores), strict=True))
    return {
        name: lambda function=function: [function(box, score, 0.5) for box, score in images] and None
        for name, function in functions.items()
    }


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 5,
    repeats: int = 10,
    batch: int = 16,
    boxes: int = 98,
    recording: Options = OFF,
) -> dict:
    """Times all variants in turns and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        rounds: turns of each variant.
        repeats: calls in a turn.
        batch: number of images.
        boxes: number of boxes of each image.
        recording: whether the results are stored.
    """
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 400, (batch, boxes, 2))
    corners = np.concatenate([low, low + rng.uniform(5, 120, low.shape)], -1).astype(np.float32)
    scores = rng.uniform(0.01, 1, (batch, boxes)).astype(np.float32)
    variants = {"cnnlab": own(corners, scores), **peers(corners, scores)}
    times = take_turns(variants, rounds=rounds, repeats=repeats)
    name = f"non-maximum suppression, {batch} x {boxes} boxes"
    return report(name, times, images=batch, as_json=json_only, recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
