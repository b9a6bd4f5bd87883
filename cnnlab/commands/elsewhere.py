"""Addresses on the command line: a command sees local copies, and what it writes into them is published."""

import contextlib
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from cnnlab.commands.common import Misuse
from cnnlab.files import addresses, cache, copying
from cnnlab.quoting import counted
from cnnlab.training.elsewhere import publish_results, run_here

_WRITTEN = ("--output", "--figures", "--predictions", "--sheet")
"""Options of files and folders that a command writes; there need be nothing at such an address."""

_RUN_DIR = "--run-dir"  # training copies and publishes it by itself
_OWN_READER = ("--data-dir", "--data.data-dir")  # TFDS reads gs:// by itself


@contextlib.contextmanager
def copied(command: str, arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yields the arguments of a command with copies in place of addresses, and publishes what has changed in them.

    What the command prints has the addresses again. The data of `train` keeps its address, which the run stores.

    Raises:
      ValueError: there is nothing at an address, or reading or writing is not permitted.
      OSError: a store cannot be reached.

    >>> with copied("predict", ["runs/a", "photos", "--mc", "50"]) as arguments:
    ...     arguments
    ['runs/a', 'photos', '--mc', '50']
    """
    if not any("://" in argument for argument in arguments) or {"-h", "--help", "--help-all"} & set(arguments):
        yield list(arguments)
        return
    out, places = _translated(command, arguments)
    with contextlib.redirect_stdout(_Addressed(sys.stdout)), contextlib.redirect_stderr(_Addressed(sys.stderr)):
        try:
            yield out
        except Misuse:
            raise
        except (ValueError, OSError):  # perhaps of one file among many
            try:
                _publish(places)
            except (ValueError, OSError) as error:
                warnings.warn(f"not published: {error}", stacklevel=2)
            raise
        _publish(places)


def _translated(command: str, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the arguments with copies in place of addresses, and the addresses."""
    out, places, option = [], [], ""
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        of = name or option
        option = "" if of in (*_WRITTEN, _RUN_DIR) and value else of  # what follows its one value is no value of it
        keeps = of in _OWN_READER or (command == "train" and of.startswith("--data."))
        if keeps or "://" not in value or not addresses.is_address(value):
            out.append(argument)
        else:
            places.append(cache.address(value))
            out.append(f"{name}{equals}{_copy(places[-1], of)}")
    return out, places


def _copy(address: str, option: str) -> str:
    if option == _RUN_DIR:
        return str(cache.begin(address)[0])
    return str(copying.fetch(address, changes=True, shared=True) if option in _WRITTEN else run_here(address))


def _publish(places: Sequence[str]) -> None:
    for address in places:
        if names := publish_results(address):
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
