"""Show and prepare data: cnnlab data list [--json] | prepare NAME [--raw-dir DIR] [--data-dir DIR]."""

from collections.abc import Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import AsJson, Misuse, parse, print_json


def run(arguments: Sequence[str]) -> None:
    """Prints a line a set, or prepares one and prints where it lies."""

    def command(
        action: tyro.conf.Positional[Literal["list", "prepare"]],
        name: tyro.conf.Positional[str | None] = None,
        /,
        raw_dir: str | None = None,
        data_dir: str | None = None,
        json: AsJson = False,
    ) -> tuple:
        """List what data there is, or prepare a standard set.

        Args:
            action: list, or prepare.
            name: of the set to prepare.
            raw_dir: directory with the set's published files; downloaded if left out.
            data_dir: where prepared sets lie; TFDS_DATA_DIR or ~/tensorflow_datasets if left out.
            json: print one JSON object.
        """
        return action, name, raw_dir, data_dir, json

    action, name, raw_dir, data_dir, as_json = parse(command, arguments, "data")
    from cnnlab.data import inventory
    from cnnlab.data.sources import standard as builders

    if action == "prepare":
        if name is None:
            raise Misuse("no NAME given; cnnlab data list shows the sets")
        path = builders.prepare(name, raw_dir=raw_dir, data_dir=data_dir)
        print_json({"name": name, "path": str(path)}) if as_json else print(path)
        return
    entries = inventory.list_data(data_dir)
    if as_json:
        print_json({"data_dir": str(builders.find_data_dir(data_dir)), "data": entries})
        return
    for entry in entries:
        print(f"{entry['name']:14} {entry['state']:13} {entry['megabytes']:8.1f} MB  {entry['next']}")
