"""What a report says, as plain data: sections of paragraphs, tables, pictures and commands."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

MOST_BYTES = 5_000_000
"""Largest size of a page."""

_MOST_ROWS = 40  # of a table that is shown without a click
_SPARE = 600_000  # bytes for texts and tables, which are counted only roughly


class Text(NamedTuple):
    """A paragraph; a warning is set off from the others."""

    text: str
    warns: bool = False


class Table(NamedTuple):
    """A table.

    Attributes:
      title: what it shows.
      header: names of the columns.
      rows: cells of each row, as text.
      folded: whether only the title is shown before a click.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


class Picture(NamedTuple):
    """A picture.

    Attributes:
      name: name of the file that holds it beside a Markdown page, without suffix.
      alt: what it shows, for readers who do not see it.
      caption: how it is read.
      data: bytes of an SVG or PNG file.
      suffix: `svg` or `png`.
      width: width on a page, in pixels of a screen.
    """

    name: str
    alt: str
    caption: str
    data: bytes
    suffix: str
    width: int


class Code(NamedTuple):
    """Lines of commands or of a program."""

    text: str


Part = Text | Table | Picture | Code


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and its content."""

    heading: str
    parts: tuple[Part, ...]


@dataclasses.dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
      title: heading of the page.
      verdict: sentence on the result, below the heading.
      facts: the main numbers, name and value.
      sections: the sections in the order of reading.
    """

    title: str
    verdict: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, folded: bool = False) -> Table:
    """Returns a table that is folded if it is long."""
    return Table(title, header, rows, folded or len(rows) > _MOST_ROWS)


def within(page: Page, most: int = MOST_BYTES) -> Page:
    """Returns a page without its largest pictures, as many as are too much for a file of `most` bytes.

    A sentence stands in the place of each.

    >>> picture = Picture("map", "A map", "", bytes(3_000_000), "png", 400)
    >>> page = Page("", "", (), (Section("Maps", (picture, picture._replace(data=b""))),))
    >>> [type(part).__name__ for part in within(page, most=4_000_000).sections[0].parts]
    ['Text', 'Picture']
    """
    pictures = [part for section in page.sections for part in section.parts if isinstance(part, Picture)]
    total, left_out = _SPARE + sum(map(_size, pictures)), set()
    for picture in sorted(pictures, key=_size, reverse=True):
        if total <= most:
            break
        left_out.add(id(picture))
        total -= _size(picture)
    sections = (
        dataclasses.replace(
            section, parts=tuple(_missing(part) if id(part) in left_out else part for part in section.parts)
        )
        for section in page.sections
    )
    return dataclasses.replace(page, sections=tuple(sections))


def _size(picture: Picture) -> int:
    return len(picture.data) * 4 // 3  # base64


def _missing(picture: Picture) -> Text:
    size = len(picture.data) / 1e6
    return Text(f"{picture.alt}: this picture of {size:.1f} MB is left out, because the page would be too large.")
