"""A lock that a store can hold: an object that only one process can create, and that it renews while it lives.

The holder of an address is who created the object `.lock/NUMBER` of the largest number. Another process creates the
next number only after it has watched the object for `LEASE` seconds without a change, so no clocks are compared.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cnnlab.console import console
from cnnlab.files.store import EXCLUSIVE, Missing, Store, connect, create, delete, objects, read, upload
from cnnlab.files.text import parse_json

LEASE = 90.0
"""Seconds after which an object that nobody renews is the rest of a process that died."""

RENEWAL = 15.0
"""Seconds between two renewals."""

FOLDER = ".lock"


@contextlib.contextmanager
def lease(address: str, *, owner: str) -> Iterator[Callable[[], None]]:
    """Holds an address while a block runs; yields a function that raises an error if another process holds it now.

    Call that function before anything is written below the address.

    Args:
      address: the address of a folder.
      owner: text that no other copy of the address has; what a dead process of this owner held on this machine is
        taken at once.

    Raises:
      ValueError: another process holds the address, or its store cannot create an object exclusively.
      OSError: the store cannot be reached.
    """
    if (scheme := address.partition(":")[0]) not in EXCLUSIVE:
        raise ValueError(
            f"{address} cannot be a run: two trainings could write there at once, because {scheme}:// has no lock; "
            f"choose a local folder, or one of {', '.join(f'{name}://' for name in EXCLUSIVE)}"
        )
    owner = f"{owner} {socket.gethostname()}"  # a folder of copies may be shared
    store = connect(f"{address}/{FOLDER}")
    number = _acquire(store, address, owner)
    done = threading.Event()

    def renew() -> None:
        _check_own(store, address, number, owner)
        upload(store, _name(number), _content(owner))

    def renew_often() -> None:
        while not done.wait(RENEWAL):
            with contextlib.suppress(ValueError, OSError):  # a cut connection, or a loss that the check will find
                renew()

    thread = threading.Thread(target=renew_often, daemon=True)
    thread.start()
    try:
        yield renew  # always, because no clock says for how long the machine was suspended
    finally:
        done.set()
        thread.join(LEASE)
        with contextlib.suppress(ValueError, OSError):  # the lease ends by itself
            _check_own(store, address, number, owner)
            delete(store, _name(number))


def _acquire(store: Store, address: str, owner: str) -> int:
    """Creates the object of the next number, once the holder has let go, and returns the number."""
    seen, since = None, 0.0
    while True:
        number, holder = _holder(store)
        if holder is not None and holder.get("owner") != owner:
            if seen is None:
                seen, since = (number, holder), time.monotonic()
                text = f"{address} is held by a process on {holder.get('host')}; does it live? up to {LEASE:.0f} s"
                console().print(text, soft_wrap=True)
            if seen != (number, holder):
                raise ValueError(
                    f"another process trains in {address}, on {holder.get('host')}; wait for it or choose another "
                    "--run-dir"
                )
            if time.monotonic() - since < LEASE:
                time.sleep(min(1.0, LEASE / 10))
                continue
        if create(store, _name(number + 1), _content(owner)):
            break
        seen = None
    if create(store, _name(number + 1), _content(owner)):
        delete(store, _name(number + 1))
        raise ValueError(
            f"{address} cannot be a run: its store overwrites an object that was to be created, so that two trainings "
            "could write there at once; choose a local folder, or a store with conditional writes"
        )
    if number:
        delete(store, _name(number))
    return number + 1


def _holder(store: Store) -> tuple[int, dict[str, Any] | None]:
    """Returns the largest number, 0 without one, and the content of its object."""
    try:
        number = max((int(name) for name in objects(store) if name.isdecimal()), default=0)
        if number == 0:
            return 0, None
        where, data = f"{store.address}/{_name(number)}", read(store, _name(number))
    except Missing:  # nobody holds it, or who held it lets go in this moment
        return 0, None
    if not isinstance(holder := parse_json(data.decode(errors="replace"), where), dict):
        raise ValueError(f"{where} is no lock of cnnlab; delete it")
    return number, holder


def _check_own(store: Store, address: str, number: int, owner: str) -> None:
    """Raises `ValueError` unless the object of this number is the largest one and the owner's."""
    last, holder = _holder(store)
    if last != number or holder is None or holder.get("owner") != owner:
        raise ValueError(
            f"another process trains in {address} now, because this one could not renew its lock for {LEASE:.0f} s; "
            "nothing more is written there"
        )


def _name(number: int) -> str:
    return f"{number:06d}"


def _content(owner: str) -> bytes:
    return json.dumps({"owner": owner, "host": socket.gethostname(), "time": time.time_ns()}).encode()
