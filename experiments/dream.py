"""DeepDream on a photo, and what the units see: through a network trained on street scenes, or published weights.

    python experiments/dream.py --photo FILE --camvid DIR [--layers down2 down3] [--output runs/dream] [--record]
    python experiments/dream.py --photo FILE --run RUN                       # a run that is there
    python experiments/dream.py --photo FILE --weights resnet18.safetensors --model resnet18 --layers stage2_block2

The network of `--camvid` is the U-Net of camvid_bayesian.py, with ten convolutions on its way down, trained on CamVid.
`--weights` is a state dict that torchvision publishes.

`OUTPUT/LAYER.png` is the photo after the dream of a layer, `OUTPUT/dreams.png` shows them side by side, and
`OUTPUT/units.png` shows for the first units of a layer the image that excites each of them most.

`growth` is the mean square of the layer for the dreamt photo, divided by that for the photo. `fires` is the share of
units of which feature visualisation from noise finds an image with a positive mean.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import tyro
from camvid_bayesian import EXPERIMENT
from PIL import Image
from results import OFF, Options
from study import show

import cnnlab
from cnnlab.data.spec import NORMALISATIONS
from cnnlab.features import dream, visualise
from cnnlab.files.images import read_header, read_pixels
from cnnlab.plots.canvas import new_figure
from cnnlab.plots.canvas import show as show_image


def main(
    photo: Path,
    run: Path | None = None,
    camvid: Path | None = None,
    weights: Path | None = None,
    model: str = "resnet18",
    layers: tuple[str, ...] = ("down2", "down3", "down4"),
    units_of: str = "down3/conv2/norm",
    units: int = 48,
    longest: int = 512,
    side: int = 96,
    octaves: int = 4,
    steps: int = 10,
    step_size: float = 0.01,
    unit_steps: int = 256,
    epochs: int | None = None,
    width: int = 16,
    output: Path = Path("runs/dream"),
    recording: Options = OFF,
) -> dict[str, float]:
    """Draws the dreams of some layers and the images of some units.

    Args:
        photo: image file.
        run: run of a network with three channels.
        camvid: directory of CamVid, to train the network.
        weights: state dict of `model`, such as resnet18.safetensors.
        model: network of these weights.
        layers: layers that dream.
        units_of: layer whose units are visualised.
        units: number of units that are visualised.
        longest: longest side of the photo in pixels.
        side: height and width of the visualised images, for a network of any size.
        octaves: number of sizes of a dream.
        steps: steps of a dream at each size.
        step_size: mean change of a value in a step.
        unit_steps: steps of the visualised images.
        epochs: smaller number of epochs, for a test.
        width: channels of the network's first block.
        output: folder of the run and the pictures.
        recording: whether the results are stored.
    """
    trained = network(run, camvid, weights, model, output / "camvid", epochs=epochs, width=width)
    output.mkdir(parents=True, exist_ok=True)
    image = read_photo(photo, longest)
    dreams, table = {}, {}
    for layer in layers:
        options = {"octaves": octaves, "steps": steps, "step_size": step_size, "quiet": False}
        dreams[layer] = dream(trained, image, layer=layer, **options)
        Image.fromarray(as_bytes(dreams[layer])).save(output / f"{layer.replace('/', '_')}.png")
        before, after = (response(trained, each, layer) for each in (image / np.float32(255), dreams[layer]))
        table[f"growth {layer}"] = after / before
    draw(image, dreams).savefig(output / "dreams.png")
    size = side if trained.any_size else None
    number = min(units, cnnlab.explain.taps.find_layer(trained, units_of).shape[-1])
    seen = visualise(trained, layer=units_of, units=range(number), size=size, steps=unit_steps, quiet=False)
    Image.fromarray(sheet(seen.images)).save(output / "units.png")
    table[f"fires {units_of}"] = float(seen.fires.mean())
    show(f"dreams of {photo.stem}, {type(trained.network).__name__}", table, recording, group="explanations")
    print(output / "dreams.png", output / "units.png", sep="\n")
    return table


def network(
    run: Path | None,
    camvid: Path | None,
    weights: Path | None,
    model: str,
    directory: Path,
    *,
    epochs: int | None,
    width: int,
) -> cnnlab.Trained:
    """Returns the network of a run, of published weights, or one that is trained on CamVid first."""
    if sum(source is not None for source in (run, camvid, weights)) != 1:
        raise ValueError("give one of --run, --camvid and --weights")
    if run is not None:
        return cnnlab.load(run)
    if weights is not None:
        module, variables = cnnlab.models.import_torch(model, weights)
        (mean, std), usual = NORMALISATIONS[cnnlab.models.MODELS[model].weights.normalisation], (224, 224)
        classes = tuple(map(str, range(variables["params"]["dense"]["bias"].size)))
        spec = cnnlab.InputSpec(usual, 3, mean=mean, std=std, classes=classes)
        return cnnlab.Trained(variables, module, cnnlab.tasks.Classification(), spec)
    training = dataclasses.replace(EXPERIMENT.training, epochs=epochs or EXPERIMENT.training.epochs)
    data = cnnlab.Choice("camvid", path=str(camvid.resolve()))
    chosen = {"model": EXPERIMENT.model.replace(width=width), "data": data, "training": training}
    return cnnlab.train(dataclasses.replace(EXPERIMENT, **chosen), directory)


def read_photo(path: Path, longest: int) -> np.ndarray:
    """Reads a photo in colour, `[H, W, 3]` uint8, reduced to a longest side."""
    size, _ = read_header(path)
    return read_pixels(path, size=[round(side * min(1, longest / max(size))) for side in size], channels=3)


def response(trained: cnnlab.Trained, image: np.ndarray, layer: str) -> float:
    """Returns the mean square of a layer for the middle of an image."""
    if not trained.any_size:
        (h, w), (top, left) = (
            trained.spec.size,
            [max(0, (have - need) // 2) for have, need in zip(image.shape, trained.spec.size, strict=False)],
        )
        image = np.asarray(jax.image.resize(image[top : top + h, left : left + w], (h, w, 3), "bilinear"))
    return float((cnnlab.activations(trained, image[None], [layer])[layer] ** 2).mean())


def draw(image: np.ndarray, dreams: dict[str, np.ndarray]):
    """Draws the photo and its dreams."""
    shape = image.shape[0] / image.shape[1]
    figure, axes = new_figure(1, 1 + len(dreams), size=(3.2 * (1 + len(dreams)), 3.2 * shape + 0.3))
    for axis, (name, each) in zip(axes.flat, {"photo": image, **dreams}.items(), strict=True):
        show_image(axis, each)
        axis.set_title(name, fontsize=9)
    return figure


def sheet(images: Sequence[np.ndarray], columns: int = 12, gap: int = 3) -> np.ndarray:
    """Returns images `[n, H, W, C]` side by side on white, uint8."""
    n, h, w, c = np.shape(images)
    rows, columns = -(-n // columns), min(columns, n)
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, c), 255, np.uint8)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        out[row * (h + gap) :, column * (w + gap) :][:h, :w] = as_bytes(image)
    return out


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Returns an image in [0, 1] as uint8."""
    return (255 * image).round().astype(np.uint8)


if __name__ == "__main__":
    tyro.cli(main)
