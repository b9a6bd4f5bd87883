"""Classical filters on a photo: blurs, derivatives, edges, emboss and sharpen in one figure.

    python experiments/classical_filters.py [PHOTO] [--output runs/classical_filters.png]

The default photo is scikit-learn's flower. Blurs, emboss and sharpen work on the colours. Sobel's derivatives and the
edges are computed from the brightness, and 0 is drawn grey. The script measures nothing.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageOps

from cnnlab.files.images import read_pixels
from cnnlab.ops import apply_filter, filters
from cnnlab.plots.canvas import new_figure

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # brightness of red, green, blue; Rec. 601


def load_photo(path: Path | None, *, longest: int = 480) -> np.ndarray:
    """Reads a photo as `[H, W, 3]` float32 in [0, 1], small enough to show single pixels.

    Args:
      path: image file; scikit-learn's flower if left out.
      longest: largest length of the longer side in pixels.
    """
    if path is None:
        from sklearn.datasets import load_sample_image

        image = Image.fromarray(load_sample_image("flower.jpg"))
    else:
        with Image.open(path) as file:
            width, height = ImageOps.exif_transpose(file).size
        image = Image.fromarray(read_pixels(path, size=(height, width), channels=3))
    image.thumbnail((longest, longest))
    return np.asarray(image, np.float32) / 255


def panels(photo: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the photo and its filtered versions by title: `[H, W, 3]`, or signed `[H, W]`."""
    brightness = (photo @ LUMA)[..., None]
    blurs = {"box blur, 11×11": filters.box(11), "Gaussian, σ = 3": filters.gaussian(19, 3.0)}
    images = {"photo": photo} | {title: apply_filter(photo, kernel) for title, kernel in blurs.items()}
    images["sharpen"] = apply_filter(photo, "sharpen")
    images["emboss"] = apply_filter(photo, "emboss")
    titles = {"sobel_x": "Sobel x", "sobel_y": "Sobel y", "edge": "edge, 8 neighbours"}
    images |= {title: apply_filter(brightness, name)[..., 0] for name, title in titles.items()}
    return {title: np.asarray(image) for title, image in images.items()}


def main(
    photo: Annotated[Path | None, tyro.conf.Positional] = None, output: Path = Path("runs/classical_filters.png")
) -> Path:
    """Draws the photo and its filtered versions.

    Args:
        photo: image file; scikit-learn's flower if left out.
        output: PNG file of the figure.
    """
    images = panels(load_photo(photo))
    height, width = images["photo"].shape[:2]
    figure, axes = new_figure(2, 4, size=(16, 8 * height / width + 0.6))
    for axis, (title, image) in zip(axes.flat, images.items(), strict=True):
        if image.ndim == 2:  # a few strong edges would turn the rest grey
            reach = np.percentile(abs(image), 98) or 1
            axis.imshow(image, cmap="gray", vmin=-reach, vmax=reach)
        else:
            axis.imshow(image.clip(0, 1))
        axis.set_title(title)
        axis.set_axis_off()
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output)
    print(output)
    return output


if __name__ == "__main__":
    tyro.cli(main)
