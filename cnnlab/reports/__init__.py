"""Reports of runs: one page about a run, or about several side by side, as HTML or Markdown."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
