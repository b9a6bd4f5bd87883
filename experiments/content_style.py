"""Content and style of drawn images whose shape and texture are known: which space tells which of the two.

    python experiments/content_style.py [--seeds 3] [--output runs/content_style] [--record]

Every image shows one of four shapes, filled with one of four textures, both drawn independently. One network learns
shapes under random textures, another one textures under random shapes. Five spaces are compared: pixels; the content
features of the first network, and its Gram matrices, of all and of its first two layers; and the content features of
the second network. The second and the last space are those of two encoders that were trained for content and for style.

For each space, `shape` and `texture` are the accuracies with which a linear classifier on 1,000 images names the
factor of 1,000 others; chance is .25. `shape (neighbours)` and `texture (neighbours)` are those of ten nearest
neighbours. `own less other` is what the linear classifiers know of the factor that the space is meant for, less what
they know of the other one, each on a scale from 0 (chance) to 1 (always right).

`OUTPUT/content_style.png` shows the spaces as UMAP planes, coloured by shape above and by texture below;
`OUTPUT/neighbours.png` shows images beside their nearest ones by content and by early Gram matrices of one network.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.embeddings import content, extract, nearest_images, project, style
from cnnlab.plots.canvas import new_figure
from cnnlab.plots.neighbours import draw_neighbours
from cnnlab.training.loop import train_plan
from cnnlab.training.plan import make_plan

SHAPES = ("disc", "square", "triangle", "cross")
TEXTURES = ("stripes", "dots", "checks", "noise")
SIZE = 32
EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("convnet", stages=((16,), (32,), (64,), (512,))),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=5, batch_size=64),
)
EARLY = ("stage1_norm1", "stage2_norm1")
OWN = {
    "pixels": "shape",
    "shape encoder, content": "shape",
    "shape encoder, Gram matrices": "texture",
    "shape encoder, early Gram matrices": "texture",
    "texture encoder, content": "texture",
}
"""The factor that each space is meant for."""

Images = dict[str, np.ndarray]


def draw(n: int, seed: int) -> Images:
    """Draws `n` images: `image` `[n, 32, 32, 1]` uint8, and the factors `shape` and `texture` `[n]`."""
    rng = np.random.default_rng(seed)
    shape, texture = rng.integers(0, len(SHAPES), n), rng.integers(0, len(TEXTURES), n)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    centre, radius, angle = rng.uniform(14, 18, (n, 2)), rng.uniform(9, 13, n), rng.uniform(-0.4, 0.4, n)
    inside = _inside(*_turned(x, y, centre, angle), shape, radius)
    values = _texture(*_turned(x, y, rng.uniform(0, SIZE, (n, 2)), rng.uniform(0, np.pi, n)), texture, rng)
    low, high = rng.uniform(0.3, 0.5, (2, n, 1, 1)) + np.array([0.0, 0.45])[:, None, None, None]
    image = np.where(inside, low + (high - low) * values, 0.15) + rng.normal(0, 0.03, values.shape)
    pixels = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return {"image": pixels[..., None], "shape": shape, "texture": texture}


def _turned(x: np.ndarray, y: np.ndarray, centre: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the coordinates of all pixels around each centre, turned by each angle, both `[n, H, W]`."""
    dx, dy = x - centre[:, 0, None, None], y - centre[:, 1, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * dx + sin * dy, cos * dy - sin * dx


def _inside(x: np.ndarray, y: np.ndarray, shape: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Returns which pixels lie inside each shape; all shapes of one radius have nearly the same area."""
    r, kind = radius[:, None, None], shape[:, None, None]
    disc = np.hypot(x, y) <= 0.9 * r
    square = np.maximum(abs(x), abs(y)) <= 0.8 * r
    triangle = (abs(y) <= 1.1 * r) & (abs(x) <= 0.52 * (y + 1.1 * r))
    cross = (np.minimum(abs(x), abs(y)) <= 0.33 * r) & (np.maximum(abs(x), abs(y)) <= 1.15 * r)
    return np.select([kind == 0, kind == 1, kind == 2], [disc, square, triangle], cross)


def _texture(x: np.ndarray, y: np.ndarray, texture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns the values of each texture in [0, 1]; all have a period of 4 to 6 pixels."""
    period, kind = rng.uniform(4, 6, len(texture))[:, None, None], texture[:, None, None]
    across, along = np.sin(2 * np.pi * x / period), np.sin(2 * np.pi * y / period)
    stripes, checks = across > 0, across * along > 0
    dots = across + along > 0.8
    coarse = rng.random((len(texture), SIZE // 2, SIZE // 2)).repeat(2, 1).repeat(2, 2)
    return np.select([kind == 0, kind == 1, kind == 2], [stripes, dots, checks], coarse).astype(float)


def train(factor: str, seed: int, output: Path, *, number: int, epochs: int | None) -> cnnlab.Trained:
    """Trains a network to name one factor."""
    names = {"shape": SHAPES, "texture": TEXTURES}[factor]
    parts = {"train": draw(number, 1000 + seed), "validation": draw(max(64, number // 10), 2000 + seed)}
    splits = {part: {"image": images["image"], "label": images[factor]} for part, images in parts.items()}
    data = cnnlab.data.from_arrays(splits, classes=names, name=f"drawn-{factor}s")
    training = dataclasses.replace(EXPERIMENT.training, epochs=epochs or EXPERIMENT.training.epochs)
    experiment = dataclasses.replace(EXPERIMENT, training=training, seed=seed)
    return train_plan(make_plan(experiment, data=data), output / factor / f"seed{seed}")


def spaces(shape: cnnlab.Trained, texture: cnnlab.Trained, images: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the features of images in each space, `[N, D]`, by the names of `OWN`."""
    pixels, seen = extract(shape, images, layer="pixels"), content(shape, images)
    gram, early = style(shape, images), style(shape, images, EARLY)
    return dict(zip(OWN, (pixels, seen, gram, early, content(texture, images)), strict=True))


def tell(train: np.ndarray, test: np.ndarray, known: Images, asked: Images) -> dict[str, float]:
    """Returns how well both factors of the images `asked` are told from the features `test`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    mean, std = train.mean(0), train.std(0) + 1e-6
    row = {}
    for factor in ("shape", "texture"):
        linear = LogisticRegression(C=0.1, max_iter=300).fit((train - mean) / std, known[factor])
        near = KNeighborsClassifier(10).fit(train, known[factor])
        row[factor] = float(linear.score((test - mean) / std, asked[factor]))
        row[f"{factor} (neighbours)"] = float(near.score(test, asked[factor]))
    return row


def disentangled(row: Mapping[str, float], own: str) -> float:
    """Returns what is known of the factor `own` less what is known of the other one; 1 is the best.

    >>> disentangled({"shape": 1.0, "texture": 0.25}, "shape")
    1.0
    """
    known = {factor: (row[factor] - 1 / 4) / (1 - 1 / 4) for factor in ("shape", "texture")}
    return known[own] - known["texture" if own == "shape" else "shape"]


def draw_planes(features: Mapping[str, np.ndarray], images: Images, path: Path) -> None:
    """Draws the UMAP plane of each space twice: coloured by shape above, by texture below."""
    figure, axes = new_figure(2, len(features), size=(2.7 * len(features), 5.6))
    for column, (name, points) in zip(axes.T, features.items(), strict=True):
        plane = project(points, "umap")
        for axis, factor, names in zip(column, ("shape", "texture"), (SHAPES, TEXTURES), strict=True):
            for k, kind in enumerate(names):
                axis.plot(*plane[images[factor] == k].T, ".", markersize=2.5, label=kind)
            axis.set(xticks=[], yticks=[])
        column[0].set_title(name, fontsize="small")
    for row, factor in zip(axes, ("shape", "texture"), strict=True):
        row[0].set_ylabel(f"coloured by {factor}")
        row[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small", markerscale=4, frameon=False)
    figure.savefig(path, dpi=90)
    print(path)


def draw_nearest(features: Mapping[str, np.ndarray], images: Images, path: Path, *, queries: int = 6) -> None:
    """Draws images beside their five nearest images by content and by early Gram matrices of one network."""
    near = {}
    for name in ("shape encoder, content", "shape encoder, early Gram matrices"):
        near[name] = images["image"][nearest_images(features[name], 5)[0][:queries]]
    draw_neighbours(images["image"][:queries], near).savefig(path, dpi=75)
    print(path)


def main(
    seeds: int = 3,
    output: Path = Path("runs/content_style"),
    number: int = 3000,
    images: int = 1000,
    epochs: int | None = None,
    recording: Options = OFF,
) -> dict[str, Table]:
    """Trains both encoders with each seed, and prints what each space knows of shape and texture.

    Args:
        seeds: number of seeds of the drawn images, initialisation and order.
        output: directory of the runs and the pictures.
        number: number of training images.
        images: number of images on which the classifiers are fitted, and of those on which they are tested.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    rows = {name: [] for name in OWN}
    known, asked = draw(images, 1), draw(images, 2)
    for seed in range(seeds):
        networks = [train(factor, seed, output, number=number, epochs=epochs) for factor in ("shape", "texture")]
        fitted, tested = (spaces(*networks, each["image"]) for each in (known, asked))
        for name, own in OWN.items():
            row = tell(fitted[name], tested[name], known, asked)
            rows[name].append(row | {"own less other": disentangled(row, own)})
        if seed == 0:
            draw_planes(tested, asked, output / "content_style.png")
            draw_nearest(tested, asked, output / "neighbours.png")
    tables = {}
    for name, each in rows.items():
        tables[name] = {metric: np.array([row[metric] for row in each]) for metric in each[0]}
        show(f"drawn shapes with textures, {name}", tables[name], recording, group="features")
    return tables


if __name__ == "__main__":
    tyro.cli(main)
