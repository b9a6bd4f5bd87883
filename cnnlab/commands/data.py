"""List or prepare datasets: cnnlab data list [--json] | prepare NAME [--raw-dir DIR] [--data-dir DIR]."""

from collections.abc import Sequence
from typing import Annotated, Literal

import tyro

from cnnlab.commands.common import AsJson, Directory, Misuse, parse, print_json
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Prints a line for each dataset, or prepares one and prints its path."""

    def command(
        action: tyro.conf.Positional[Literal["list", "prepare"]],
        name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None,
        /,
        raw_dir: Directory = None,
        data_dir: Directory = None,
        json: AsJson = False,
    ) -> tuple:
        """List the available datasets, or prepare a standard dataset.

        Args:
            action: list or prepare.
            name: name of the dataset to prepare.
            raw_dir: directory with the published files of the dataset; by default they are downloaded.
            data_dir: directory of prepared datasets; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
            json: print one JSON object.
        """
        return action, name, raw_dir, data_dir, json

    action, name, raw_dir, data_dir, as_json = parse(command, arguments, "data")
    from cnnlab.data import inventory
    from cnnlab.data.sources import standard as builders

    if action == "prepare":
        if name is None:
            raise Misuse("no NAME given; cnnlab data list shows the names")
        path = builders.prepare(name, raw_dir=raw_dir, data_dir=data_dir)
        print_json({"name": name, "path": str(path)}) if as_json else print(for_terminal(path))
        return
    entries = inventory.list_data(data_dir)
    if as_json:
        print_json({"data_dir": str(builders.find_data_dir(data_dir)), "data": entries})
        return
    for entry in entries:
        line = f"{entry['name']:14} {entry['state']:13} {entry['megabytes']:8.1f} MB  {entry['next']}"
        print(for_terminal(line))
