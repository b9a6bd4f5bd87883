"""The program `cnnlab` (or `python -m cnnlab`): switches large memory pages on, then runs the command line."""

import sys

from cnnlab.runtime import huge_pages

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells expect


def main() -> int:
    """Restarts with large memory pages if that helps, runs the command line and returns its exit code."""
    try:
        huge_pages.restart()
        from cnnlab import cli  # slow to import
        from cnnlab.runtime import distributed

        code = cli.main()
        distributed.leave(code)
        return code
    except KeyboardInterrupt:
        print("cnnlab: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
