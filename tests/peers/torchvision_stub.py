"""A stand-in for torchvision, for libraries that import it but whose parts compared here never call it."""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator


class _Anything(types.ModuleType):
    """A module that has every name; each is a class without content."""

    __path__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if _is_stubbed(name) else None

    def create_module(self, spec):
        return _Anything(spec.name)

    def exec_module(self, module):
        pass


def _is_stubbed(name: str) -> bool:
    return name.split(".")[0] == "torchvision"


@contextlib.contextmanager
def stubbed_torchvision() -> Iterator[None]:
    """Lets `import torchvision...` succeed in the context where it is not installed, and forgets it afterwards."""
    if importlib.util.find_spec("torchvision") is not None:
        yield
        return
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in filter(_is_stubbed, list(sys.modules)):
            del sys.modules[name]
