"""The command line: finds the command, and tells how it ended.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 failed, 2 misused.
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
        return _fail("interrupted", FAILED)
    return 0


def _fail(error: object, code: int) -> int:
    print(f"cnnlab: {error}", file=sys.stderr)
    return code


def _overview() -> str:
    lines = [f"  {name:9} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: cnnlab COMMAND ...", "", *lines, "", "cnnlab COMMAND --help tells the options of each."])


if __name__ == "__main__":
    sys.exit(main())
