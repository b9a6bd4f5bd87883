"""The command line: runs one command and turns errors into messages and exit codes.

Results go to standard output, progress and errors to standard error. The exit code is 0 for success, 1 for a
failure, 2 for wrong arguments and 130 for an interrupt.
"""

import _thread
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

from cnnlab.commands import COMMANDS
from cnnlab.commands.common import Misuse
from cnnlab.commands.elsewhere import copied
from cnnlab.errors import unknown
from cnnlab.files.cache import with_addresses
from cnnlab.quoting import for_terminal
from cnnlab.training.stopping import Stopped
from cnnlab.version import VERSION

_FIRST = """\
Three commands to try:

  cnnlab train                      learns to read handwritten digits, in a minute
  cnnlab report runs/digits-lenet5  writes a page about it: how good it is, and why
  cnnlab draw                       opens a page that reads what you draw

cnnlab --help lists all commands."""

FAILED, MISUSED = 1, 2
INTERRUPTED = 128 + signal.SIGINT  # as shells expect


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        print(_FIRST)
        return 0
    name, *rest = arguments
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name == "--version":
        print(VERSION)
        return 0
    if name not in COMMANDS:
        return _fail(unknown("command", name, COMMANDS), MISUSED)
    hook, sys.unraisablehook = sys.unraisablehook, _interrupt_again
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _print_error(message)
            with copied(name, rest) as rest:
                COMMANDS[name].run(rest)
        sys.stdout.flush()
    except SystemExit as stop:  # tyro raises it for --help and for an option that does not parse
        return int(stop.code or 0)
    except Misuse as error:
        return _fail(error, MISUSED)
    except Stopped as stopped:
        return _fail(stopped, stopped.exit_code)
    except BrokenPipeError:  # the reader of the output, such as head, has closed the pipe
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, the interpreter flushes it when it exits
        return FAILED
    except (ValueError, OSError, FloatingPointError) as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    finally:
        sys.unraisablehook = hook
    return 0


def _interrupt_again(unraisable) -> None:
    """Repeats an interrupt that came in a callback of the garbage collector, where Python would print and forget it.

    It comes a moment later, when the callback has returned.
    """
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        threading.Timer(0.05, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _fail(error: object, code: int) -> int:
    """Prints an error and returns the exit code."""
    _print_error(error)
    return code


def _print_error(message: object) -> None:
    print(f"cnnlab: {for_terminal(with_addresses(str(message)), lines=True)}", file=sys.stderr)


def _overview() -> str:
    """Returns the help text: one line a command."""
    lines = [f"  {name:9} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: cnnlab COMMAND ...", "", *lines, "", "cnnlab COMMAND --help shows the options of a command."]
    )


if __name__ == "__main__":
    sys.exit(main())
