"""Show a network's layers: cnnlab summary MODEL|RUN [--input 224 224 3] [--output figure.png] [--json]."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from cnnlab.anatomy import Summary, summary
from cnnlab.anatomy.text import as_text
from cnnlab.commands.common import AsJson, Misuse, Place, parse, print_json
from cnnlab.errors import unknown
from cnnlab.files.atomic import replacing
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Prints a row for each layer and the totals, and draws the blocks."""

    def command(
        network: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL|RUN")],
        /,
        input: tuple[int, int, int] | None = None,
        num_classes: int | None = None,
        output: Place = None,
        json: AsJson = False,
    ) -> tuple:
        """Show the layers of a network and the cost of one image.

        Kernel and stride are in pixels of the layer's input; Conv ÷8 has 8 groups of channels; field is the receptive
        field, the number of image pixels along one axis that influence a unit. For a run on signals whose rate is
        known, the largest field of a convolution is also given in seconds.

        Args:
            network: name of a model, or a run directory.
            input: height, width and channels of the input; by default those of the run or the usual ones of the model.
            num_classes: number of outputs of a model; by default its usual number.
            output: file (.png, .svg, .pdf) or directory for a figure of the blocks.
            json: print one JSON object.
        """
        return network, input, num_classes, output, json

    network, size, num_classes, output, as_json = parse(command, arguments, "summary")
    layers, rate = _summary(network, size, num_classes)
    samples = max((row.fields[1].size for row in layers.rows if row.kernel and row.fields[1]), default=None)
    seconds = None if samples is None or rate is None else samples / rate
    if as_json:
        print_json(layers.to_json() | ({} if seconds is None else {"field_seconds": seconds}))
    else:
        print(as_text(layers, width=_width()))
        if seconds is not None:
            print(f"field          {samples} samples of a convolution's unit: {seconds:.4g} s at {rate:g} Hz")
    if output:
        path = _draw(layers, Path(output))
        None if as_json else print(f"figure         {for_terminal(path)}")


def _summary(network: str, size: tuple[int, int, int] | None, num_classes: int | None) -> tuple[Summary, float | None]:
    """Summarises a model or the network of a run; with the sampling rate of the run's signals, if it is known."""
    from cnnlab.models import MODELS
    from cnnlab.training.restore import load_network

    if network in MODELS:
        return summary(network, size, num_classes=num_classes), None
    if not Path(network).exists():
        raise Misuse(str(unknown("model", network, MODELS, "There is no run with this name either.")))
    if num_classes is not None:
        raise Misuse(f"{network} is a run, whose classes are its own; leave --num-classes out")
    module, spec = load_network(network)
    return summary(module, spec.shape if size is None else size), spec.rate


def _width() -> int | None:
    """Returns the width of a file, 100 columns; None on a terminal, for its own width."""
    return None if sys.stdout.isatty() else 100


def _draw(layers: Summary, target: Path) -> Path:
    """Draws the blocks of a network and returns the path: the target, or NAME.png in it if it is a directory."""
    from cnnlab.anatomy.blocks import blocks
    from cnnlab.plots.architecture import architecture

    path = target if target.suffix in (".png", ".svg", ".pdf") else target / f"{layers.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{layers.name}: {layers.parameters:,} parameters, {layers.multiply_adds:,} multiply-adds"
    with replacing(path) as part:
        architecture(blocks(layers), title).savefig(part, format=path.suffix[1:])
    return path
