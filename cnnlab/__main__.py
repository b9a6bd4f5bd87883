"""The program `cnnlab`, also `python -m cnnlab`: large pages first, then the command line."""

import sys

from cnnlab.runtime import huge_pages


def main() -> int:
    """Runs the command line."""
    huge_pages.restart()
    from cnnlab import cli  # slow to import

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
