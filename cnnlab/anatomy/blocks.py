"""Groups the layers of a summary into the solids of a drawing."""

from collections.abc import Callable, Sequence

from cnnlab.anatomy.table import Row, Summary
from cnnlab.plots.architecture import Solid

MOST = 14
"""The largest number of solids that a reader can distinguish; in longer networks, equal neighbours are merged."""

_UPSAMPLING = ("repeat", "resize")


def blocks(summary: Summary) -> list[Solid]:
    """Returns the solids of the drawing, image first; a solid is a layer, a module, or merged neighbours."""
    groups = _gather([row for row in summary.rows if row.kind != "unused"])
    if len(groups) > MOST:
        groups = _merge(groups, summary.rows, _form)
    if len(groups) > MOST:
        groups = _merge(groups, summary.rows, lambda row: row.shape[:2] if len(row.shape) == 3 else _form(row))
    home = {index: number for number, group in enumerate(groups, 1) for index in group} | {-1: 0}
    solids = [Solid(summary.input, "other", "", "image")]
    for number, group in enumerate(groups, 1):
        rows = [summary.rows[index] for index in group]
        inputs = {home[source] for row in rows for source in row.inputs} - {number}
        solids.append(Solid(rows[-1].shape, _kind(_main(rows)), _label(rows), _name(rows), tuple(sorted(inputs))))
    return solids


def _gather(rows: Sequence[Row]) -> list[list[int]]:
    """Groups the indices of rows that are drawn as one solid.

    Rows of a module stay together. A normalisation or an addition joins the row before it; an upsampling joins the
    row after it.
    """
    groups: list[list[int]] = []
    for index, row in enumerate(rows):
        before = rows[index - 1]
        same = "" != row.name.split("/")[0] == before.name.split("/")[0]
        minor = not row.multiply_adds and not row.kind.endswith("_pool") and row.kind != "concatenate"
        follows = minor and row.kind not in _UPSAMPLING and index - 1 in row.inputs
        if groups and (same or follows or before.kind in _UPSAMPLING):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _merge(groups: list[list[int]], rows: Sequence[Row], alike: Callable[[Row], object]) -> list[list[int]]:
    """Merges neighbouring groups whose last rows have the same key (`alike`)."""
    merged: list[list[int]] = []
    for group in groups:
        if merged and alike(rows[group[-1]]) == alike(rows[merged[-1][-1]]):
            merged[-1] = [*merged[-1], *group]
        else:
            merged.append(group)
    return merged


def _form(row: Row) -> tuple:
    return row.shape, _kind(row)


def _main(rows: Sequence[Row]) -> Row:
    return next((row for row in rows if row.multiply_adds), rows[-1])


def _kind(row: Row) -> str:
    if row.multiply_adds:
        return "convolution" if row.kernel else "dense"
    if row.kind.endswith("_pool"):
        return "pool"
    return "join" if row.kind in ("concatenate", "add", "mul") else "other"


def _label(rows: Sequence[Row]) -> str:
    """Returns the label of a solid: kind, kernel and stride as in `conv 3×3, /2`, or the number of its layers."""
    count, main = sum(row.multiply_adds > 0 for row in rows), _main(rows)
    kind = _kind(main)
    short = {"convolution": "conv", "pool": main.kind.removesuffix("_pool"), "other": ""}.get(kind, kind)
    if kind == "join":
        return main.kind
    if count > 1:
        return f"{count} {short}"
    kernel = "×".join(map(str, main.kernel))
    stride = "" if set(main.stride) <= {1} else f", /{main.stride[0]}"
    return f"{short} {kernel}".strip() + (stride if kind == "convolution" else "")


def _name(rows: Sequence[Row]) -> str:
    """Returns the module's name; for several modules the first and the last."""
    names = list(dict.fromkeys(row.name.split("/")[0] for row in rows if row.name and row.multiply_adds))
    return names[0] if len(names) == 1 else f"{names[0]} …\n{names[-1]}" if names else ""
