"""Files elsewhere that are listed and not copied yet, so that each process copies only those that it reads."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from cnnlab.files.addresses import bucket_and_name, check_lasting, is_address
from cnnlab.files.cache import address, begin
from cnnlab.files.copying import fetch_some, visible
from cnnlab.files.listing import is_visible, warn_left_out
from cnnlab.files.store import Object, connect


class Awaited(NamedTuple):
    """An object that is not copied yet.

    Attributes:
      folder: the address of its folder, of which there is a copy.
      name: its name in the folder.
      known: what a listing said of it; None without a listing.
    """

    folder: str
    name: str
    known: Object | None


def list_awaited(
    place: str, is_wanted: Callable[[Path], bool], *, kind: str, suffixes: Iterable[str]
) -> dict[Path, Awaited]:
    """Lists the files of a kind at an address, in the order of `files.listing.find_files`; warns of others.

    A file without a suffix is copied, because its content says of which kind it is.

    Args:
      place: the address of a folder or a file, which counts as it is.
      is_wanted: function from the path of a copy to whether the file is of the kind.
      kind: name of the kind in messages.
      suffixes: suffixes of the kind, for messages.

    Raises:
      ValueError: there is no such place, it has no file of the kind, or reading is not permitted.
      OSError: the store cannot be reached.
    """
    place = address(place)
    target, _ = begin(place)
    known = visible(connect(place))
    if "" in known:
        return {target: Awaited(place, "", known[""])}
    shown = {name: each for name, each in known.items() if all(map(is_visible, name.split("/")))}
    found = {target / name: Awaited(place, name, each) for name, each in shown.items()}
    arrive([path for path in found if not path.suffix], found)
    wanted = {path: found[path] for path in sorted(found) if is_wanted(path)}
    if not wanted:
        raise ValueError(f"{place} holds no {kind}; looked for {', '.join(suffixes)}")
    warn_left_out(target, sorted(found.keys() - wanted.keys()), kind=kind)
    return wanted


def awaited_of(places: Iterable[Path | str], name: str) -> tuple[list[Path], dict[Path, Awaited]]:
    """Returns the paths of files, and which of them are copies to come, one copy a bucket; no store is asked.

    Args:
      places: files, of which some are addresses.
      name: name of the list of places in messages.

    Raises:
      ValueError: an address has a query or a password.
    """
    paths: list[Path] = []
    awaited: dict[Path, Awaited] = {}
    copies: dict[str, Path] = {}
    for place in places:
        if not is_address(place):
            paths.append(Path(place))
            continue
        check_lasting(place, name)
        bucket, last = bucket_and_name(address(place))
        copies[bucket] = copies.get(bucket) or begin(bucket)[0]
        paths.append(copies[bucket] / last)
        awaited[paths[-1]] = Awaited(bucket, last, None)
    return paths, awaited


def arrive(paths: Iterable[Path], awaited: Mapping[Path, Awaited]) -> None:
    """Copies those of some files that are awaited, several at once.

    Raises:
      ValueError: one does not exist, or reading it is not permitted.
      OSError: the connection was cut every time, or the disk has no room.
    """
    folders: dict[str, dict[str, Object | None]] = {}
    for path in paths:
        if path in awaited:
            folder, name, known = awaited[path]
            folders.setdefault(folder, {})[name] = known
    for folder, wanted in folders.items():
        fetch_some(folder, wanted)
