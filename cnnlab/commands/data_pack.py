"""Pack a folder: cnnlab data pack DIR --output PACK [--data.size 224 ...]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from cnnlab.commands.common import AsJson, Directory, Misuse, parse, print_json
from cnnlab.commands.options import parse_experiment
from cnnlab.console import console, progress_bar
from cnnlab.data.packing import check_output
from cnnlab.files.cache import address
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Writes the examples of a folder to a pack, and prints its path and its size."""

    def command(
        folder: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DIR")],
        /,
        output: Directory = None,
        json: AsJson = False,
    ) -> tuple:
        """Write the examples of a folder to files that training reads much faster.

        All options of the folder, such as --data.size, --data.group or --task.name, are those of `cnnlab train
        --data.path DIR` and stand after DIR; the pack needs none of them again. The same command continues after an
        interruption.

        Args:
            folder: the folder, in any layout that training reads.
            output: folder of the pack, which is new or empty.
            json: print one JSON object.
        """
        return folder, output, json

    own, options = _divided(arguments)
    folder, output, as_json = parse(command, own, "data pack")
    if output is None:
        raise Misuse("no folder for the pack given; name it with --output PACK")
    source, target = Path(folder).expanduser().resolve(), Path(output).expanduser()
    for inner, outer in ((target.resolve(), source), (Path(address(target)), Path(address(Path(folder).expanduser())))):
        if inner.is_relative_to(outer):
            raise Misuse(f"the pack {target} would lie in the folder {folder} that is packed; give another --output")
    check_output(target)
    try:
        experiment, _ = parse_experiment(["--data.path", str(source), *options])
    except ValueError as error:
        raise Misuse(str(error)) from error
    from cnnlab.data import write_pack
    from cnnlab.training.automatic import deciding_column
    from cnnlab.training.plan import load_experiment_data

    dataset = load_experiment_data(experiment)
    number = sum(map(len, dataset.splits.values()))
    done, texts = 0, {"label": "images"}
    with progress_bar(console(), texts=texts, total=number) as update:

        def tick(rows: int) -> None:
            nonlocal done
            done += rows
            update(completed=done)

        write_pack(dataset, target, column=deciding_column(dataset), tick=tick)
    megabytes = round(sum(file.stat().st_size for file in target.iterdir()) / 1e6, 1)
    if as_json:
        print_json({"path": str(target), "examples": number, "megabytes": megabytes})
        return
    print(for_terminal(f"{target}  {number:,} examples, {megabytes:,.1f} MB"))
    print(for_terminal(f"next     cnnlab train --data.path {target}"))


def _divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divides arguments into those of this command, and those of the folder with their values.

    >>> _divided(["DIR", "--data.size", "64", "48", "--output", "PACK"])
    (['DIR', '--output', 'PACK'], ['--data.size', '64', '48'])
    """
    own: list[str] = []
    options: list[str] = []
    place = own
    for argument in arguments:
        if argument.startswith("--"):
            place = options if argument.startswith(("--data.", "--task.")) else own
        place.append(argument)
    return own, options
