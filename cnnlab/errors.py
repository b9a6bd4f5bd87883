"""Errors that name the thing, its value, and what to do."""

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, known: Iterable[str], hint: str = "") -> ValueError:
    """Returns the error for a name that is not in a table; it lists similar names first, then all names.

    >>> str(unknown("model", "lenet", ["linear", "lenet5"]))
    "unknown model 'lenet'; did you mean 'lenet5'? Known: lenet5, linear."
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.6)
    guess = f"did you mean {' or '.join(map(repr, near))}? Known" if near else "known"
    return ValueError(f"unknown {what} {name!r}; {guess}: {', '.join(known) or 'none'}.{hint and ' ' + hint}")


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raises the error of `unknown` if the name is not in the table."""
    if name not in known:
        raise unknown(what, name, known)
