"""List, prepare, describe or pack data: cnnlab data list | prepare NAME | describe DIR | pack DIR --output PACK."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from cnnlab.commands import data_pack
from cnnlab.commands.common import AsJson, Directory, Misuse, parse, print_json
from cnnlab.quoting import for_terminal

if TYPE_CHECKING:
    from cnnlab.data.description import Description


@dataclasses.dataclass(frozen=True)
class Describe:
    """Options of `describe`.

    Attributes:
      task: task that steers what the folder is read as, such as detection or segmentation.
      format: annotation format to read, where the folder holds several.
      annotations: folder of annotations (or the one file) within the folder.
      photos: folder of photos within the folder.
      label: attribute or column that holds the class, where the format leaves it open.
      sheet: PNG file for the contact sheet of nine annotated photos; by default NAME-sheet.png in this directory.
    """

    task: Annotated[str | None, tyro.conf.arg(metavar="TASK")] = None
    format: Annotated[str | None, tyro.conf.arg(metavar="FORMAT")] = None
    annotations: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    photos: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    label: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None


def run(arguments: Sequence[str]) -> None:
    """Prints a line for each dataset, prepares one and prints its path, or describes or packs a folder."""
    if list(arguments[:1]) == ["pack"]:
        data_pack.run(arguments[1:])
        return

    def command(
        action: tyro.conf.Positional[Literal["list", "prepare", "describe", "pack"]],
        name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME|DIR]")] = None,
        /,
        raw_dir: Directory = None,
        data_dir: Directory = None,
        describe: tyro.conf.OmitArgPrefixes[Describe] = Describe(),
        json: AsJson = False,
    ) -> tuple:
        """List the available datasets, prepare a standard dataset, or describe a folder before training on it.

        `cnnlab data pack DIR --output PACK` writes a folder to files that are read faster; `cnnlab data pack --help`.

        Args:
            action: list, prepare, describe or pack.
            name: name of the dataset to prepare, or the folder to describe.
            raw_dir: directory with the published files of the dataset; by default they are downloaded.
            data_dir: directory of prepared datasets; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
            describe: options of describe.
            json: print one JSON object.
        """
        return action, name, raw_dir, data_dir, describe, json

    action, name, raw_dir, data_dir, options, as_json = parse(command, arguments, "data")
    from cnnlab.data import inventory
    from cnnlab.data.sources import standard as builders

    if action == "pack":
        raise Misuse("pack comes first: cnnlab data pack DIR --output PACK")
    if action == "describe":
        if name is None:
            raise Misuse("no DIR given; name the folder to describe")
        _describe(Path(name).expanduser(), options, as_json)
        return
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


def _describe(path: Path, options: Describe, as_json: bool) -> None:
    """Prints what a folder holds, and draws nine of its photos."""
    from cnnlab.data.description import describe
    from cnnlab.files.figures import save_figures

    reading = {name: value for name, value in dataclasses.asdict(options).items() if name != "sheet"}
    result = describe(path, **reading)
    target = options.sheet or Path(f"{path.resolve().name}-sheet.png")
    if target.suffix.lower() != ".png":
        raise Misuse(f"the contact sheet is a PNG, found --sheet {target}")
    (sheet,) = save_figures({target.stem: result.draw()}, target.parent)
    if as_json:
        print_json(result.to_json() | {"sheet": str(sheet)})
        return
    for line in _lines(result):
        print(for_terminal(line))
    print(for_terminal(f"sheet     {sheet}"))


def _lines(result: "Description") -> Iterator[str]:
    """Yields the lines that describe a folder."""
    yield f"{result.path} is {result.kind}"
    name = {"signals": "signals", "comparisons": "pairs"}.get(result.kind.source, "images")
    yield f"{name:9} {', '.join(f'{number:,} {split}' for split, number in result.splits.items())}"
    if result.sizes:
        yield f"sizes     {', '.join(f'{name} {w}x{h}' for name, (h, w) in result.sizes.items())}"
    if counts := result.objects:
        yield (
            f"objects   {counts['fewest']:,} to {counts['most']:,} a photo, median {counts['median']:g}; "
            f"{counts['none']:,} photos without any"
        )
    for name, number in result.classes.items():
        value = f"{number:9.2%}" if isinstance(number, float) else f"{number:9,}"
        box = f"  median {result.boxes[name][1]:g}x{result.boxes[name][0]:g} px" if name in (result.boxes or {}) else ""
        yield f"  {name:20} {value}{box}{'  rare' if name in result.rare else ''}"
    for note in result.notes:
        yield f"note      {note}"
