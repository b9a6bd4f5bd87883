"""Ways to damage a file: bytes changed anywhere, and values of a JSON tree replaced by strange ones."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_PLACE = st.floats(0, 1, exclude_max=True)
_EDIT = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "repeat", "zero"]), _PLACE, st.binary(min_size=1, max_size=8)
)
_RAW = ["1e400", "-1e400", "9" * 400, "9" * 5000, "NaN", "Infinity", "[" * 2000, '"\\u0000"', '"\\ud800"']
_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "0", "../x", "a" * 300, "\x1b[2J"]),
    st.lists(st.integers(-2, 2) | st.text(max_size=2), max_size=5),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    st.sampled_from(_RAW).map(lambda raw: {_MARK: raw}),
)
_MARK = "__raw__"


@st.composite
def damaged_bytes(draw, original: bytes) -> bytes:
    """The bytes after one to four edits."""
    data = bytearray(original)
    for kind, share, extra in draw(st.lists(_EDIT, min_size=1, max_size=4)):
        at = int(share * max(len(data), 1))
        if kind == "flip":
            data[at : at + 1] = bytes([(data[at] if data else 0) ^ (extra[0] or 1)])
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = extra
        elif kind == "repeat":
            data[at:at] = data[at : at + 64] * (extra[0] % 16)
        else:
            data[at : at + len(extra)] = bytes(len(extra))
    return bytes(data)


@st.composite
def damaged_json(draw, original: bytes) -> bytes:
    """The JSON text with one to three of its values replaced or removed."""
    tree = json.loads(original)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        if draw(st.booleans()) or not isinstance(holder, dict):
            holder[key] = draw(_VALUE)
        else:
            del holder[key]
    return _dump(tree).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    if isinstance(tree, dict) and _MARK in tree:
        return
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)


def _dump(tree: Any) -> str:
    if isinstance(tree, dict) and _MARK in tree:
        return tree[_MARK]
    if isinstance(tree, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_dump(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(_dump, tree)) + "]"
    return json.dumps(tree)
