"""Dream: cnnlab dream RUN photo.jpg [--layer NAME] [--unit 3 | --target 4] [--octaves 4] [--output dream.png]."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import tyro

from cnnlab.commands.common import AsJson, Misuse, Run, parse, print_json


class Request(NamedTuple):
    """The arguments of `cnnlab dream`."""

    run: str
    photo: Path
    layer: str | None
    unit: int | None
    target: str | None
    octaves: int
    octave_scale: float
    steps: int
    step_size: float
    tile: int | None
    longest: int | None
    output: Path
    seed: int
    json: bool


def run(arguments: Sequence[str]) -> None:
    """Changes a photo so that it shows more of what the network sees in it, and writes it as a PNG file."""

    def command(
        run: Run,
        photo: tyro.conf.Positional[Path],
        /,
        layer: str | None = None,
        unit: int | None = None,
        target: str | None = None,
        octaves: int = 4,
        octave_scale: float = 1.4,
        steps: int = 10,
        step_size: float = 0.01,
        tile: int | None = None,
        longest: int | None = None,
        output: Path = Path("dream.png"),
        seed: int = 0,
        json: AsJson = False,
    ) -> Request:
        """Let a trained network dream on a photo: DeepDream.

        Args:
            run: run directory.
            photo: image file of any size.
            layer: layer whose response grows, such as conv2; by default the last one with spatial axes.
            unit: number of the layer's unit whose response grows, instead of that of the whole layer.
            target: class whose logit grows, by its name or number, instead of a layer.
            octaves: number of sizes, from the smallest to the photo's own.
            octave_scale: ratio of one size to the one before.
            steps: steps at each size.
            step_size: mean change of a pixel in a step, of values between 0 and 1.
            tile: side in pixels of the tiles that run through the network at a time; by default the size of the
                training images, or 256 for a network that predicts each pixel.
            longest: longest side in pixels to which a larger photo is reduced.
            output: PNG file of the result, which must not exist.
            seed: seed of the tiles' random shifts.
            json: print one JSON object.
        """
        return Request(
            run,
            photo,
            layer,
            unit,
            target,
            octaves,
            octave_scale,
            steps,
            step_size,
            tile,
            longest,
            output,
            seed,
            json,
        )

    _dream(parse(command, arguments, "dream"))


def _dream(request: Request) -> None:
    import cnnlab
    from cnnlab.explain.taps import find_layer
    from cnnlab.explain.targets import unit
    from cnnlab.features import dream
    from cnnlab.features.layers import check_units
    from cnnlab.files.images import read_header, read_pixels
    from cnnlab.files.png import PngImage, write_png
    from cnnlab.quoting import for_terminal

    if request.target is not None and (request.layer is not None or request.unit is not None):
        raise Misuse("--target is a class of the network; leave --layer and --unit out")
    if request.output.suffix.lower() != ".png":
        raise Misuse(f"--output must end with .png, found {request.output}")
    if request.output.exists():
        raise Misuse(f"{request.output} exists; choose another --output")
    if request.longest is not None and request.longest < 1:
        raise Misuse(f"--longest must be 1 or more pixels, found {request.longest}")
    trained = cnnlab.load(request.run)
    target = request.target
    if request.unit is not None:
        layer = find_layer(trained, request.layer)
        check_units([request.unit], layer.name, layer.shape[-1])
        target = unit(trained, layer.name, request.unit)
    size, _ = read_header(request.photo)
    shrink = min(1.0, (request.longest or max(size)) / max(size))
    size = tuple(max(1, round(side * shrink)) for side in size)
    photo = read_pixels(request.photo, size=size, channels=trained.spec.channels)
    result = dream(
        trained,
        photo,
        layer=None if target is not None else request.layer,
        target=target,
        octaves=request.octaves,
        octave_scale=request.octave_scale,
        steps=request.steps,
        step_size=request.step_size,
        tile=request.tile,
        seed=request.seed,
        quiet=False,
    )
    pixels = (255 * result).round().astype("uint8")
    request.output.parent.mkdir(parents=True, exist_ok=True)
    write_png(request.output, PngImage(pixels if pixels.shape[-1] == 3 else pixels[..., 0]))
    if request.json:
        print_json({"run": request.run, "photo": str(request.photo), "output": str(request.output), "size": list(size)})
    else:
        print(for_terminal(request.output))
