"""Export a trained network: cnnlab export RUN --output FILE [--kind onnx]."""

from collections.abc import Sequence
from typing import Literal

from cnnlab.commands.common import Run, parse
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Exports a network to a file and prints the shape of each output."""

    def command(run: Run, /, output: str, kind: Literal["stablehlo", "onnx"] = "stablehlo") -> tuple:
        """Export the forward pass of a network, including normalisation, for use without cnnlab.

        Args:
            run: run directory.
            output: file to write.
            kind: stablehlo, which jax.export loads, or onnx (extra onnx).
        """
        return run, output, kind

    run, output, kind = parse(command, arguments, "export")
    from cnnlab.export import export
    from cnnlab.training.restore import load

    for name, shape in export(load(run), output, kind=kind).items():
        print(f"{for_terminal(output)}  {name} [{', '.join(map(str, shape))}]")
