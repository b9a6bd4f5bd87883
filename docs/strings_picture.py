"""Draws docs/strings.png: python docs/strings_picture.py RUN, where RUN is a run of `experiments/mnist_strings.py`.

The picture shows what `cnnlab predict` draws for some strips of the test split, one below the other.
"""

from pathlib import Path

import numpy as np
import tyro
from PIL import Image

import cnnlab
from cnnlab.files.photo import Photo
from cnnlab.predictions.predict import predict_images
from cnnlab.training.restore import load_data


def main(
    run: tyro.conf.Positional[Path],
    /,
    output: Path = Path(__file__).parent / "strings.png",
    places: tuple[int, ...] = (0, 1, 2, 3),
) -> None:
    """Reads test strips of a run and stores their drawings.

    Args:
        run: run directory.
        output: file of the picture.
        places: places of the strips in the test split.
    """
    trained, strips = cnnlab.load(run), load_data(run)["test"].column("image")[list(places)]
    drawings = []
    for strip, prediction in zip(strips, predict_images(trained, strips, batch_size=len(strips)), strict=True):
        photo = Photo(Path("strip.png"), frame=np.repeat(strip, 3, -1))
        drawings.append(trained.task.draw(prediction, trained.spec, photo)["reading"].pixels)
    Image.fromarray(np.concatenate(drawings)).save(output, optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
