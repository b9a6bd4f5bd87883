"""The page about several runs of one task, side by side."""

from collections.abc import Sequence

from cnnlab.anatomy import Summary, summary
from cnnlab.evaluation.compare import Comparison
from cnnlab.evaluation.comparison_tables import difference_table, first_examples, metric_rows, notes
from cnnlab.evaluation.comparison_tables import verdict as verdict_on
from cnnlab.metrics.names import is_for_a_closer_look, title
from cnnlab.metrics.tables import arrow, cell
from cnnlab.quoting import counted
from cnnlab.reports import words
from cnnlab.reports.content import Page, Part, Section, Text, table
from cnnlab.reports.measure import Story
from cnnlab.reports.network import network_section
from cnnlab.reports.one import again_section, curves_section, versions_section

_MOST = 20  # differing examples


def page_of_runs(stories: Sequence[Story], comparison: Comparison, split: str, commands: Sequence[str]) -> Page:
    """Returns the page about several runs; every other one is compared with the first.

    Args:
      stories: the runs.
      comparison: `compare` of the same runs.
      split: split on which they are compared.
      commands: lines that train and compare the runs again.
    """
    layers = [summary(story.trained) for story in stories]
    names, monitor = comparison.names, stories[0].config["monitor"]["metric"]
    facts = tuple(
        (f"{title(monitor)} of {name}", cell(monitor, scores[monitor]))
        for name, scores in zip(names, comparison.scores, strict=True)
        if monitor in scores
    )
    sections = [
        _trained_section(stories, layers),
        _scores_section(comparison, split),
        _difference_section(comparison),
        *_example_section(comparison),
        *curves_section(*stories),
        *_network_sections(stories, layers),
        versions_section(stories),
        again_section(stories, commands),
    ]
    verdict = " ".join(_verdict(comparison, which, monitor) for which in range(len(names) - 1))
    data = stories[0].config["data"]["name"]
    return Page(f"{counted(len(names), 'run')} on {data}, side by side", verdict, facts, tuple(sections))


def _verdict(comparison: Comparison, which: int, monitor: str) -> str:
    """Says how a run differs from the first by the monitored metric."""
    first, name = comparison.names[0], comparison.names[which + 1]
    difference = comparison.against[which].differences.get(monitor)
    if difference is None:
        return f"{name} is compared with {first} on the same examples."
    interval = f"{difference.low:+.4f} to {difference.high:+.4f}"
    words = f"{title(monitor)} {difference.value:+.4f} ({interval}), {verdict_on(monitor, difference)}"
    return f"{name} against {first}: {words}."


def _trained_section(stories: Sequence[Story], layers: Sequence[Summary]) -> Section:
    """Returns the section with what each run is, and the settings in which they differ."""
    parts: list[Part] = []
    for story, each in zip(stories, layers, strict=True):
        parts.append(Text(f"{story.run}: {words.what(story, each.parameters)} {words.how(story)}"))
        if sentence := words.unfinished(story):
            parts.append(Text(f"{story.run}: {sentence}", warns=True))
    settings = [words.settings(story) for story in stories]
    every = dict.fromkeys(name for each in settings for name in each)
    rows = [(name, *(each.get(name, "unset") for each in settings)) for name in every]
    rows = [row for row in rows if len(set(row[1:])) > 1]
    header = ("setting", *(str(story.run) for story in stories))
    parts.append(table("Settings that differ", header, rows) if rows else Text("All settings are the same."))
    return Section("What was trained on what", tuple(parts))


def _scores_section(comparison: Comparison, split: str) -> Section:
    rows = [
        (name.replace("_", " ") + arrow(name), *(cell(name, scores[name]) for scores in comparison.scores))
        for name in comparison.scores[0]
    ]
    closer = [is_for_a_closer_look(name) for name in comparison.scores[0]]
    header = ("metric", *comparison.names)
    parts = [table("Numbers that decide", header, [row for row, far in zip(rows, closer, strict=True) if not far])]
    if any(closer):
        rest = [row for row, far in zip(rows, closer, strict=True) if far]
        parts.append(table("Numbers for a closer look", header, rest, folded=True))
    return Section(f"Results on the {split} split", tuple(parts))


def _difference_section(comparison: Comparison) -> Section:
    """Returns the section with the differences to the first run and their intervals."""
    about = (
        f"A difference is clear if its {comparison.level:.0%} interval does not contain 0. Every bootstrap sample "
        "takes the same examples for both runs."
    )
    parts: list[Part] = [Text(about)]
    for which, name in enumerate(comparison.names[1:]):
        header, *rows = metric_rows(comparison, which)
        parts.append(table(f"{name} against {comparison.names[0]}", header, rows))
        parts.append(Text(notes(comparison, which)))
    return Section("Differences", tuple(parts))


def _example_section(comparison: Comparison) -> list[Section]:
    """Returns the section with the examples on which the runs differ most."""
    number = len(comparison.differing())
    if not number:
        return []
    header, *rows = first_examples(difference_table(comparison), _MOST)
    runs = "; ".join(f"{i} is {name}" for i, name in enumerate(comparison.names, 1))
    shown = f"; the {len(rows)} largest differences are shown" if number > len(rows) else ""
    about = Text(f"{counted(number, 'example')} differ{'s' if number == 1 else ''}{shown}. Of the columns, {runs}.")
    return [Section("Examples that differ", (about, table("Examples that differ", header, rows)))]


def _network_sections(stories: Sequence[Story], layers: Sequence[Summary]) -> list[Section]:
    """Returns a section for each network that differs from those before it."""
    sections, seen = [], []
    for story, each in zip(stories, layers, strict=True):
        if each.rows in seen:
            continue
        seen.append(each.rows)
        section = network_section(each)
        parts = tuple(
            part._replace(name=f"network-{len(seen)}") if hasattr(part, "suffix") else part for part in section.parts
        )
        sections.append(Section(f"The network of {story.run}", parts))
    return sections
