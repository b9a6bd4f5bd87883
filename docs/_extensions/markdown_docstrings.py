"""Lets Sphinx read docstrings that mark code as Markdown does, with single backticks."""

import re

CODE = re.compile(r"(?<![`:\w])(`[^`]+`)(?!`)")


def to_literals(lines: list[str]) -> None:
    """Replaces single backticks by double ones, and escapes the bars of |x| elsewhere, in place."""
    parts = CODE.split("\n".join(lines))
    parts[1::2] = [f"`{code}`" for code in parts[1::2]]
    parts[::2] = [text.replace("|", "\\|") for text in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def setup(app):
    """Runs before Napoleon reads the sections."""
    app.connect("autodoc-process-docstring", lambda *arguments: to_literals(arguments[-1]), priority=400)
    return {"parallel_read_safe": True}
