"""What a network learnt on Fashion-MNIST: filters, top patches, patterns and made images of each layer.

    cnnlab data prepare fashion_mnist
    python experiments/fashion_features.py [--output runs/fashion_features] [--record]

The network has five convolutions of 3x3 pixels with batch norm. The sheets show its filters before and after training,
and for each unit the nine patches of the test images that excite it most, at most one an image, what in them excites it
(Zeiler and Fergus 2014), and an image that is made for it, with the share of test images whose mean activation this
image exceeds.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import Table, show

import cnnlab
from cnnlab import features
from cnnlab.commands import features as command
from cnnlab.features.layers import convolutions
from cnnlab.training.initial import load_initial

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("convnet", stages=((16,), (24, 24), (32, 32))),
    data=cnnlab.Choice("fashion_mnist"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=5e-3, schedule="cosine", weight_decay=0.02),
    training=cnnlab.Training(epochs=4, batch_size=128),
)


def main(
    output: Path = Path("runs/fashion_features"),
    epochs: int | None = None,
    units: int = 12,
    recording: Options = OFF,
) -> dict[str, Table]:
    """Trains the network, draws the sheets of all its convolutions, and tabulates each layer.

    Args:
        output: directory of the run and the sheets.
        epochs: smaller number of epochs, for a test.
        units: largest number of units of a layer on the sheets.
        recording: whether the results are stored.
    """
    experiment = EXPERIMENT
    if epochs is not None:
        training = dataclasses.replace(experiment.training, epochs=epochs)
        experiment = dataclasses.replace(experiment, training=training)
    run = output / "run"
    trained, before = cnnlab.train(experiment, run), load_initial(run)
    layers = convolutions(trained)
    names = [layer.maps for layer in layers]
    command.run([str(run), "--layer", *names, "--most", str(units), "--output", str(output)])
    data = cnnlab.data.load_data("fashion_mnist")
    found = features.top_patches_by_layer(trained, data, names)
    tables = {}
    for layer in layers:
        best = found[layer.maps]
        made = features.visualise(trained, layer=layer.maps, seed=0)
        shares = [best.percentile(int(u), float(a)) for u, a in zip(made.units, made.activation, strict=True)]
        tables[layer.name] = {
            "units": len(best.fires),
            "units that never fire": len(best.dead),
            "filter similarity": features.filter_similarity(trained, layer.name)[layer.name],
            "change in training": features.filter_change(before, trained, layer.name)[layer.name],
            "images below the made one (%, median of units)": float(np.median(shares)),
        }
        show(f"Fashion-MNIST, {layer.name}", tables[layer.name], recording, group="features")
    return tables


if __name__ == "__main__":
    tyro.cli(main)
