"""Writes the pages of the reference: one a room with its public names, and one with the options of every command."""

import contextlib
import importlib
import inspect
import io
import os
import pkgutil
import types
from collections.abc import Iterator
from pathlib import Path

from markdown_docstrings import to_literals
from sphinx.pycode import ModuleAnalyzer

import cnnlab
from cnnlab import cli
from cnnlab.commands import COMMANDS

ROOMS = (
    *("training", "evaluation", "uncertainty", "calibration", "explain", "features", "embeddings", "labelling"),
    *("reports", "probe", "predictions", "sheets", "data", "data.annotations", "models", "tasks", "nn", "losses"),
    *("metrics", "plots", "ops", "kernels", "geometry", "anatomy", "export", "trained"),
)
"""Rooms of the package with a page of their own, in the order of the index."""


def setup(app):
    """Writes the pages before Sphinx reads the sources."""
    app.connect("builder-inited", lambda app: write(Path(app.srcdir) / "reference"))
    return {"parallel_read_safe": True}


def write(folder: Path) -> None:
    """Writes all pages of the reference; a page that did not change keeps its time, so that Sphinx does not read it."""
    check_complete()
    folder.mkdir(exist_ok=True)
    pages = {room: room_page(f"cnnlab.{room}") for room in ROOMS}
    pages |= {"commands": commands_page(), "cnnlab": top_page(), "index": index_page()}
    for name, text in pages.items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)


def check_complete() -> None:
    """Raises `ValueError` if a package of `cnnlab` has public names, but no page."""
    modules = (getattr(cnnlab, name) for name in cnnlab.__all__)
    packages = {module.__name__.split(".")[1] for module in modules if inspect.ismodule(module)}
    if missing := sorted(packages - set(ROOMS)):
        raise ValueError(f"ROOMS has no page for cnnlab.{', cnnlab.'.join(missing)}")


def index_page() -> str:
    """Returns the index of the reference."""
    pages = "\n".join(("commands", "cnnlab", *ROOMS))
    first_lines = ((room, inspect.getdoc(importlib.import_module(f"cnnlab.{room}")).splitlines()[0]) for room in ROOMS)
    rows = "\n".join(f"| [`cnnlab.{room}`]({room}.md) | {line} |" for room, line in first_lines)
    return (
        "# Reference\n\nHere are all [commands with their options](commands.md), the names of [`cnnlab`](cnnlab.md)\n"
        f"itself, and the public names of its packages:\n\n| package | content |\n| --- | --- |\n{rows}\n\n"
        f"```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    )


def top_page() -> str:
    """Returns the page of the names that stand in `cnnlab` itself."""
    return "# cnnlab\n\n" + section(cnnlab)


def room_page(name: str) -> str:
    """Returns the page of a package: its public names, then those of the modules that are public themselves."""
    return f"# {name}\n\n" + "\n".join(sections(importlib.import_module(name)))


def sections(module: types.ModuleType) -> Iterator[str]:
    """Yields the names of a module, then a section for each public module below it that has no page of its own."""
    yield section(module)
    for below in modules_below(module):
        if below.__name__.removeprefix("cnnlab.") not in ROOMS:
            yield f"## {below.__name__}\n"
            yield from sections(below)


def section(module: types.ModuleType) -> str:
    """Returns the directives that document a module and its public names: functions and classes, then tables."""
    values = {name: getattr(module, name) for name in public_names(module)}
    values = {name: value for name, value in values.items() if not isinstance(value, types.ModuleType)}
    tables = [name for name, value in values.items() if not is_defined(value)]
    lines = [f".. automodule:: {module.__name__}", ""]
    for name in (*(name for name in values if name not in tables), *tables):
        lines += directive(f"{module.__name__}.{name}", values[name])
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```\n"


def is_defined(value: object) -> bool:
    """Returns whether a value is a class or a function; all others are tables and constants."""
    return inspect.isclass(value) or (callable(value) and hasattr(value, "__name__"))


def public_names(module: types.ModuleType) -> list[str]:
    """Returns `__all__`, or the public functions, classes and tables that the module defines."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_")]


def modules_below(module: types.ModuleType) -> list[types.ModuleType]:
    """Returns the modules in `__all__`, or all modules of a package without `__all__`."""
    if hasattr(module, "__all__"):
        values = (getattr(module, name) for name in module.__all__)
        return [value for value in values if isinstance(value, types.ModuleType)]
    below = pkgutil.iter_modules(getattr(module, "__path__", []), f"{module.__name__}.")
    return [importlib.import_module(each.name) for each in below]


def directive(path: str, value: object) -> list[str]:
    """Returns the autodoc directive of one name."""
    if inspect.isclass(value):
        canonical = f"{value.__module__}.{value.__qualname__}"
        again = path.count(".") == 1 and not canonical.startswith("cnnlab.trained")  # its package documents it, too
        return [f".. autoclass:: {path}", "   :members:", *(["   :no-index:"] if again else []), ""]
    if is_defined(value):
        return [f".. autofunction:: {path}", ""]
    return [f".. py:data:: {path}", "", *(f"   {line}" for line in comment(path, value)), ""]


def comment(path: str, value: object) -> list[str]:
    """Returns the string that stands below a table or constant in the module that defines it."""
    package, name = path.rsplit(".", 1)
    for module in (importlib.import_module(package), *modules_in(package)):
        if vars(module).get(name) is value:
            comments = ModuleAnalyzer.for_module(module.__name__).find_attr_docs()
            if ("", name) in comments:
                lines = list(comments["", name])
                to_literals(lines)
                return lines
    raise RuntimeError(f"{path} has no docstring; write one below its assignment")


def modules_in(package: str) -> list[types.ModuleType]:
    """Returns all modules below a package."""
    path = getattr(importlib.import_module(package), "__path__", [])
    return [importlib.import_module(each.name) for each in pkgutil.walk_packages(path, f"{package}.")]


def commands_page() -> str:
    """Returns the page of the commands, with the help text of each as the parser prints it."""
    parts = [f"## cnnlab {name}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS]
    return "# Commands\n\n" + "\n".join(parts)


def help_text(name: str) -> str:
    """Returns what `cnnlab NAME --help-all`, or `--help`, prints."""
    text = io.StringIO()
    os.environ |= {"COLUMNS": "84", "NO_COLOR": "1", "TERM": "dumb"}
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        code = cli.main([name, "--help-all"]) and cli.main([name, "--help"])
    if code:
        raise RuntimeError(f"cnnlab {name} --help ended with exit code {code}")
    return text.getvalue().strip()
