"""Runs parts of a prediction over a cluster with Ray: each worker takes one part after the other.

Nothing is kept in Ray. What is finished stands in the files of the parts, so a worker or the whole call may die at any
time: the next one skips the finished parts and continues the others.
"""

import contextlib
import io
import os
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cnnlab.predictions.parts import MOST, Part
from cnnlab.predictions.predict import BATCH

TRIES = 4
"""Number of workers that may die at one part."""

Predict = Callable[[Part], Any]


def run_parts(
    start: Callable[[], Predict], parts: Sequence[Part], *, workers: int | None, tell: Callable[[str], None]
) -> None:
    """Runs parts on the workers of a cluster, and each part again whose worker died.

    The cluster is that of the environment variable `RAY_ADDRESS`. Without it, Ray starts on this machine alone, on
    the loopback, without its dashboard, and sends no statistics.

    Args:
      start: function that a worker calls once; it returns the function that the worker calls for each part.
      parts: the parts.
      workers: number of workers, each a process; None means one for each GPU of the cluster, or one.
      tell: callback that gets what a worker prints on standard error, part by part.

    Raises:
      ValueError: Ray is not installed, there are more workers than GPUs, or workers died `TRIES` times at one part.
    """
    with connected(workers) as ray:
        workers, gpus = number_of_workers(ray, workers), min(_gpus(ray), 1)
        kind, given = ray.remote(num_cpus=1, num_gpus=gpus)(_Worker), ray.put(start)
        idle = [kind.remote(given) for _ in range(min(workers, len(parts)))]
        waiting, deaths, busy = deque(parts), Counter[Part](), {}
        try:
            while waiting or busy:
                while waiting and idle:
                    worker, part = idle.pop(), waiting.popleft()
                    busy[worker.predict.remote(part)] = worker, part
                (done,), _ = ray.wait(list(busy), num_returns=1)
                worker, part = busy[done]
                try:
                    tell(ray.get(done))
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:  # the worker's process or its machine is gone
                    deaths[part] += 1
                    if deaths[part] == TRIES:
                        raise ValueError(f"{TRIES} workers died at {part}, the last one so: {error}") from error
                    tell(f"a worker died at {part}, which another one continues\n")
                    waiting.append(part)
                    worker = kind.remote(given)
                del busy[done]
                idle.append(worker)
        finally:
            for worker in (*idle, *(worker for worker, _ in busy.values())):
                ray.kill(worker)


def number_of_workers(ray: Any, wanted: int | None) -> int:
    """Returns the number of workers: as many as wanted, or one for each GPU of the cluster, or one.

    Raises:
      ValueError: more are wanted than there are GPUs, or cores.
    """
    gpus = _gpus(ray)
    if wanted and gpus and wanted > gpus:
        raise ValueError(f"--workers {wanted} is more than the {gpus} GPUs of the cluster; give one for each")
    cores = int(ray.cluster_resources().get("CPU", 0))
    if wanted and wanted > cores:
        raise ValueError(f"--workers {wanted} is more than the {cores} cores of the cluster; give one for each")
    return wanted or gpus or 1


def _gpus(ray: Any) -> int:
    return int(ray.cluster_resources().get("GPU", 0))


def number_of_parts(photos: int, sheets: int, workers: int) -> int:
    """Returns into how many parts a prediction is divided: as many for each worker, none of them tiny or huge.

    >>> [number_of_parts(photos, sheets, 2) for photos, sheets in ((100, 0), (2000, 0), (10_000_000, 0), (0, 300))]
    [2, 8, 500, 300]
    """
    batches = -(-photos // BATCH)
    wanted, most = max(16 * workers, photos // 20_000 + sheets), batches // 4 + sheets
    count = max(workers, min(wanted, most))
    return min(count - count % workers, photos + sheets, MOST)


class _Worker:
    """A process of the cluster that predicts parts."""

    def __init__(self, start: Callable[[], Predict]):
        self._start, self._predict = start, None

    def predict(self, part: Part) -> str:
        """Predicts a part and returns what was printed on standard error."""
        text = io.StringIO()
        with contextlib.redirect_stderr(text):
            self._predict = self._predict or self._start()
            self._predict(part)
        return text.getvalue()


def require_ray() -> Any:
    """Returns the module `ray`, which takes a moment to import; raises `ValueError` if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # then the node's address is the loopback's
    try:
        import ray
    except ImportError as error:
        raise ValueError("--engine ray needs the extra ray: pip install 'cnnlab[ray]'") from error
    return ray


@contextlib.contextmanager
def connected(workers: int | None) -> Iterator[Any]:
    """Connects to the cluster, or starts Ray on this machine, and yields the module `ray`; `workers` as in `run_parts`.

    Where Ray is connected already, this connection stays.
    """
    ray = require_ray()
    mine = not ray.is_initialized()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if "RAY_ADDRESS" not in os.environ:
        options |= {"address": "local", "include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, workers or 1)}
    if mine:
        with warnings.catch_warnings():  # Ray starts other programs; JAX warns of copies of this one
            warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
            ray.init(**options)
    try:
        yield ray
    finally:
        if mine:
            ray.shutdown()
