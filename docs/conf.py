"""Builds the site: python -m sphinx -W docs docs/_build."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

from cnnlab.version import VERSION

project = "cnnlab"
author = "the cnnlab authors"
copyright = "the cnnlab authors, Apache-2.0"
version = release = VERSION

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "myst_nb",
    "markdown_docstrings",
    "reference_pages",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
templates_path = []
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # `-D nb_execution_mode=force` executes the notebooks, as .ci/full does
nb_execution_in_temp = True
nb_execution_timeout = 240  # seconds for a cell
nb_execution_raise_on_error = True

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # shapes and units are in the docstrings
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "sphinx_book_theme"
html_title = "cnnlab"
html_theme_options = {"show_navbar_depth": 1, "use_download_button": False, "show_toc_level": 2}
html_copy_source = False
html_extra_path = ["embedding_digits.html"]
