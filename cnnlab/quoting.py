"""Text for each kind of output: terminal, CSV, Markdown, LaTeX, figure, file name; and numbers with their nouns."""

import hashlib
import unicodedata
from collections.abc import Sequence

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of control and format characters, lone surrogates, and separators of lines and paragraphs."""

_NAME_BYTES = 120  # a name of 255 bytes has room for an ending and for the name of a part
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def for_terminal(text: object, *, lines: bool = False) -> str:
    r"""Returns text without characters that a terminal obeys; each is written as its escape.

    Args:
      text: what is printed, converted by `str`.
      lines: whether line breaks and tabs stay, as in a message of several lines.

    >>> for_terminal("a\x1b[2J"), for_terminal("a\nb"), for_terminal("a\nb", lines=True)
    ('a\\x1b[2J', 'a\\nb', 'a\nb')
    """
    return "".join(_visible(letter, "\n\t" if lines else "") for letter in str(text))


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun in the singular or plural.

    >>> counted(1, "photo"), counted(2000, "box")
    ('1 photo', '2,000 boxes')
    """
    plural = f"{noun}es" if noun.endswith(("s", "x")) else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def cut(text: object, length: int) -> str:
    """Returns text on one line, cut to a length, of which the end says that it was cut.

    >>> cut("a long name", 8), cut("short", 8)
    ('a lon...', 'short')
    """
    out = for_terminal(text)
    return out if len(out) <= length else f"{out[: length - 3]}..."


def shortened(names: Sequence[str], length: int = 60) -> str:
    """Returns names in brackets after a space, cut to a length, for the end of a line; nothing without names.

    >>> shortened(["cat", "dog"]), shortened([])
    (' (cat, dog)', '')
    """
    return f" ({cut(', '.join(map(str, names)), length)})" if names else ""


def for_csv(cell: object) -> object:
    """Returns a cell of a CSV file that no spreadsheet takes for a formula; numbers stay as they are.

    Text that begins like a formula gets an apostrophe before it, which spreadsheets hide.

    >>> for_csv("=1+1"), for_csv("-1.5"), for_csv(-1.5), for_csv("cat")
    ("'=1+1", '-1.5', -1.5, 'cat')
    """
    if not isinstance(cell, str):
        return cell
    text = for_terminal(cell)
    return f"'{text}" if cell.startswith(_FORMULA) and not _is_number(cell) else text


def for_markdown(text: object) -> str:
    r"""Returns text for a Markdown page or a cell of its tables: no HTML, no markup, on one line.

    >>> for_markdown("a|b <script>")
    'a\\|b &lt;script&gt;'
    """
    out = for_terminal(text)
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        out = out.replace(letter, entity)
    return "".join(f"\\{letter}" if letter in "\\`*_[]|~$" else letter for letter in out)


def for_latex(text: object) -> str:
    r"""Returns text for LaTeX: the letters that it reads as commands are escaped.

    >>> for_latex("50 % of a_b")
    '50 \\% of a\\_b'
    """
    special = {letter: f"\\{letter}" for letter in "#$%&_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(letter, letter) for letter in for_terminal(text))


def for_figure(text: object) -> str:
    """Returns text for a figure: an underscore at its beginning would hide it from matplotlib's legends.

    >>> for_figure("_cat") == "\u200b_cat", for_figure("cat")
    (True, 'cat')
    """
    out = for_terminal(text, lines=True)
    return f"\u200b{out}" if out.startswith("_") else out  # a space of no width


def for_file_name(text: str) -> str:
    """Returns text as the beginning of a file's name: without separators, not hidden, with room for what follows.

    >>> for_file_name(".."), for_file_name("a/b"), for_file_name("photo 1.2"), len(for_file_name("x" * 300))
    ('_..', 'a_b', 'photo 1.2', 118)
    """
    out = for_terminal(text).replace("/", "_").replace("\\", "_")
    if len(out.encode()) > _NAME_BYTES:
        digest = hashlib.sha256(out.encode()).hexdigest()[:16]
        out = f"{out.encode()[: _NAME_BYTES - 19].decode(errors='ignore')}-{digest}"
    return f"_{out}" if not out.strip(". ") else out


def _visible(letter: str, allowed: str) -> str:
    if letter in allowed or unicodedata.category(letter) not in _HIDDEN:
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
