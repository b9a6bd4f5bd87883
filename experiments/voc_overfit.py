r"""Pascal VOC's setting, 20 classes at 448 x 448, learnt by heart from 20 photos.

    python experiments/voc_overfit.py --voc DIR [--annotations gts/pascalvoc_format] [--photos images] [--record]

The same photos are trained on and scored. So the script tests the whole path from VOC's XML through letterbox, targets,
loss, decoding and suppression to mAP, and does not measure generalisation. DIR is any folder of VOC annotations, such
as VOCdevkit/VOC2007 (then without --annotations and --photos). All of VOC with the network of the paper:

    cnnlab train --data.path VOCdevkit/VOC2007 --data.size 448 --task.name detection --model.name yolo --model.norm

The same by TFDS, which downloads it. To prepare it once needs TensorFlow. To read it back does not, but takes 6 GB of
memory. TFDS counts VOC's corners from 1, so boxes begin one pixel further right and further down:

    pip install "cnnlab[tf]"
    python -c "import tensorflow_datasets as tfds; tfds.builder('voc/2007') \
        .download_and_prepare(file_format='array_record')"
    cnnlab train --data.name voc/2007 --data.size 448 --data.memory-megabytes 6000 \
        --task.name detection --model.name yolo --model.norm

The goal is a map50 of .95 or more on the first 20 training photos of github.com/rafaelpadilla/
review_object_detection_metrics' VOC photos. The network reaches it long before its last epoch.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tyro
from results import OFF, Options
from study import show

import cnnlab
from cnnlab.data import Dataset, Examples

EXPERIMENT = cnnlab.Experiment(
    model=cnnlab.Choice("yolo_small", spatial_dropout=0.0),
    task=cnnlab.Choice("detection", kind="anchors"),
    optimizer=cnnlab.Optimizer(name="adamw", learning_rate=1e-3, schedule="cosine", warmup_steps=20, clip=10.0),
    training=cnnlab.Training(epochs=200, batch_size=10, evaluation_batch_size=10),
)


def first_photos(data: Dataset, number: int) -> Dataset:
    """Returns the first training photos as every split."""
    few = Examples(data["train"][np.arange(number)])
    return dataclasses.replace(data, name=f"{data.name}-{number}", splits=dict.fromkeys(data.splits, few))


def main(
    voc: Path,
    annotations: str | None = None,
    photos: str | None = None,
    number: int = 20,
    size: int = 448,
    width: int = 32,
    epochs: int | None = None,
    runs: Path = Path("runs/voc_overfit"),
    recording: Options = OFF,
) -> dict[str, float]:
    """Trains on a few photos and prints the scores of the same photos.

    Args:
        voc: folder of annotations and photos.
        annotations: folder of XML files within it, if it is not Annotations.
        photos: folder of photos within it, if it is not JPEGImages.
        number: number of photos.
        size: height and width of the letterbox in pixels.
        width: channels of the network's first stage.
        epochs: smaller number of epochs, for a test.
        runs: folder of the run directory.
        recording: whether the results are stored.
    """
    data = first_photos(cnnlab.data.boxes(str(voc), size=size, annotations=annotations, photos=photos), number)
    training = dataclasses.replace(EXPERIMENT.training, batch_size=min(EXPERIMENT.training.batch_size, number))
    training = training if epochs is None else dataclasses.replace(training, epochs=epochs)
    experiment = dataclasses.replace(EXPERIMENT, model=EXPERIMENT.model.replace(width=width), training=training)
    trained = cnnlab.train(experiment, runs / "run", data=data)
    report = cnnlab.evaluate(trained, data, split="train", figures=runs / "figures")
    show(f"VOC, {number} photos learnt by heart", report, recording, group="detection")
    return report


if __name__ == "__main__":
    tyro.cli(main)
