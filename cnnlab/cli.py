"""The command line: runs one command and turns errors into messages and exit codes.

Results go to standard output, progress and errors to standard error. The exit code is 0 for success, 1 for a failure
and 2 for wrong arguments.
"""

import os
import sys
import warnings
from collections.abc import Sequence

from cnnlab.commands import COMMANDS
from cnnlab.commands.common import Misuse
from cnnlab.errors import unknown
from cnnlab.training.stopping import Stopped
from cnnlab.version import VERSION

FAILED, MISUSED = 1, 2


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
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: print(f"cnnlab: {message}", file=sys.stderr)
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
        return _fail("interrupted", FAILED)
    return 0


def _fail(error: object, code: int) -> int:
    """Prints an error and returns the exit code."""
    print(f"cnnlab: {error}", file=sys.stderr)
    return code


def _overview() -> str:
    """Returns the help text: one line a command."""
    lines = [f"  {name:9} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(
        ["usage: cnnlab COMMAND ...", "", *lines, "", "cnnlab COMMAND --help shows the options of a command."]
    )


if __name__ == "__main__":
    sys.exit(main())
