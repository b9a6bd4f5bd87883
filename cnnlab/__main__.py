"""The program `cnnlab` (or `python -m cnnlab`): switches large memory pages on, then runs the command line."""

import sys

from cnnlab.runtime import huge_pages


def main() -> int:
    """Restarts with large memory pages if that helps, runs the command line and returns its exit code."""
    huge_pages.restart()
    from cnnlab import cli  # slow to import

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
