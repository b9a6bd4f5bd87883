"""Matplotlib figures as PNG, PDF or SVG files, and a page that shows those of a directory.

The figures follow matplotlib's own settings: a file `matplotlibrc` in the working directory, or one that the
environment variable MATPLOTLIBRC names, changes fonts, sizes, lines and resolution.
"""

import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from cnnlab.files.atomic import replacing, write_text
from cnnlab.files.cache import with_addresses
from cnnlab.quoting import for_terminal

FigureFormat = Literal["png", "pdf", "svg"]
"""File types of figures: pixels, or shapes that print sharply at any size."""

INDEX = "index.html"
_DPI = 300  # of PNG files, as journals ask for
_SCREEN_DPI = 120  # of figures that are only shown

_STYLE = """body { font: 15px/1.5 sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
figure { margin: 0 0 2.5rem } figcaption { margin-bottom: .4rem } img { max-width: min(100%, 45rem) }"""


def png_bytes(figure: Any, *, dpi: int = _SCREEN_DPI) -> bytes:
    """Returns a matplotlib figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, bbox_inches="tight", format="png", dpi=dpi)
    return stream.getvalue()


def svg_bytes(figure: Any) -> bytes:
    """Returns a matplotlib figure as the bytes of an SVG file: the same bytes for the same figure."""
    import matplotlib

    stream = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "cnnlab"}):
        figure.savefig(stream, bbox_inches="tight", format="svg", metadata={"Date": None})
    return stream.getvalue()


def without_formulas(figure: Any) -> Any:
    """Returns a matplotlib figure in which a $ of a text, such as the name of a class, is not read as a formula."""
    from matplotlib.text import Text

    for text in figure.findobj(lambda part: isinstance(part, Text) and "$" in part.get_text()):
        text.set_parse_math("\\mathdefault" in text.get_text())  # labels of a logarithmic axis
    return figure


def save_figures(figures: Mapping[str, Any], directory: Path, *, figure_format: FigureFormat = "png") -> list[Path]:
    """Writes each matplotlib figure as `directory/NAME.SUFFIX` and returns the paths.

    A $ in a text, such as the name of a class, is not read as a formula. A name may contain a folder: `images/0007`.
    PNG files have 300 dots per inch, or matplotlib's `savefig.dpi` if it is set. PDF files embed fonts as TrueType.

    Args:
      figures: figures by name.
      directory: directory of the files; it is created if missing.
      figure_format: `png`, `pdf` or `svg`.
    """
    import matplotlib

    directory.mkdir(parents=True, exist_ok=True)
    dpi, paths = matplotlib.rcParams["savefig.dpi"], []
    for name, figure in figures.items():
        without_formulas(figure)
        paths.append(directory / f"{name}.{figure_format}")
        paths[-1].parent.mkdir(exist_ok=True)
        with replacing(paths[-1]) as part, matplotlib.rc_context({"pdf.fonttype": 42}):
            figure.savefig(part, bbox_inches="tight", format=figure_format, dpi=_DPI if dpi == "figure" else dpi)
    return paths


def write_index(directory: Path, title: str) -> Path:
    """Writes `directory/index.html`, a page that shows the figures of a directory and its folders; returns its path.

    The page is one file without scripts; its links are relative, so that the directory can be moved.

    Args:
      directory: directory of the figures.
      title: heading of the page.
    """
    suffixes = (".png", ".svg", ".pdf")
    found = [path.relative_to(directory) for path in directory.rglob("*") if path.suffix in suffixes]
    figures = "\n".join(map(_figure, sorted(found, key=lambda path: (len(path.parts), path))))
    heading = html.escape(for_terminal(with_addresses(title)))
    write_text(
        directory / INDEX,
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{heading}</title>\n<style>{_STYLE}</style>\n'
        f"<h1>{heading}</h1>\n{figures}\n</html>\n",
    )
    return directory / INDEX


def _figure(path: Path) -> str:
    """Returns the element of a figure: the image, or a link to a PDF file."""
    link = html.escape(quote(path.as_posix()))
    name = html.escape(for_terminal(path.with_suffix("").as_posix().replace("_", " ")))
    picture = f'<a href="{link}"><img src="{link}" alt="{name}" loading="lazy"></a>'
    shown = f'<a href="{link}">PDF</a>' if path.suffix == ".pdf" else picture
    return f"<figure><figcaption>{name}</figcaption>{shown}</figure>"
