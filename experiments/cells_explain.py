"""Why this box? Maps of a blood cell detector's boxes, and how much of each map lies inside its box.

    python experiments/cells_explain.py --bccd DIR [--photos 12] [--runs runs/cells_explain] [--record]

DIR is the BCCD dataset, as in bccd_yolo.py. The detector is smaller and shorter than there, because the maps and not
the boxes count here.

`RUNS/boxes.png` shows a box of each class in a test photo: what raises its score, and what moves one of its edges.

The table has two numbers for each method and each value of a box. `inside` is the share of the map's mass, the sum of
its absolute values, inside the predicted box (Arras et al., Ground Truth Evaluation of Neural Network Explanations with
CLEVR-XAI, 2022). `hit` is the share of maps whose largest value lies inside (the pointing game of Zhang et al.,
Top-down Neural Attention by Excitation Backprop, 2016). Both are means over the maps that are not `empty`, zero
everywhere, of the best box of each class in each of `--photos` test photos. A map of equal values and the edges of the
photo, which know no box, stand beside them.

On 2 cores, 2026-11-28, with a map50 of .83 and 33 boxes that cover 4 % of their photo: of what speaks for the score,
occlusion has 57 % inside, saliency 43 % and integrated gradients 38 %. HiResCAM has 85 %, but it marks the one cell of
the grid that predicts the box, and so it does for every value. Grad-CAM has 56 % for the score and 6 % for the right
edge, no more than the photo's edges, because it applies the weights of the box's cell to all others. Half of LayerCAM's
maps of the right edge are empty.
"""

import dataclasses
import functools
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro
from bccd_yolo import EXPERIMENT
from results import OFF, Options

import cnnlab
from cnnlab import explain
from cnnlab.explain.baselines import edge_maps
from cnnlab.plots.canvas import new_figure, outline, show
from cnnlab.plots.explanations import overlay_map
from cnnlab.training.restore import load_data

BATCH = 8
METHODS = ("grad_cam", "hires_cam", "layer_cam", "saliency", "integrated_gradients", "occlusion")
DRAWN = ("hires_cam", "integrated_gradients", "occlusion")  # in the figure
BASELINES = {"edges": edge_maps, "equal values": lambda images: np.ones(images.shape[:3])}  # which know no box
TEXTS = {"score": "score", "right": "right edge"}
GREEN = "#009e73"


class Boxes(NamedTuple):
    """Boxes that are explained, one an image.

    Attributes:
      images: `[n, H, W, 3]` uint8.
      boxes: `[n, 4]` xyxy in pixels.
      place: `[n]`, their index on the network's grid.
      label: `[n]`, their class.
      score: `[n]`.
    """

    images: np.ndarray
    boxes: np.ndarray
    place: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def part(self, which: slice | np.ndarray) -> "Boxes":
        """Returns some of the boxes."""
        return Boxes(*(array[which] for array in self))


def main(
    bccd: Path,
    runs: Path = Path("runs/cells_explain"),
    methods: tuple[str, ...] = METHODS,
    values: tuple[str, ...] = ("score", "right"),
    photos: int = 12,
    size: int = 256,
    width: int = 16,
    epochs: int = 40,
    least: float = 0.3,
    recording: Options = OFF,
) -> dict[tuple[str, str], dict[str, float]]:
    """Trains a detector, measures how much of each map lies inside its box, and draws a box of each class.

    Args:
        bccd: folder with Annotations, ImageSets and JPEGImages.
        runs: folder of the run and the figure.
        methods: methods of explanation.
        values: what is explained of a box: its score, or a coordinate such as right.
        photos: number of test photos.
        size: height and width of the letterbox in pixels.
        width: channels of the network's first stage.
        epochs: number of epochs.
        least: lowest score of a box that is explained.
        recording: whether the results are stored.
    """
    experiment = dataclasses.replace(
        EXPERIMENT,
        data=cnnlab.Choice("boxes", path=str(bccd.resolve()), size=size),
        model=EXPERIMENT.model.replace(stride=16, width=width),
        task=EXPERIMENT.task.replace(kind="anchors"),
        training=dataclasses.replace(EXPERIMENT.training, epochs=epochs),
    )
    trained = cnnlab.train(experiment, runs / "yolo")
    quality = cnnlab.evaluate(runs / "yolo")["map50"]
    test = load_data(runs / "yolo")["test"]
    found = best_boxes(trained, test[np.arange(min(photos, len(test)))]["image"], least)
    counts = np.bincount(found.label, minlength=len(trained.spec.classes))
    named = ", ".join(f"{count} {name}" for name, count in zip(trained.spec.classes, counts, strict=True))
    print(f"map50 {quality:.3f}; {len(found.label)} boxes are explained: {named}")
    maps, table = {}, {}
    for value in values:
        print(f"{value:24}  inside     hit   empty")
        for name in (*methods, *BASELINES):
            known = BASELINES.get(name)
            each = make_maps(trained, found, name, value) if known is None else np.asarray(known(found.images / 255))
            maps[name, value], full = each, each.any((1, 2))
            inside, hit = share_inside(each[full], found.boxes[full])
            row = {"inside": inside.mean(), "hit": hit.mean()} if full.any() else {}
            table[name, value] = {key: float(share) for key, share in (row | {"empty": 1 - full.mean()}).items()}
            print(f"  {name:22}{''.join(f'{share:8.3f}' for share in table[name, value].values())}", flush=True)
            title = f"BCCD, {len(full)} boxes, maps of their {value} by {name}"
            recording.add(title, table[name, value], group="explanations")
    draw(trained, found, maps).savefig(runs / "boxes.png")
    print(runs / "boxes.png")
    return table


