"""The command line: finds the command, and tells how it ended.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 failed,
2 misused, 130 interrupted.
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
from cnnlab.errors import unknown
from cnnlab.quoting import for_terminal
from cnnlab.training.stopping import Stopped
from cnnlab.version import VERSION

FAILED, MISUSED = 1, 2
INTERRUPTED = 128 + signal.SIGINT  # as shells expect


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
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
            COMMANDS[name].run(rest)
        sys.stdout.flush()
    except SystemExit as stop:  # tyro's own: --help, or a flag that does not parse
        return int(stop.code or 0)
    except Misuse as error:
        return _fail(error, MISUSED)
    except Stopped as stopped:
        return _fail(stopped, stopped.exit_code)
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, the interpreter flushes it at its end
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
    _print_error(error)
    return code


def _print_error(message: object) -> None:
    print(f"cnnlab: {for_terminal(message, lines=True)}", file=sys.stderr)


def _overview() -> str:
    lines = [f"  {name:9} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: cnnlab COMMAND ...", "", *lines, "", "cnnlab COMMAND --help tells the options of each."])


if __name__ == "__main__":
    sys.exit(main())
