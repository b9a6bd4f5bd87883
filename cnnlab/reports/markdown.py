"""A report as Markdown: the same content as the HTML page, with its pictures in files."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from cnnlab.files.cache import with_addresses
from cnnlab.quoting import counted, for_markdown, for_terminal
from cnnlab.reports.content import Code, Page, Part, Picture, Table, Text

MARK = "<!-- cnnlab report -->"
"""The first line of the files, by which they are known again."""


def as_markdown(page: Page, pictures: str) -> str:
    """Returns a report as Markdown.

    Args:
      page: the report.
      pictures: folder of the pictures, as the file links to it; `file_name` names each.

    >>> print(as_markdown(Page("Digits", "right", (), ()), "pictures").strip())
    <!-- cnnlab report -->
    <BLANKLINE>
    # Digits
    <BLANKLINE>
    right
    """
    blocks = [MARK, f"# {_text(page.title)}", _text(page.verdict)]
    blocks += [_table(("", ""), page.facts)] if page.facts else []
    for section in page.sections:
        blocks.append(f"## {_text(section.heading)}")
        for part in section.parts:
            blocks += _blocks(part, pictures)
    return "\n\n".join(filter(None, blocks)) + "\n"


def file_name(picture: Picture) -> str:
    """Returns the name of a picture's file."""
    return f"{picture.name}.{picture.suffix}"


def _blocks(part: Part, pictures: str) -> Iterator[str]:
    """Yields the blocks of a part, which empty lines separate."""
    match part:
        case Text():
            yield f"**{_text(part.text)}**" if part.warns else _text(part.text)
        case Code():
            yield "\n".join(f"    {line}" for line in for_terminal(with_addresses(part.text), lines=True).splitlines())
        case Picture():
            yield f"![{_text(part.alt)}]({quote(f'{pictures}/{file_name(part)}')})"
            yield _text(part.caption)
        case Table(folded=True):
            yield f"<details><summary>{_text(part.title)} ({counted(len(part.rows), 'row')})</summary>"
            yield _table(part.header, part.rows)
            yield "</details>"
        case Table():
            yield f"**{_text(part.title)}**"
            yield _table(part.header, part.rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_line(header), "|---" * len(header) + "|", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_text, cells))} |"


def _text(value: str) -> str:
    return for_markdown(with_addresses(str(value)))
