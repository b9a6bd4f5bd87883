"""The OpenAPI description of `cnnlab serve` and its page, which needs no script and no other server."""

import html
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnlab.app.limits import content_policy
from cnnlab.version import VERSION


class Offer(NamedTuple):
    """What a server offers.

    Attributes:
      name: name of the run.
      task: name of the task.
      shape: shape `(H, W, C)` of the images that the network takes.
      classes: names of its classes or targets.
      passes: numbers of MC-Dropout passes, the default first.
      max_pixels: most pixels of an image.
    """

    name: str
    task: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    passes: tuple[int, ...]
    max_pixels: int


def describe(offer: Offer) -> dict[str, Any]:
    """Returns the description of a server as an OpenAPI 3.1 document."""
    error = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    refusals = {
        "400": "The body is empty, or the form holds no file or several.",
        "403": "The request names another host, or comes from a page of another server.",
        "408": "The body came too slowly.",
        "413": "The body or the image is too large.",
        "415": "The body is no image of a known type.",
        "422": "The image is damaged or has too many pixels, or a parameter is wrong.",
        "503": "Too many requests wait; try again after the seconds in Retry-After.",
    }
    height, width, channels = offer.shape
    names = ", ".join(offer.classes)
    binary = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {"type": "object", "properties": {"file": binary}, "required": ["file"]}
    predict = {
        "summary": "Predict one image.",
        "description": (
            f"The network takes {height}x{width} pixels, {'grey' if channels == 1 else 'RGB'}; an image of up to "
            f"{offer.max_pixels:,} pixels is converted. The answer is what cnnlab predict prints for the file."
        ),
        "parameters": [
            {
                "name": "mc",
                "in": "query",
                "description": "Number of MC-Dropout passes; 0 is one pass without dropout.",
                "schema": {"type": "integer", "enum": list(offer.passes), "default": offer.passes[0]},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {}}, "multipart/form-data": {"schema": form}},
        },
        "responses": {
            "200": {
                "description": "The prediction; the header Remark says if the image differs from the training images.",
                "content": {"application/json": {"schema": {}}},
            },
            **{
                status: {"description": text, "content": {"application/json": {"schema": error}}}
                for status, text in refusals.items()
            },
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{offer.name} ({offer.task})",
            "version": VERSION,
            "description": f"A network trained with cnnlab; it predicts {names}." if names else "Trained with cnnlab.",
        },
        "paths": {
            "/predict": {"post": predict},
            "/health": {"get": _plain("Name and task of the run; it answers once the server is ready.")},
            "/metrics": {"get": _plain("Counts, and p50 and p95 of waiting and computing times in milliseconds.")},
            "/openapi.json": {"get": _plain("This description.")},
        },
    }


def _plain(summary: str) -> dict[str, Any]:
    responses = {"200": {"description": "The answer.", "content": {"application/json": {"schema": {}}}}}
    return {"summary": summary, "responses": responses}


_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
code { font-size: .95rem; overflow-wrap: anywhere; }
td { padding: 0 1rem 0 0; vertical-align: top; }
td:first-child, td:last-child { white-space: nowrap; }
"""


def page(description: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the HTML page of a description, with a form that tries it, and the page's Content-Security-Policy."""
    info = {name: html.escape(str(text)) for name, text in description["info"].items()}
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    )
    (mc,) = description["paths"]["/predict"]["post"]["parameters"]
    buttons = " ".join(
        f'<button formaction="/predict?mc={number}">Predict{f", {number} passes" if number else ""}</button>'
        for number in mc["schema"]["enum"]
    )
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{info["title"]}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{info["title"]}</h1>
<p>{info["description"]}</p>
<h2>Try it</h2>
<form method="post" action="/predict" enctype="multipart/form-data">
<p><label>Image <input type="file" name="file" accept="image/*" required></label></p>
<p>{buttons}</p>
</form>
{operations}
</body>
</html>
"""
    return text, content_policy(_STYLE)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (f"?{parameter['name']}=", parameter["description"], ", ".join(map(str, parameter["schema"]["enum"])))
        for parameter in operation.get("parameters", ())
    ]
    rows += [(status, answer["description"], "") for status, answer in operation["responses"].items()]
    cells = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = html.escape(operation.get("description", ""))
    return (
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>\n"
        f"<p>{html.escape(operation['summary'])} {more}</p>\n<table>{cells}</table>\n"
    )
