"""Export a trained network: cnnlab export RUN --output FILE [--kind onnx]."""

from collections.abc import Sequence
from typing import Literal

from cnnlab.commands.common import Run, parse


def run(arguments: Sequence[str]) -> None:
    """Writes the file and prints the shape of each output."""

    def command(run: Run, /, output: str, kind: Literal["stablehlo", "onnx"] = "stablehlo") -> tuple:
        """Write a network's forward pass, its normalisation included, for use without cnnlab.

        Args:
            run: the run directory.
            output: the file.
            kind: stablehlo, loaded by jax.export; or onnx (extra onnx).
        """
        return run, output, kind

    run, output, kind = parse(command, arguments, "export")
    from cnnlab.export import export
    from cnnlab.training.restore import load

    for name, shape in export(load(run), output, kind=kind).items():
        print(f"{output}  {name} [{', '.join(map(str, shape))}]")