def best_boxes(trained: cnnlab.Trained, photos: np.ndarray, least: float) -> Boxes:
    """Finds the best box of each class in each photo, if its score is high enough."""
    rows = []
    for start in range(0, len(photos), BATCH):
        images = photos[start : start + BATCH]
        predicted = jax.device_get(cnnlab.predict(trained, images))
        for i, image in enumerate(images):
            for label in range(len(trained.spec.classes)):
                own = np.flatnonzero((predicted.classes[i] == label) & (predicted.score[i] >= least))[:1]
                rows += [
                    (image, predicted.boxes[i, j], predicted.place[i, j], label, predicted.score[i, j]) for j in own
                ]
    if not rows:
        raise ValueError(f"no box has a score of {least} or more; train for more epochs, or lower --least")
    return Boxes(*map(np.stack, zip(*rows, strict=True)))


def make_maps(trained: cnnlab.Trained, found: Boxes, method: str, value: str) -> np.ndarray:
    """Computes the map of each box, `[n, H, W]`."""
    function = explain.METHODS[method].explain
    if method == "occlusion":  # windows of the size of a platelet
        function = functools.partial(function, window=max(found.images.shape[1] // 10, 2))
    maps = []
    for start in range(0, len(found.label), BATCH):
        some = found.part(np.arange(start, start + BATCH).clip(max=len(found.label) - 1))  # one shape, one compilation
        target = explain.targets.box(trained, some.place, some.label, value)
        with warnings.catch_warnings(action="ignore"):  # about empty maps, which are counted
            maps.append(np.asarray(function(trained, some.images, target).map))
    return np.concatenate(maps)[: len(found.label)]


def share_inside(maps: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of each map's mass inside its box `[n]`, and whether its largest value is there `[n]`."""
    mass = np.abs(maps)
    y, x = (np.arange(side) + 0.5 for side in maps.shape[1:])
    left, top, right, bottom = boxes.T[..., None]
    rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)
    within = rows[:, :, None] & columns[:, None, :]
    inside = (mass * within).sum((1, 2)) / mass.sum((1, 2))
    largest = mass.reshape(len(mass), -1).argmax(1)
    return inside, within.reshape(len(mass), -1)[np.arange(len(mass)), largest]


def draw(trained: cnnlab.Trained, found: Boxes, maps: dict[tuple[str, str], np.ndarray]):
    """Draws the surest box of each class in its photo, and the maps of its surroundings."""
    shown = [int(np.argmax(np.where(found.label == k, found.score, -1))) for k in sorted(set(found.label))]
    # Class activation maps leave out what moves an edge to the left.
    drawn = [(m, v) for m, v in maps if m in DRAWN and (v == "score" or not explain.METHODS[m].reads_layer)]
    figure, axes = new_figure(len(shown), 1 + len(drawn), size=(1.9 * (1 + len(drawn)), 2.1 * len(shown) + 0.5))
    figure.suptitle(
        "Why this box? Orange raises the score or moves the edge to the right, blue does the opposite", fontsize=10
    )
    for row, i in zip(axes, shown, strict=True):
        image, box = found.images[i], found.boxes[i]
        show(row[0], image)
        outline(row[0], box, "", GREEN)
        row[0].set_title(f"{trained.spec.classes[found.label[i]]}, score {found.score[i]:.2f}", fontsize=8)
        for axis, (method, value) in zip(row[1:], drawn, strict=True):
            each = maps[method, value][i]
            inside = f"{100 * share_inside(each[None], box[None])[0][0]:.0f} % inside" if each.any() else "empty"
            grainy = method == "integrated_gradients"  # a few of its pixels are far larger than the rest
            axis.imshow(overlay_map(image, each, scale=np.percentile(np.abs(each), 99.5) if grainy else None))
            outline(axis, box, "", GREEN)
            around(axis, box, image.shape)
            axis.set_title(f"{TEXTS.get(value, value)} by {method.replace('_', ' ')}\n{inside}", fontsize=8)
    return figure


def around(axis, box: np.ndarray, shape: tuple[int, ...]) -> None:
    """Limits an axis to a square around a box."""
    left, top, right, bottom = box
    half = min(max(1.2 * max(right - left, bottom - top), shape[0] / 8), shape[0] / 2)
    x, y = (
        np.clip(middle, half, side - half) - 0.5
        for middle, side in (((left + right) / 2, shape[1]), ((top + bottom) / 2, shape[0]))
    )
    axis.set(xlim=(x - half, x + half), ylim=(y + half, y - half), xticks=[], yticks=[])


if __name__ == "__main__":
    tyro.cli(main)
