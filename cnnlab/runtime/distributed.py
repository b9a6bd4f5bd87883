"""Several processes that train one network together: how they start, agree, fail and end.

JAX's own runtime connects them. The environment says who takes part: the variables of SLURM, Open MPI or Kubernetes, or
`JAX_COORDINATOR_ADDRESS` (`host:port` of the first process), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`.
`CNNLAB_START_SECONDS` is the time within which all processes must come, by default 60.
"""

import contextlib
import ctypes
import io
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping

import jax
import numpy as np

ADDRESS, PROCESSES, PROCESS = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
START = "CNNLAB_START_SECONDS"
START_SECONDS = 60  # within which all processes must come, by default
SILENT_SECONDS = 30  # after which a process without a sign of life counts as dead
GRACE_SECONDS = 3  # for which the first process outlives an error, because JAX kills the others when it ends
_STEP = 4096  # bytes
_handlers: list = []  # functions that C calls must live as long as the process
_LOST = ("Gloo ", "NCCL", "heartbeat", "oordination service", "arrier failed", "arrier timed out", "closed by peer")


def announced(environment: Mapping[str, str]) -> bool:
    """Returns whether the environment says that several processes train together.

    A job of SLURM or Open MPI with one task, and a pod of Kubernetes that has no index, train alone.

    >>> announced({"JAX_COORDINATOR_ADDRESS": "10.0.0.1:1234"}), announced({"OMPI_COMM_WORLD_SIZE": "4"})
    (True, True)
    >>> announced({}), announced({"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "1"})
    (False, False)
    """
    if environment.get(ADDRESS):
        return True
    if any(environment.get(name, "1") != "1" for name in ("OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")):
        return True
    return {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= environment.keys()


@contextlib.contextmanager
def together(asked: bool) -> Iterator[None]:
    """Connects the processes of a training, in a program, and lets each go its own way after the block.

    Only the first process speaks inside the block: the others print nothing but their errors. If `asked` is false, the
    process trains alone and nothing happens. After an error the processes stay connected; see `leave`.

    Raises:
      ValueError: the environment does not say who takes part, or the first process cannot use its port.
    """
    if not asked:
        yield
        return
    _connect()
    _speak_when_aborted()
    with naming_lost_processes():
        with _only_first_speaks():
            yield
        gathered("")  # all are done, so that none is missed
    jax.distributed.shutdown()


def leave(code: int) -> None:
    """Ends a program that is still connected, because of an error, without waiting for processes that may be dead."""
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        if jax.process_index() == 0:
            time.sleep(GRACE_SECONDS)
        os._exit(code)


def gathered(text: str) -> list[str]:
    """Returns the texts of all processes, in their order. Every process must call it; a single one gets its own back.

    >>> gathered("alone")
    ['alone']
    """
    if jax.process_count() == 1:
        return [text]
    from jax.experimental.multihost_utils import process_allgather

    data = np.frombuffer(text.encode(), np.uint8)
    sizes = process_allgather(np.int32(len(data)))
    longest = -(-max(sizes) // _STEP) * _STEP  # of few sizes, because each one is compiled
    rows = process_allgather(np.pad(data, (0, longest - len(data)))) if longest else [data] * len(sizes)
    return [bytes(row[:size]).decode() for row, size in zip(rows, sizes, strict=True)]


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
    """Raises an error in every process if one raises `ValueError`, `OSError` or `SystemExit` in the block.

    Every process must enter the block, which must contain no computation of all processes.
    """
    own = None
    try:
        yield
    except (ValueError, OSError) as error:
        own, text = error, f"{error} "
    except SystemExit as error:
        if not error.code:
            raise
        own, text = error, "its arguments are wrong; it has printed in what"
    texts = gathered("" if own is None else text)
    if own is not None:
        raise own
    for number, text in enumerate(texts):
        if text:
            raise ValueError(f"{process(number)}: {text.strip()}")


@contextlib.contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Raises `ConnectionError` with advice in place of the error by which the runtime says that a process is gone."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if jax.process_count() == 1 or not any(sign in str(error) for sign in _LOST):
            raise
        raise ConnectionError(f"{_lost()} ({_reason(error)})") from error


def _lost() -> str:
    return (
        f"another process of this training ended or cannot be reached, so {process()} ends too. The same command on "
        "the hosts that remain goes on from the last checkpoint, if the batch divides over their devices"
    )


def process(number: int | None = None) -> str:
    """Returns the name of a process in messages, such as `process 2 of 0..3`; by default that of this one."""
    return f"process {jax.process_index() if number is None else number} of 0..{jax.process_count() - 1}"


def _connect() -> None:
    """Connects this process to the others, or ends it with a message if some do not come."""
    address, number = os.environ.get(ADDRESS), _whole_number(PROCESS)
    seconds = START_SECONDS if (asked := _whole_number(START)) is None else asked
    if seconds == 0:
        raise ValueError(f"{START} must be 1 or more, found 0")
    if address is not None and not address.rpartition(":")[2].isdigit():
        raise ValueError(f"{ADDRESS} must be host:port, such as 10.0.0.1:1234, found {address!r}")
    processes = _whole_number(PROCESSES)
    if None not in (number, processes) and number >= processes:
        raise ValueError(f"{PROCESS} must lie in 0..{processes - 1}, as {PROCESSES} is {processes}, found {number}")
    if address is not None and number == 0:
        _check_free(int(address.rpartition(":")[2]))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    timer = threading.Timer(seconds, _give_up, [address, number, seconds])
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            num_processes=processes,
            process_id=number,
            coordinator_bind_address=address if _is_loopback(address) else None,
            initialization_timeout=2 * seconds + SILENT_SECONDS,  # JAX's own end of waiting prints a stack trace
            heartbeat_timeout_seconds=SILENT_SECONDS,
            shutdown_timeout_seconds=SILENT_SECONDS,
        )
        counts = {len(jax.local_devices()), jax.device_count() // jax.process_count()}
    except (ValueError, RuntimeError) as error:
        raise ValueError(_explained(error, address)) from error
    finally:
        timer.cancel()
    if len(counts) > 1:
        raise ValueError(
            f"{process()} has {len(jax.local_devices())} of {jax.device_count()} devices; every process needs as many"
        )


def _speak_when_aborted() -> None:
    """Prints what happened when JAX's runtime aborts this process in C++, because another one is dead or frozen.

    Python's own handlers of signals would not run any more.
    """
    if os.name != "posix":
        return
    message = f"cnnlab: {_lost()}\n".encode()

    def end(number: int) -> None:
        os.write(2, message)
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(end)
    _handlers.append(handler)
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def _whole_number(name: str) -> int | None:
    value = os.environ.get(name)
    if value is not None and not value.isdecimal():
        raise ValueError(f"{name} must be a whole number, found {value!r}")
    return None if value is None else int(value)


def _check_free(port: int) -> None:
    """Raises `ValueError` if another program listens at a port. JAX's server would share the port with some of them."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not matter
        try:
            trial.bind(("", port))
        except OSError as error:
            raise ValueError(_taken(port)) from error


def _is_loopback(address: str | None) -> bool:
    """Returns whether all processes are on this host, so that no other one needs to reach the coordinator."""
    return (address or "").rpartition(":")[0] in ("127.0.0.1", "localhost", "[::1]")


def _taken(port: object) -> str:
    return f"port {port} is taken on this host; give all processes another one in {ADDRESS}"


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _explained(error: Exception, address: str | None) -> str:
    """Says in the words of a user why the processes could not be connected."""
    text = str(error)
    if "Failed to start RPC server" in text:
        return _taken(address.rpartition(":")[2] if address else "of the coordinator")
    if "should be defined" in text or "must be defined" in text:
        return (
            f"found no job of SLURM, Open MPI or Kubernetes; set {ADDRESS} (host:port of the first process), "
            f"{PROCESSES} and {PROCESS}, or leave --distributed out"
        )
    return f"the processes could not be connected: {_reason(error)}"


def _give_up(address: str | None, number: int | None, seconds: int) -> None:
    """Ends the process with a message; JAX waits in C++, where no exception reaches it."""
    if number == 0:
        what = "some of the other processes did not come"
    elif number is None:
        what = "no coordinator (the first process) answered, or some of the other processes did not come"
    else:
        what = f"no coordinator (the first process) answered at {address or 'the address that the job names'}"
    print(
        f"cnnlab: {what} within {seconds} seconds; start all processes, check {ADDRESS} and {PROCESSES}, or let them "
        f"wait longer by {START}",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


@contextlib.contextmanager
def _only_first_speaks() -> Iterator[None]:
    """Silences Python's output and warnings in all processes but the first, unless one exits with a message.

    Gloo's lines go to standard error in all of them: it writes to standard output, where only results belong.
    """
    stderr, unsaid = sys.stderr, io.StringIO()
    with contextlib.ExitStack() as stack:
        if jax.process_index() > 0:
            stack.enter_context(contextlib.redirect_stderr(unsaid))
            stack.enter_context(contextlib.redirect_stdout(unsaid))
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        sys.stdout.flush()
        kept = os.dup(1)
        os.dup2(2, 1)
        try:
            yield
        except SystemExit:
            stderr.write(unsaid.getvalue())
            raise
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
