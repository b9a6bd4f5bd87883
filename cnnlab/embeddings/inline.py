"""One HTML file of a page, its style and its modules, which neither loads nor sends anything."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from cnnlab.files.cache import named, with_addresses

_IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.MULTILINE)
_REST = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def whole_page(folder: str, modules: Sequence[str], *, title: str, data: Any, blobs: Mapping[str, str]) -> str:
    """Returns a page of the package as one HTML file; its policy forbids every connection and any other script.

    Args:
      folder: folder of the package, with `index.html`, `page.css` and the modules.
      modules: names of the ES modules, each after those that it imports.
      title: title of the page.
      data: what `JSON.parse` reads from the element `data`.
      blobs: text of further elements by their id, in base64.
    """
    assets = files("cnnlab") / folder
    texts = {name: (assets / f"{name}.js").read_text(encoding="utf-8") for name in modules}
    style, script = f"\n{(assets / 'page.css').read_text(encoding='utf-8')}", f"\n{bundle(texts)}"
    policy = (
        f"default-src 'none'; script-src {source_digest(script)}; style-src {source_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    elements = [f'<script type="application/json" id="data">{json_element(data)}</script>']
    elements += [f'<script type="text/plain" id="{name}">{text}</script>' for name, text in blobs.items()]
    elements.append(f'<script type="module">{script}</script>')
    places = {
        "POLICY": f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        "TITLE": f"<title>{html.escape(with_addresses(title))}</title>",
        "STYLE": f"<style>{style}</style>",
        "SCRIPTS": "\n".join(elements),
    }
    return re.sub(
        r"<!-- (\w+) -->", lambda found: places[found[1]], (assets / "index.html").read_text(encoding="utf-8")
    )


def bundle(modules: Mapping[str, str]) -> str:
    """Joins ES modules into one, each as a function whose result holds what the module exports.

    Args:
      modules: name and text of each module, after those that it imports. They import by `import { a } from "./b.js";`
        and export functions and constants where they define them.

    Raises:
      ValueError: a module imports or exports in another way, or before what it imports.

    >>> print(bundle({"a": "export const one = 1;\\n", "b": 'import { one } from "./a.js";\\nlog(one);\\n'}))
    const a = (() => {
    const one = 1;
    return { one };
    })();
    const b = (() => {
    const { one } = a;
    log(one);
    return {  };
    })();
    """
    parts, known = [], set()
    for name, text in modules.items():
        for _, imported in _IMPORT.findall(text):
            if imported not in known:
                raise ValueError(f"{name}.js imports {imported}.js, which must come before it")
        names = ", ".join(_EXPORT.findall(text))
        body = _EXPORT.sub("", _IMPORT.sub(lambda found: f"const {{ {found[1]} }} = {found[2]};\n", text))
        if rest := _REST.search(body):
            raise ValueError(f"{name}.js must import and export as `bundle` says, found {rest[0]!r}")
        parts.append(f"const {name} = (() => {{\n{body}return {{ {names} }};\n}})();")
        known.add(name)
    return "\n".join(parts)


def json_element(value: Any) -> str:
    r"""Returns JSON for a script element: nothing in it ends the element or begins a comment.

    >>> json_element("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    text = json.dumps(named(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def source_digest(text: str) -> str:
    """Returns the source by which a policy allows an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
