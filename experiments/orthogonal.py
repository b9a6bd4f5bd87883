"""What orthogonal convolutions change on Fashion-MNIST, for a small network and a narrow ResNet-18.

    cnnlab data prepare fashion_mnist
    python experiments/orthogonal.py [--seeds 3] [--weights 0 0.1] [--output runs/orthogonal] [--record]

Each network learns 2,000 training images with each weight of the penalty (`--training.orthogonality`), and is measured
on all test images. The ResNet-18 has 8 channels in its first stage and a 3x3 stem. `similarity` is the mean absolute
cosine between the filters of a convolution. The singular values are those of each convolution as a linear map; `spread`
is their standard deviation divided by their mean. All three are means over the convolutions.
`OUTPUT/orthogonality.png` shows the singular values of one convolution of each network.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab import features
from cnnlab.plots.canvas import new_figure
from cnnlab.training.loop import train_plan
from cnnlab.training.plan import make_plan

NETWORKS = {
    "small network": cnnlab.Choice("convnet", stages=((16,), (24, 24), (32, 32))),
    "ResNet-18, width 8": cnnlab.Choice("resnet18", width=8, stem="small"),
}
SHOWN = {"small network": "stage2_conv2", "ResNet-18, width 8": "stage2_block1/conv2/conv"}
EXPERIMENT = cnnlab.Experiment(
    data=cnnlab.Choice("fashion_mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=5e-3, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(epochs=6, batch_size=64),
)


def first(dataset: cnnlab.data.Dataset, number: int) -> cnnlab.data.Dataset:
    """Returns the dataset with its first `number` training images, and a quarter as many validation images."""
    sizes = {"train": number, "validation": number // 4}
    few = {
        split: cnnlab.data.Examples(dataset[split][np.arange(min(size, len(dataset[split])))])
        for split, size in sizes.items()
    }
    return dataclasses.replace(dataset, name=f"{dataset.name}-{number}", splits={**dataset.splits, **few})


def measure(trained: cnnlab.Trained, dataset: cnnlab.data.Dataset) -> dict[str, float]:
    """Returns the scores on the test images, and the means over the convolutions."""
    report = cnnlab.evaluate(trained, dataset)
    values = features.singular_values(trained).values()
    return {name: report[name] for name in ("accuracy", "nll", "ece", "ece_floor")} | {
        "similarity": float(np.mean(list(features.filter_similarity(trained).values()))),
        "largest singular value": float(np.mean([each[0] for each in values])),
        "spread of singular values": float(np.mean([each.std() / each.mean() for each in values])),
    }


def draw(curves: dict[str, dict[float, np.ndarray]], path: Path) -> None:
    """Draws the singular values of a convolution, one panel a network and one line a weight."""
    figure, axes = new_figure(1, len(curves), size=(4.5 * len(curves), 3))
    for axis, (name, lines) in zip(axes[0], curves.items(), strict=True):
        for weight, values in lines.items():
            axis.plot(np.linspace(0, 1, len(values)), values, label=f"weight {weight:g}")
        axis.axhline(1, color="grey", linewidth=0.8, linestyle="--")
        axis.set(title=f"{name}, {SHOWN[name]}", xlabel="rank, of all", ylabel="singular value", ylim=(0, None))
        axis.title.set_fontsize("medium")
        axis.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    print(path)


def main(
    seeds: int = 3,
    weights: Sequence[float] = (0.0, 0.1),
    output: Path = Path("runs/orthogonal"),
    number: int = 2000,
    epochs: int | None = None,
    recording: Options = OFF,
) -> dict[tuple[str, float], Table]:
    """Trains both networks with each weight and prints the scores.

    Args:
        seeds: number of seeds of initialisation and order.
        weights: weights of the penalty.
        output: directory of the runs and the figure.
        number: number of training images.
        epochs: smaller number of epochs, for a test.
        recording: whether the results are stored.
    """
    dataset = first(cnnlab.data.load_data("fashion_mnist"), number)
    tables, curves = {}, {name: {} for name in NETWORKS}
    for name, model in NETWORKS.items():
        for weight in weights:
            rows = []
            for seed in range(seeds):
                settings = {"orthogonality": weight, "epochs": epochs or EXPERIMENT.training.epochs}
                training = dataclasses.replace(EXPERIMENT.training, **settings)
                experiment = dataclasses.replace(EXPERIMENT, model=model, training=training, seed=seed)
                run = output / model.name / f"{weight:g}" / f"seed{seed}"
                trained = train_plan(make_plan(experiment, data=dataset), run)
                rows.append(measure(trained, dataset))
                if seed == 0:
                    curves[name][weight] = features.singular_values(trained, SHOWN[name])[SHOWN[name]]
            tables[name, weight] = {metric: np.array([row[metric] for row in rows]) for metric in rows[0]}
            title = f"Fashion-MNIST, {len(dataset['train']):,} images, {name}, orthogonality {weight:g}"
            show(title, tables[name, weight], recording, group="features")
    draw(curves, output / "orthogonality.png")
    return tables


if __name__ == "__main__":
    tyro.cli(main)
