"""Which map of MNIST keeps most: PCA, t-SNE and UMAP of LeNet5's features and of the pixels.

    cnnlab data prepare mnist
    pip install "cnnlab[embed]"
    python experiments/embed_mnist.py [--output runs/embed_mnist] [--record]

LeNet5 is trained for three epochs. The maps are of the 10,000 test images. Of each map it prints the trustworthiness
for 12 neighbours, the leave-one-out accuracy of 10 neighbours in the space and in the plane, and the seconds, which for
UMAP include the compilation of its programs. Then it prints what is nearest to the mean of ten random images of a
class, and to such a mean less that of a second class plus that of a third, over all classes: how often the commonest
class is one of those that were added, and how sure that looks.
`OUTPUT/embed_mnist.png` shows the maps.
"""

import dataclasses
import itertools
import time
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab.embeddings import Space, extract, project
from cnnlab.embeddings.embed import Embedding, measured, quality_text
from cnnlab.embeddings.project import PROJECTIONS
from cnnlab.files.figures import save_figures
from cnnlab.plots.planes import draw_planes

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("lenet5"),
    data=cnnlab.Choice("mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=2e-3, schedule="cosine"),
    training=cnnlab.Training(epochs=3, batch_size=128),
)
MEMBERS = 10  # images of a mean


def main(
    output: Path = Path("runs/embed_mnist"),
    epochs: int | None = None,
    images: int = 10_000,
    methods: tuple[str, ...] = ("pca", "tsne", "umap"),
    recording: Options = OFF,
) -> dict[tuple[str, str], Table]:
    """Trains the network, maps its features and the pixels, and prints what each map keeps.

    Args:
        output: directory of the run and the figure.
        epochs: smaller number of epochs, for a test.
        images: number of test images.
        methods: projections.
        recording: whether the results are stored.
    """
    experiment = EXPERIMENT
    if epochs is not None:
        training = dataclasses.replace(experiment.training, epochs=epochs)
        experiment = dataclasses.replace(experiment, training=training)
    trained, data = cnnlab.train(experiment, output / "run"), cnnlab.data.load_data("mnist")
    test = cnnlab.data.Examples(data["test"][np.arange(min(images, len(data["test"])))])
    labels, classes = test.column("label"), data.spec.classes
    tables, planes, titles = {}, {}, {}
    for name, layer in (("features", None), ("pixels", "pixels")):
        features = extract(trained, test, layer=layer)
        for method in methods:
            embedding, seconds = timed(features, method, labels)
            tables[name, method] = {
                "trustworthiness": embedding.quality[method]["trustworthiness"],
                "neighbours' accuracy in the plane": embedding.quality[method]["knn_accuracy"],
                "neighbours' accuracy in the space": embedding.knn_accuracy,
            }
            print(f"{method} of {name}: {seconds:.1f} s")
            show(f"MNIST, {method} of {name}", tables[name, method], recording, group="features")
            planes[f"{method} of {name}"] = embedding.plane
            scores = quality_text(embedding.quality[method])
            titles[f"{method} of {name}"] = f"{PROJECTIONS[method].title} of {name}\n{scores}"
        space = Space(features, labels=[classes[k] for k in labels])
        tables[name, "arithmetic"] = arithmetic(space, labels)
        show(f"MNIST, sums of {name}", tables[name, "arithmetic"], recording, group="features")
    save_figures({"embed_mnist": draw_planes(planes, labels, classes, titles=titles)}, output)
    print(output / "embed_mnist.png")
    return tables


def timed(features: np.ndarray, method: str, labels: np.ndarray) -> tuple[Embedding, float]:
    """Returns the embedding by a projection and the seconds of the projection."""
    started = time.perf_counter()
    plane = project(features, method)
    seconds = time.perf_counter() - started
    return measured(features, {method: plane}, labels=labels), seconds


def arithmetic(space: Space, labels: np.ndarray) -> dict[str, float]:
    """Computes what means of a class, and a - b + c of three means, retrieve: how often a or c, and how sure it looks.

    Args:
      space: the images.
      labels: `[N]`, their classes.
    """
    rng = np.random.default_rng(0)
    tens = [rng.choice(np.flatnonzero(labels == k), MEMBERS, replace=False).tolist() for k in np.unique(labels)]
    sums, means = [], []
    for a, b, c in itertools.permutations(range(len(tens)), 3):
        if a < c:  # a - b + c is c - b + a
            found = space.combine([tens[a], tens[c]], [tens[b]])
            sums.append(
                (found.label in (space.labels[tens[a][0]], space.labels[tens[c][0]]), found.share, found.typicality)
            )
    for members in tens:
        found = space.nearest(members)
        means.append((found.label == space.labels[members[0]], found.share, found.typicality))
    names = ("right", "share of the commonest class", "typicality")
    of_means = {f"mean of 10: {name}": value for name, value in zip(names, np.mean(means, 0), strict=True)}
    return of_means | {f"a - b + c: {name}": value for name, value in zip(names, np.mean(sums, 0), strict=True)}


if __name__ == "__main__":
    tyro.cli(main)
