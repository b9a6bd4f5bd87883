"""A comparison as tables: for a person, as Markdown, CSV or LaTeX, and as JSON types."""

from collections.abc import Callable
from typing import Any

from cnnlab.evaluation.compare import Against, Comparison
from cnnlab.evaluation.per_example import Table
from cnnlab.metrics.names import larger_is_better
from cnnlab.metrics.paired import Difference
from cnnlab.quoting import for_latex, for_markdown

Row = list[str]


def metric_rows(comparison: Comparison, which: int) -> list[Row]:
    """Returns the header and a row for each score: both runs, their difference, its interval, and what that means.

    Args:
      comparison: the comparison.
      which: index of the run in `comparison.against`.
    """
    share = f"{comparison.level:.0%}"
    first, second = comparison.scores[0], comparison.scores[which + 1]
    header = ["metric", comparison.names[0], comparison.names[which + 1], "difference", f"{share} interval", "verdict"]
    body = []
    for name, difference in comparison.against[which].differences.items():
        interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
        numbers = [f"{first[name]:.4f}", f"{second[name]:.4f}", f"{difference.value:+.4f}"]
        body.append([name.replace("_", " "), *numbers, interval, verdict(name, difference)])
    return [header, *body]


def verdict(name: str, difference: Difference) -> str:
    """Returns `better`, `worse`, or `unclear` if the interval contains 0; `higher` or `lower` for other scores.

    >>> verdict("nll", Difference(-0.2, -0.3, -0.1)), verdict("nll", Difference(0.1, -0.1, 0.3))
    ('better', 'unclear')
    """
    if not difference.is_clear:
        return "unclear"
    larger = larger_is_better(name)
    if larger is None:
        return "higher" if difference.value > 0 else "lower"
    return "better" if (difference.value > 0) == larger else "worse"


def mcnemar_sentence(comparison: Comparison, which: int) -> str:
    """Returns McNemar's test in words; an empty text if the task has no right and wrong examples."""
    test = comparison.against[which].test
    if test is None:
        return ""
    first, second = comparison.names[0], comparison.names[which + 1]
    return (
        f"{test.first_only} examples are right only in {first}, {test.second_only} only in {second}: "
        f"McNemar's exact test, p = {test.p_value:.3g}"
    )


def notes(comparison: Comparison, which: int) -> str:
    """Returns how the intervals were computed, and McNemar's test in words."""
    draws = f"Intervals: paired bootstrap, {comparison.against[which].draws:,} draws"
    return ". ".join(filter(None, (draws, mcnemar_sentence(comparison, which)))) + "."


def difference_table(comparison: Comparison) -> Table:
    """Returns the examples on which the runs differ, the largest difference first, with each run's columns."""
    index, (first, *_) = comparison.differing(), comparison.examples
    shared = {name: first[name][index] for name in ("file", "index", "truth") if name in first}
    for number, table in enumerate(comparison.examples, 1):
        own = {name: column[index] for name, column in table.items() if name not in ("file", "index", "split", "truth")}
        shared |= {f"{number}.{name}": column for name, column in own.items()}
    return shared


def first_examples(differing: Table, most: int) -> list[Row]:
    """Returns the header and the first rows of a `difference_table`, with few columns."""
    wanted = ("file", "index", "truth", "prediction", "probability_of_truth", "mean_iou", "f1", "error")
    names = [name for name in differing if name.split(".", 1)[-1] in wanted]
    columns = [differing[name][:most] for name in names]
    rows = [
        [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row] for row in zip(*columns, strict=True)
    ]
    return [[name.replace("_", " ") for name in names], *rows]


def as_markdown(comparison: Comparison) -> str:
    """Formats all tables as a Markdown page."""
    parts = ["# Comparison\n"]
    for which in range(len(comparison.against)):
        header, *body = metric_rows(comparison, which)
        lines = [_line(header), "|---" * len(header) + "|", *map(_line, body)]
        parts.append("\n".join(lines) + "\n")
        parts.append(for_markdown(notes(comparison, which)) + "\n")
    return "\n".join(parts)


def columns_of(comparison: Comparison) -> dict[str, list[Any]]:
    """Returns all tables as the columns of one, with a row for each run and score."""
    header = ("metric", "first", "second", "first_value", "second_value", "difference", "low", "high", "draws")
    rows = [
        (name, *names, *(each[name] for each in scores), *d, against.draws)
        for names, scores, against in _pairs(comparison)
        for name, d in against.differences.items()
    ]
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def as_latex(comparison: Comparison) -> str:
    """Formats all tables as LaTeX `tabular` environments, for the package booktabs."""
    parts = []
    for which in range(len(comparison.against)):
        header, *body = (" & ".join(map(for_latex, row)) + r" \\" for row in metric_rows(comparison, which))
        columns = "lrrrrl"
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *body, r"\bottomrule"]
        parts.append("\n".join([*lines, r"\end{tabular}", f"% {notes(comparison, which)}"]))
    return "\n\n".join(parts) + "\n"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Returns the comparison as JSON types."""
    pairs = []
    for names, _, against in _pairs(comparison):
        differences = {name: d._asdict() for name, d in against.differences.items()}
        test = None if against.test is None else against.test._asdict()
        pairs.append(
            {"first": names[0], "second": names[1], "draws": against.draws, "mcnemar": test}
            | {"differences": differences}
        )
    scores = dict(zip(comparison.names, comparison.scores, strict=True))
    return {"level": comparison.level, "scores": scores, "comparisons": pairs, "differing": len(comparison.differing())}


FORMATS: dict[str, Callable[[Comparison], str]] = {"md": as_markdown, "tex": as_latex}
"""Functions that format a comparison, by the suffix of the file."""


def _pairs(comparison: Comparison) -> list[tuple[tuple[str, str], tuple[dict, dict], Against]]:
    names, scores = comparison.names, comparison.scores
    return [((names[0], names[i]), (scores[0], scores[i]), a) for i, a in enumerate(comparison.against, 1)]


def _line(cells: Row) -> str:
    return f"| {' | '.join(map(for_markdown, cells))} |"
