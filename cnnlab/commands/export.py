"""Export a trained network: cnnlab export RUN --output FILE.onnx|FILE.stablehlo."""

from collections.abc import Sequence
from typing import Annotated

import tyro

from cnnlab.commands.common import Run, parse
from cnnlab.export import Kind
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Exports a network to a file and prints the shape of each output."""

    def command(run: Run, /, output: Annotated[str, tyro.conf.arg(metavar="FILE")], kind: Kind | None = None) -> tuple:
        """Export the forward pass of a network, including normalisation, for use without cnnlab.

        Args:
            run: run directory.
            output: file to write; the suffix .onnx (extra onnx) or .stablehlo, which jax.export loads, decides the
                kind.
            kind: kind of a file with another suffix; by default stablehlo.
        """
        return run, output, kind

    run, output, kind = parse(command, arguments, "export")
    from cnnlab.export import export
    from cnnlab.training.restore import load

    for name, shape in export(load(run), output, kind=kind).items():
        print(f"{for_terminal(output)}  {name} [{', '.join(map(str, shape))}]")
