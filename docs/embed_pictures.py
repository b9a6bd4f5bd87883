"""Draws the pictures of docs/embeddings.md: python docs/embed_pictures.py FOLDER.

FOLDER is the output of `experiments/embed_mnist.py --images 2000`, whose maps are made smaller. The neighbours are what
`cnnlab embed` draws for a sum of images of the test split.
"""

import tempfile
from pathlib import Path

import tyro
from PIL import Image

from cnnlab.cli import main as cnnlab


def main(
    folder: tyro.conf.Positional[Path],
    /,
    output: Path = Path(__file__).parent,
    numbers: tuple[int, int, int] = (17, 3, 5),
    width: int = 1200,
) -> None:
    """Draws the maps, and the images nearest to one image plus another less a third.

    Args:
        folder: output of the experiment.
        output: folder of the pictures.
        numbers: numbers of three images of the test split.
        width: width of the maps in pixels; that of the neighbours is two thirds of it.
    """
    near, plus, minus = map(str, numbers)
    with tempfile.TemporaryDirectory() as place:
        file = str(Path(place, "near.png"))
        query = ["--near", near, "--plus", plus, "--minus", minus, "--nearest", "7"]
        cnnlab(["embed", str(folder / "run"), *query, "--output", file])
        shrink(Path(file), output / "embed_near.png", 2 * width // 3)
    shrink(folder / "embed_mnist.png", output / "embeddings.png", width)


def shrink(source: Path, target: Path, width: int) -> None:
    """Writes a picture of this width."""
    picture = Image.open(source).convert("RGB")
    size = (width, round(width * picture.height / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    tyro.cli(main)
