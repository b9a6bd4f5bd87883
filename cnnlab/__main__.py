"""The program `cnnlab`, also `python -m cnnlab`: large pages first, then the command line."""

import sys

from cnnlab.runtime import huge_pages

INTERRUPTED = 130  # 128 and the number of SIGINT, as shells expect


def main() -> int:
    """Runs the command line and returns its exit code, also when it is interrupted while it is imported."""
    try:
        huge_pages.restart()
        from cnnlab import cli  # slow to import

        return cli.main()
    except KeyboardInterrupt:
        print("cnnlab: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
