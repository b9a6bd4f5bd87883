"""Show a network's layers: cnnlab summary MODEL|RUN [--input 224 224 3] [--output figure.png] [--json]."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.anatomy import Row, Summary, summary
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
        field, the number of image pixels along one axis that influence a unit.

        Args:
            network: name of a model, or a run directory.
            input: height, width and channels of the input; by default those of the run or the usual ones of the model.
            num_classes: number of outputs of a model; by default its usual number.
            output: file (.png, .svg, .pdf) or directory for a figure of the blocks.
            json: print one JSON object.
        """
        return network, input, num_classes, output, json

    network, size, num_classes, output, as_json = parse(command, arguments, "summary")
    layers = _summary(network, size, num_classes)
    print_json(layers.to_json()) if as_json else _print(layers)
    if output:
        path = _draw(layers, Path(output))
        None if as_json else print(f"figure         {for_terminal(path)}")


def _summary(network: str, size: tuple[int, int, int] | None, num_classes: int | None) -> Summary:
    """Summarises a model or the network of a run."""
    from cnnlab.models import MODELS
    from cnnlab.training.restore import load_network

    if network in MODELS:
        return summary(network, size, num_classes=num_classes)
    if not Path(network).exists():
        raise Misuse(str(unknown("model", network, MODELS, "There is no run with this name either.")))
    if num_classes is not None:
        raise Misuse(f"{network} is a run, whose classes are its own; leave --num-classes out")
    module, spec = load_network(network)
    return summary(module, spec.shape if size is None else size)


def _print(layers: Summary) -> None:
    """Prints the table, as wide as the terminal or 100 columns, and the totals."""
    out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 100)
    title = f"{layers.name}: {_times(layers.input)} to {_times(layers.output)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    for name in ("output", "kernel", "stride", "parameters", "multiply-adds", "field"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in layers.rows:
        table.add_row(*_cells(row))
    out.print(table)
    totals = {
        "parameters": f"{layers.parameters:,}",
        "statistics": f"{layers.statistics:,}  moving averages of normalisations",
        "multiply-adds": f"{layers.multiply_adds:,}  of convolutions and matrix products, padding included",
        "  by XLA": _by_xla(layers),
        "activations": f"{layers.bytes / 2**20:,.2f} MiB  all outputs above, of one image",
    }
    out.print()
    for name, text in totals.items():
        out.print(f"{name:14} {text}", soft_wrap=True)


def _by_xla(layers: Summary) -> str:
    """Formats XLA's count with its share of the field's count."""
    if layers.xla_multiply_adds is None:
        return "unknown  (add cpu to JAX_PLATFORMS: XLA's CPU backend counts)"
    share = layers.xla_multiply_adds / (layers.multiply_adds or 1)
    return f"{layers.xla_multiply_adds:,}  of the same, padding left out: {share:.3f} of it"


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


def _cells(row: Row) -> tuple[str, ...]:
    """Formats the cells of a row."""
    sizes = ["all" if row.sees_all else str(field.size) if field else "-" for field in row.fields]
    return (
        for_terminal(row.name),
        row.kind if row.groups == 1 else f"{row.kind} ÷{row.groups}",
        _times(row.shape),
        _times(row.kernel),
        _once(row.stride),
        f"{row.parameters:,}" if row.parameters else "",
        f"{row.multiply_adds:,}" if row.multiply_adds else "",
        _once(sizes) if row.kind != "unused" else "",
    )


def _times(numbers: Sequence[int | str | Fraction]) -> str:
    """Formats numbers as `28×28×6`."""
    return "×".join(map(str, numbers))


def _once(numbers: Sequence[int | str | Fraction]) -> str:
    """Formats height and width, as one number if they are equal."""
    return _times(numbers[:1] if len(set(numbers)) == 1 else numbers)
