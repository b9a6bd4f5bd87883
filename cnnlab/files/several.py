"""A function that is called with many names, several at the same time, with a progress bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console

from cnnlab.console import console, progress_bar

WORKERS = 16  # calls at the same time
_SEVERAL = 1024  # calls after which there is a pause
_SHOWN_FILES, _SHOWN_BYTES = 100, 50_000_000  # more than these show their progress


def shown(files: int, size: int, *, quiet: bool = False) -> Console:
    """Returns the console for a progress bar, which prints nothing for few files of few bytes."""
    return console(quiet=quiet or (files < _SHOWN_FILES and size < _SHOWN_BYTES))


def call_each(
    names: Sequence[str], call: Callable[[str], Any], label: str, out: Console, pause: Callable[[], None] = lambda: None
) -> list[Any]:
    """Calls a function with names, several at once, draws a progress bar, and returns the results in order.

    Args:
      names: the names.
      call: function that is called with each name, in threads.
      label: text before the bar.
      out: console that shows the bar.
      pause: function that is called now and then while nothing else is.

    >>> call_each(["a", "b"], str.upper, "example", shown(2, 2))
    ['A', 'B']
    """
    results = []
    texts = {"label": label, "note": "files"}
    with (
        progress_bar(out, texts=texts, total=len(names), last_line=False) as update,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        for done in range(0, len(names), _SEVERAL):
            for i, result in enumerate(pool.map(call, names[done : done + _SEVERAL]), done + 1):
                results.append(result)
                update(completed=i)
            pause()
    return results
