"""Draws the pictures of docs/explanations.md: python docs/explain_pictures.py DIGITS CELLS SHAPES.

DIGITS is a run of `experiments/mnist_explain.py`, CELLS one of `experiments/cells_explain.py`, and SHAPES one of
`cnnlab train shapes-segmentation`. Each picture is what `cnnlab explain` writes for one image of the test split.
"""

import tempfile
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from cnnlab.cli import main as cnnlab
from cnnlab.training.restore import load_data


def main(
    digits: tyro.conf.Positional[Path],
    cells: tyro.conf.Positional[Path],
    shapes: tyro.conf.Positional[Path],
    /,
    output: Path = Path(__file__).parent,
    places: tuple[int, int, int] = (359, 6, 0),
    width: int = 900,
) -> None:
    """Explains a digit, the boxes of a photo of cells, and the outline of a shape.

    Args:
        digits: run directory.
        cells: run directory.
        shapes: run directory.
        output: folder of the pictures.
        places: the place of each image in the test split of its run.
        width: width of the pictures in pixels.
    """
    runs = {"digit": (digits, ()), "cells": (cells, ("--method", "occlusion")), "shape": (shapes, ())}
    for (name, (run, options)), place in zip(runs.items(), places, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{name}.png")
            pixels = load_data(run)["test"][np.array([place])]["image"][0]
            Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(file)
            cnnlab(["explain", str(run), str(file), "--output", folder + "/out", *options])
            picture = Image.open(Path(folder, "out", file.name)).convert("RGB")
            size = (width, round(width * picture.height / picture.width))
            small = picture.resize(size, Image.Resampling.LANCZOS).quantize(256)
            small.save(output / f"explain_{name}.png", optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
