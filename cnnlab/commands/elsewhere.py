"""Addresses on the command line: a command sees local copies, and what it writes into them is published."""

import contextlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cnnlab.commands.common import Misuse
from cnnlab.files import cache, copying
from cnnlab.files.addresses import is_address
from cnnlab.quoting import counted
from cnnlab.training.elsewhere import is_run_at, publish_results, run_here

_WRITTEN = ("--output", "--figures", "--predictions", "--sheet", "--merge")
"""Options of files and folders that a command writes; there need be nothing at such an address."""

_READ = ("--manifest", "--ids", "--lexicon")
"""Options of one file that a command reads."""

_RUN_DIR = "--run-dir"  # training copies and publishes it by itself
_OWN_READER = ("--data-dir", "--data.data-dir")  # TFDS reads gs:// by itself
_PART, _MERGE, _MANIFEST, _GALLERY = "--part", "--merge", "--manifest", "--gallery"


@contextlib.contextmanager
def copied(command: str, arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yields the arguments of a command with copies in place of addresses, and publishes what has changed in them.

    However the command ends, what it finished is published: also by an error, Ctrl-C or SIGTERM. Training publishes its
    run by itself, and only while it holds the run's lock.

    What the command prints has the addresses again. The data of `train` keeps its address, which the run stores, and so
    do the photos of `predict --part`, which copies only those of its part.

    Raises:
      ValueError: there is nothing at an address, or reading or writing is not permitted.
      OSError: a store cannot be reached.
      SystemExit: SIGTERM arrived.

    >>> with copied("predict", ["runs/a", "photos", "--mc", "50"]) as arguments:
    ...     arguments
    ['runs/a', 'photos', '--mc', '50']
    """
    given = {argument.partition("=")[0] for argument in arguments}
    may_name_addresses = any("://" in argument for argument in arguments) or _MANIFEST in given
    if not may_name_addresses or {"-h", "--help", "--help-all"} & given:
        yield list(arguments)
        return
    out, places = _translated(command, arguments)
    with (
        contextlib.redirect_stdout(_Addressed(sys.stdout)),
        contextlib.redirect_stderr(_Addressed(sys.stderr)),
        _terminable(),
    ):
        try:
            yield out
        except BaseException as error:
            is_misuse = isinstance(error, Misuse) or (isinstance(error, SystemExit) and error.code in (0, 2))
            if command != "train" and not is_misuse:
                _publish_the_finished(places, error)
            raise
        _publish(places)


def _publish_the_finished(places: Sequence[str], error: BaseException) -> None:
    """Publishes what a command wrote before it ended with an error, which matters more than one of the store."""
    if places and isinstance(error, KeyboardInterrupt | SystemExit):
        print("publishing what is finished (Ctrl-C again leaves it to the next call on this machine)", file=sys.stderr)
    try:
        _publish(places)
    except (ValueError, OSError) as fault:
        warnings.warn(f"not published: {fault}", stacklevel=2)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Lets SIGTERM raise `SystemExit` in a block; outside the main thread Python cannot catch it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: Any) -> None:
        signal.signal(number, before)  # the second one has its usual effect
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _translated(command: str, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments with copies in place of addresses, and the addresses."""
    out, places, option = [], [], ""
    given = {argument.partition("=")[0] for argument in arguments}
    is_part = command == "predict" and _PART in given
    choose = _of_parts if is_part or _MERGE in given else iter
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        of = name or option
        option = "" if of in (*_WRITTEN, *_READ, _RUN_DIR) and value else of  # what follows is no value of it
        keeps = of in _OWN_READER or (command == "train" and of.startswith("--data."))
        if keeps or "://" not in value or not is_address(value):
            out.append(argument)
            continue
        place = cache.address(value)
        if is_part and of not in (*_WRITTEN, *_READ, _GALLERY) and not is_run_at(place):
            out.append(argument)
        else:
            places.append(place)
            out.append(f"{name}{equals}{_copy(place, of, choose)}")
    return out, places


def _copy(address: str, option: str, choose: Callable[[Iterable[str]], Iterable[str]]) -> str:
    """Copies an address and returns the path of its copy; of an output, only what `choose` chooses."""
    if option == _RUN_DIR:
        return str(cache.begin(address)[0])
    return str(copying.fetch(address, choose, changes=True, shared=True) if option in _WRITTEN else run_here(address))


def _of_parts(names: Iterable[str]) -> list[str]:
    """Returns the names of the files of parts, which are all that a part and the merging of parts read of an output."""
    return [name for name in names if name.startswith("parts/")]


def _publish(places: Sequence[str]) -> None:
    if not places:
        return
    from cnnlab.data.pack import UNFINISHED
    from cnnlab.predictions.parts import is_of_a_journal

    def is_of_the_unfinished(name: str) -> bool:
        return name == UNFINISHED or is_of_a_journal(name)

    for address in places:
        if names := publish_results(address, remove=is_of_the_unfinished):
            print(f"published  {address}  ({counted(len(names), 'file')})", file=sys.stderr)


class _Addressed:
    """A stream that writes the address of a copy in place of its path."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write(cache.with_addresses(text))
        return len(text)
