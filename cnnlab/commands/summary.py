"""Show a network's layers: cnnlab summary MODEL|RUN [--input 224 224 3] [--output picture.png] [--json]."""

import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.anatomy import Row, Summary, summary
from cnnlab.commands.common import AsJson, Misuse, parse, print_json
from cnnlab.errors import unknown
from cnnlab.files.atomic import replacing
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Prints a row a layer and the totals; draws the blocks."""

    def command(
        network: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL|RUN")],
        /,
        input: tuple[int, int, int] | None = None,
        num_classes: int | None = None,
        output: str | None = None,
        json: AsJson = False,
    ) -> tuple:
        """Show what a network is made of, layer by layer, and what it costs for one image.

        Kernel and stride are in units of the layer's input; Conv ÷8 is one in 8 groups of channels; field is the
        receptive field, the pixels of the image along one axis that a unit depends on.

        Args:
            network: a model's name, or a run directory.
            input: height, width and channels; the run's own or the model's usual ones if left out.
            num_classes: outputs of a model; its usual ones if left out.
            output: a picture of the blocks: a file (.png, .svg, .pdf) or a directory.
            json: print one JSON object.
        """
        return network, input, num_classes, output, json

    network, size, num_classes, output, as_json = parse(command, arguments, "summary")
    found = _summary(network, size, num_classes)
    print_json(found.to_json()) if as_json else _print(found)
    if output:
        path = _draw(found, Path(output))
        None if as_json else print(f"picture        {path}")


def _summary(network: str, size: tuple[int, int, int] | None, num_classes: int | None) -> Summary:
    from cnnlab.models import MODELS
    from cnnlab.training.restore import load_network

    if network in MODELS:
        return summary(network, size, num_classes=num_classes)
    if not Path(network).exists():
        raise Misuse(str(unknown("model", network, MODELS, "Nor is there a run of that name.")))
    if num_classes is not None:
        raise Misuse(f"{network} is a run, whose classes are its own; leave --num-classes out")
    module, spec = load_network(network)
    return summary(module, spec.shape if size is None else size)


def _print(found: Summary) -> None:
    """The table, 100 columns wide where the terminal does not say otherwise, and the totals."""
    out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 100)
    title = f"{found.name}: {_times(found.input)} to {_times(found.output)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    for name in ("output", "kernel", "stride", "parameters", "multiply-adds", "field"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(*_cells(row))
    out.print(table)
    totals = {
        "parameters": f"{found.parameters:,}",
        "statistics": f"{found.statistics:,}  moving averages of normalisations",
        "multiply-adds": f"{found.multiply_adds:,}  of convolutions and matrix products, padding included",
        "  by XLA": _by_xla(found),
        "activations": f"{found.bytes / 2**20:,.2f} MiB  all outputs above, of one image",
    }
    out.print()
    for name, text in totals.items():
        out.print(f"{name:14} {text}", soft_wrap=True)


def _by_xla(found: Summary) -> str:
    """XLA's count, and its share of the field's count."""
    if found.xla_multiply_adds is None:
        return "unknown  (add cpu to JAX_PLATFORMS: XLA's CPU backend counts)"
    share = found.xla_multiply_adds / (found.multiply_adds or 1)
    return f"{found.xla_multiply_adds:,}  of the same, padding left out: {share:.3f} of it"


def _draw(found: Summary, target: Path) -> Path:
    """The picture's file: the target, or NAME.png in it where it is no picture's name."""
    from cnnlab.anatomy.blocks import blocks
    from cnnlab.plots.architecture import architecture

    path = target if target.suffix in (".png", ".svg", ".pdf") else target / f"{found.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    title = f"{found.name}: {found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds"
    with replacing(path) as part:
        architecture(blocks(found), title).savefig(part, format=path.suffix[1:])
    return path


def _cells(row: Row) -> tuple[str, ...]:
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
    """`28×28×6`."""
    return "×".join(map(str, numbers))


def _once(numbers: Sequence[int | str | Fraction]) -> str:
    """Height and width, told once where they are equal."""
    return _times(numbers[:1] if len(set(numbers)) == 1 else numbers)
