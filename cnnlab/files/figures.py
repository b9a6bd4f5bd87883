"""Matplotlib figures as PNG files."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnlab.files.atomic import replacing


def png_bytes(figure: Any) -> bytes:
    """Returns a matplotlib figure as the bytes of a PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, bbox_inches="tight", format="png")
    return stream.getvalue()


def save_figures(figures: Mapping[str, Any], directory: Path) -> list[Path]:
    """Writes each matplotlib figure as `directory/NAME.png` and returns the paths.

    A $ in a text, such as the name of a class, is not read as a formula. A name may contain a folder: `images/0007`.
    """
    from matplotlib.text import Text

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        for text in figure.findobj(lambda part: isinstance(part, Text) and "$" in part.get_text()):
            text.set_parse_math("\\mathdefault" in text.get_text())  # labels of a logarithmic axis
        paths.append(directory / f"{name}.png")
        paths[-1].parent.mkdir(exist_ok=True)
        with replacing(paths[-1]) as part:
            figure.savefig(part, bbox_inches="tight", format="png")
    return paths
