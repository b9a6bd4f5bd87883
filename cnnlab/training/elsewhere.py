"""Runs elsewhere, such as s3://bucket/run: a run directory in the cache folder, published after each save."""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jax

from cnnlab.data.pack import PACK
from cnnlab.files import addresses, cache, copying, publishing
from cnnlab.files.atomic import is_held, lock
from cnnlab.files.lease import lease
from cnnlab.files.store import connect, objects
from cnnlab.training.run import CHECKPOINTS, EXPERIMENT

Publish = Callable[[], None]
"""Function without arguments that writes what has changed in a run directory to its origin."""

_STEP = re.compile(rf"((?:.*/)?){CHECKPOINTS}/(\d+)/.*")
_LAST = "config/metadata"  # the file of a step without which nobody reads it
_UNFINISHED = ".orbax-checkpoint-tmp"


def run_here(path: str | Path) -> Path:
    """Returns the local path of a run, which is copied first if it lies elsewhere.

    A run that this machine trains just now is read where it is trained.

    >>> run_here("runs/a")
    PosixPath('runs/a')
    """
    folder = cache.here(path)
    if not addresses.is_address(path) or is_held(folder):
        return folder
    return copying.fetch(cache.address(path), whole_steps)


def is_run_at(address: str) -> bool:
    """Returns whether there is a run, or a directory of seeds, at an address; only their checkpoints are listed."""
    for folder in (CHECKPOINTS, f"seed0/{CHECKPOINTS}"):
        with contextlib.suppress(ValueError):  # there is nothing, or nobody may list it
            return "" not in objects(connect(f"{address}/{folder}"))
    return False


def publish_results(address: str, *, remove: Callable[[str], bool] = lambda name: False) -> list[str]:
    """Publishes what a command wrote into the copy of an address, and returns the names of the files.

    A run that this machine trains just now is left to its training, which publishes everything.

    Args:
      address: the address.
      remove: as in `files.publishing.publish`.
    """
    if is_held(cache.here(address)):
        return []
    return [*publishing.publish(address, turn, remove=remove), *publishing.publish_beside(address)]


@contextlib.contextmanager
def published(run_dir: str | Path) -> Iterator[tuple[Path, Publish | None]]:
    """Yields the local directory in which a run is trained, and a function that publishes it; None for a local run.

    The directory of a run elsewhere is a copy of it, which is held by a lock in its store and published at the end.

    Raises:
      ValueError: another process trains there, or the store has no locks.
      OSError: the store cannot be reached.
    """
    if (address := cache.origin_of(run_dir)) is None:
        yield cache.here(run_dir), None
        return
    if jax.process_count() > 1:
        raise ValueError(f"{address} cannot be the run of several processes; give a folder that all of them share")
    folder, token = cache.begin(address)
    (held := folder.parent / ".training").mkdir(parents=True, exist_ok=True)
    message = f"another process trains in {address}; wait for it or choose another --run-dir"
    with lock(held, message), lease(address, owner=token) as check:
        copying.fetch(address, whole_steps, changes=True)

        def publish() -> None:
            check()
            publishing.publish(address, turn, remove=lambda name: True, quiet=True)

        try:
            yield folder, lambda: _or_warn(publish)
        except Exception:
            with contextlib.suppress(ValueError):  # the lock is lost, which that error says already or a later one will
                _or_warn(publish)
            raise
        publish()


def _or_warn(publish: Publish) -> None:
    """Publishes a run; a store that cannot be reached gives a warning, because the next call publishes the rest."""
    try:
        publish()
    except OSError as error:
        warnings.warn(f"not published: {error}", stacklevel=3)


def turn(name: str) -> int | None:
    """Returns the turn in which a file is published: the file that makes a step, or a pack, readable comes last.

    >>> turn("checkpoints/7/model/d/1"), turn("checkpoints/7/config/metadata")
    (0, 1)
    """
    step = _STEP.fullmatch(name) is not None and name.endswith(f"/{_LAST}")
    return None if _UNFINISHED in name else int(step or name.rpartition("/")[2] == PACK)


def whole_steps(names: Iterable[str]) -> list[str]:
    """Returns names without those of steps that were not published to their end, or are deleted just now.

    >>> whole_steps(["experiment.json", "checkpoints/7/model/d/1", "checkpoints/8/config/metadata"])
    ['experiment.json', 'checkpoints/8/config/metadata']
    """
    names = list(names)
    known = set(names)

    def is_whole(name: str) -> bool:
        step = _STEP.fullmatch(name)
        if step is None or f"{step[1]}{EXPERIMENT}" not in known:
            return True
        return f"{step[1]}{CHECKPOINTS}/{step[2]}/{_LAST}" in known

    return list(filter(is_whole, names))
