"""The summary of a network as text: a table of its layers, and the totals."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from rich.console import Console
from rich.table import Table

from cnnlab.quoting import for_terminal

COLUMNS = ("layer", "kind", "output", "kernel", "stride", "parameters", "multiply-adds", "field")
"""The columns of the table of layers."""


def as_text(layers: Any, *, width: int | None = 100) -> str:
    """Returns the table of a network and its totals as text.

    Args:
      layers: `Summary` of the network, whose `str` this is.
      width: number of columns; None for the width of the terminal.
    """
    text = io.StringIO()
    out = Console(
        file=text, width=width, force_terminal=False, force_jupyter=False, highlight=False, markup=False, emoji=False
    )
    title = f"{layers.name}: {_times(layers.input)} to {_times(layers.output)}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(COLUMNS[0], overflow="fold")
    table.add_column(COLUMNS[1])
    for name in COLUMNS[2:]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in layers.rows:
        table.add_row(for_terminal(row.name), *cells(row)[1:])
    out.print(table)
    out.print()
    for name, total in totals(layers).items():
        out.print(f"{name:14} {total}", soft_wrap=True)
    return text.getvalue().rstrip("\n")


def totals(layers: Any) -> dict[str, str]:
    """Returns the totals of a network by name, with what they count."""
    return {
        "parameters": f"{layers.parameters:,}",
        "statistics": f"{layers.statistics:,}  moving averages of normalisations",
        "multiply-adds": f"{layers.multiply_adds:,}  of convolutions and matrix products, padding included",
        "  by XLA": _by_xla(layers),
        "activations": f"{layers.bytes / 2**20:,.2f} MiB  all outputs above, of one image",
    }


def _by_xla(layers: Any) -> str:
    """Formats XLA's count with its share of the field's count."""
    if layers.xla_multiply_adds is None:
        return "unknown  (add cpu to JAX_PLATFORMS: XLA's CPU backend counts)"
    share = layers.xla_multiply_adds / (layers.multiply_adds or 1)
    return f"{layers.xla_multiply_adds:,}  of the same, padding left out: {share:.3f} of it"


def cells(row: Any) -> tuple[str, ...]:
    """Formats the cells of a row of a summary, in the order of `COLUMNS`."""
    sizes = ["all" if row.sees_all else str(field.size) if field else "-" for field in row.fields]
    return (
        row.name,
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
