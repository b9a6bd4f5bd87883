"""A report as one HTML page that loads nothing and holds no script."""

import base64
import datetime
import re
from importlib.resources import files
from typing import Any

from cnnlab.embeddings.inline import source_digest
from cnnlab.files.cache import with_addresses
from cnnlab.quoting import counted, for_terminal
from cnnlab.reports.content import Page, Picture
from cnnlab.version import VERSION

MARK = "cnnlab report"
"""What the pages say of their origin, by which they are known again."""

_TYPES = {"svg": "image/svg+xml", "png": "image/png"}
_NUMBER = re.compile(r"[-+]?[\d.,]+|-")


def as_html(page: Page) -> str:
    """Returns a report as an HTML page; all texts are escaped, and pictures are inside the page.

    >>> "<h1>a &lt;b&gt;</h1>" in as_html(Page("a <b>", "", (), ()))
    True
    """
    import jinja2
    from markupsafe import Markup

    def plain(value: Any) -> Any:
        """Returns text without control characters, which the autoescape then escapes."""
        return for_terminal(with_addresses(value), lines=True) if type(value) is str else value

    folder = files("cnnlab") / "reports" / "template"
    style = (folder / "report.css").read_text(encoding="utf-8")
    options = {"trim_blocks": True, "lstrip_blocks": True, "undefined": jinja2.StrictUndefined, "finalize": plain}
    template = jinja2.Environment(autoescape=True, **options).from_string(
        (folder / "report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        page=page,
        mark=MARK,
        style=Markup(style),
        style_source=source_digest(style),
        version=VERSION,
        date=datetime.date.today().isoformat(),
        kind=lambda part: type(part).__name__,
        data_uri=_data_uri,
        is_number=lambda cell: bool(_NUMBER.fullmatch(str(cell))),
        counted=counted,
    )


def _data_uri(picture: Picture) -> str:
    return f"data:{_TYPES[picture.suffix]};base64,{base64.b64encode(picture.data).decode()}"
