"""Publishes what has changed in the copy of what lies elsewhere: writes it to the store, several objects at once."""

import contextlib
import html
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from cnnlab.files.addresses import is_address, last_part
from cnnlab.files.cache import (
    RECORD,
    address,
    copy_of,
    files_in,
    folder_of,
    held,
    here,
    is_hidden,
    origin_of,
    read_record,
    save_record,
    with_addresses,
)
from cnnlab.files.copying import fetch
from cnnlab.files.several import call_each, shown
from cnnlab.files.store import connect, delete, objects, upload
from cnnlab.quoting import for_markdown

_TEXTS: dict[str, Callable[[str], str]] = {".html": html.escape, ".md": for_markdown, ".txt": str, ".xml": html.escape}
"""How texts for people escape what they name, by suffix; data names addresses from the beginning."""

_TEXT_BYTES = 1_000_000_000  # a longer text is published as it is


@contextlib.contextmanager
def written(place: str | Path) -> Iterator[Path]:
    """Yields the local path at which to write a file or a folder, and publishes it at the end if it lies elsewhere.

    Args:
      place: an address; a path in a copy, which gives a warning if it cannot be published; or any other path.

    Raises:
      ValueError: writing at the address is not permitted.
      OSError: the store of the address cannot be reached.
    """
    if is_address(place):
        yield fetch(origin := address(place), changes=True)
        publish(origin)
        return
    yield (path := here(place))
    if (copy := copy_of(path)) is not None:
        within = path.absolute().relative_to(copy).as_posix()
        try:
            publish(origin_of(copy), lambda name: 0 if f"{name}/".startswith(f"{within}/") else None)
        except (ValueError, OSError) as error:  # of what was asked for, nothing is missing but this
            warnings.warn(f"not published: {error}", stacklevel=4)


def publish(
    place: str,
    order: Callable[[str], int | None] = lambda name: 0,
    *,
    remove: Callable[[str], bool] = lambda name: False,
    quiet: bool = False,
) -> list[str]:
    """Writes what has changed in a copy to its origin, and returns the names of the objects.

    Paths of copies in texts for people become addresses.

    Args:
      place: the address.
      order: function from a name to its turn: what has a larger one is written later; None is left out. Objects are
        deleted in the opposite order.
      remove: function from the name of a file that was deleted here to whether its object is deleted too; by default
        none is.
      quiet: whether to draw no progress bar.

    Raises:
      ValueError: writing is not permitted.
      OSError: the connection was cut every time.
    """
    with held(folder := folder_of(place)):
        record, target, store = read_record(folder), folder / last_part(place), connect(place)
        files, present = record["files"], files_in(target)
        changed = [name for name, state in present.items() if files.get(name, [])[2:] != state]
        changed = sorted((name for name in changed if order(name) is not None), key=lambda name: (order(name), name))
        gone = set(filter(remove, (files.keys() | set(record["cut"])) - present.keys()))
        if changed:
            record["cut"] = sorted({*record["cut"], *changed})
            save_record(folder, place, record)
        for _, turn in itertools.groupby(changed, order):
            names = list(turn)
            out = shown(len(names), sum(present[name][0] for name in names), quiet=quiet)
            call_each(names, lambda name: upload(store, name, _published(target / name)), f"publishing {place}", out)
        for name in sorted(gone, key=lambda name: -(order(name) or 0)):
            delete(store, name)
            files.pop(name, None)
        if changed:
            found = objects(store)
            files |= {name: [*found[name], *present[name]] for name in changed if name in found}
        record["cut"] = sorted(set(record["cut"]) - {*changed, *gone})
        if changed or gone:
            save_record(folder, place, record)
    return changed


def publish_beside(place: str) -> list[str]:
    """Writes what lies beside the copy of a file to where its origin lies, deletes it here, and returns the names.

    A command that writes `map.html` may write `map.csv` beside it.

    Raises:
      ValueError: writing is not permitted.
      OSError: the connection was cut every time.
    """
    with held(folder := folder_of(place)):
        known = (RECORD, last_part(place))
        beside = [path for path in folder.iterdir() if path.name not in known and not is_hidden(path.name)]
        names = [f"{path.name}/{name}".rstrip("/") for path in beside for name in files_in(path)]
        if not names:
            return []
        store, out = connect(place.rpartition("/")[0]), shown(len(names), 0)
        call_each(names, lambda name: upload(store, name, _published(folder / name)), f"publishing {place}", out)
        for path in beside:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return names


def _published(path: Path) -> Path | bytes:
    """Returns a file, or the bytes of a text in which paths of copies are replaced by their addresses."""
    if path.suffix not in _TEXTS or path.stat().st_size > _TEXT_BYTES:
        return path
    text = before = path.read_bytes().decode(errors="surrogateescape")
    for escape in (_TEXTS[path.suffix], str):
        text = with_addresses(text, escape)
    return path if text == before else text.encode(errors="surrogateescape")
