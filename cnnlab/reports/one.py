"""The page about one run."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cnnlab.anatomy import Summary, summary
from cnnlab.data import Examples
from cnnlab.embeddings.embed import embed, titles
from cnnlab.evaluation.decisions import decision_figures
from cnnlab.metrics.names import is_for_a_closer_look
from cnnlab.metrics.tables import number_rows, tables_in, with_worst
from cnnlab.plots.curves import curves
from cnnlab.plots.planes import draw_planes
from cnnlab.quoting import counted
from cnnlab.reports import words
from cnnlab.reports.content import Code, Page, Part, Section, Table, Text, table
from cnnlab.reports.examples import example_section
from cnnlab.reports.figures import CAPTIONS, figure_sections
from cnnlab.reports.measure import Measured, Story
from cnnlab.reports.network import network_section
from cnnlab.reports.pictures import picture
from cnnlab.training.checkpoint import versions

_MAPPED = 1000  # examples of the map: the score of a map compares all pairs


def page_of_run(measured: Measured, commands: Sequence[str]) -> Page:
    """Returns the page about a run.

    Args:
      measured: the run, measured on a split.
      commands: lines that train and measure the run again.
    """
    story, report = measured.story, measured.report
    layers = summary(story.trained)
    sections = [
        trained_section(story, layers),
        network_section(layers),
        *curves_section(story),
        _result_section(measured),
        *figure_sections(measured),
        *_decision_section(measured),
        example_section(measured),
        *table_sections(report),
        _map_section(measured),
        _speed_section(measured, layers),
        versions_section([story]),
        again_section([story], commands),
    ]
    facts = words.facts_of(report, story.config["monitor"]["metric"])
    facts = (*facts, (f"{measured.split.capitalize()} examples", f"{report['examples']:,}"))
    verdict = measured.task.verdict(report)
    return Page(words.name_of(story), f"{verdict[:1].upper()}{verdict[1:]}", facts, tuple(sections))


def trained_section(story: Story, layers: Summary) -> Section:
    """Returns the section that says what was trained on what, and how."""
    parts: list[Part] = [Text(words.what(story, layers.parameters)), Text(words.how(story))]
    if sentence := words.unfinished(story):
        parts.append(Text(sentence, warns=True))
    sizes = story.config["data"]["sizes"]
    uses = {"train": "the network learns from them", "validation": "they choose the best epoch"}
    rows = [(name, f"{n:,}", uses.get(name, "they measure, and are never learnt from")) for name, n in sizes.items()]
    parts.append(table("Splits of the data", ("split", "examples", "use"), rows))
    parts.append(table("All settings", ("setting", "value"), list(words.settings(story).items()), folded=True))
    return Section("What was trained on what", tuple(parts))


def curves_section(*stories: Story) -> list[Section]:
    """Returns the section with the learning curves of runs; none if no epoch is known."""
    parts: list[Part] = []
    for number, story in enumerate(stories, 1):
        monitor = story.config["monitor"]
        if not story.history:
            continue
        figure = curves(story.history, monitor["metric"], maximise=monitor["maximise"])
        first, last = (row["loss"] for row in (story.history[0], story.history[-1]))
        alt = f"Learning curves of {story.run}: the loss goes from {first:.3g} to {last:.3g}"
        caption = "Left the loss, right the monitored metric on the validation split; the dot is its best epoch."
        caption = caption if len(stories) == 1 else f"{story.run}. {caption}"
        parts.append(picture(f"curves-{number}" if len(stories) > 1 else "curves", figure, alt, caption))
    return [Section("Training", tuple(parts))] if parts else []


def _result_section(measured: Measured) -> Section:
    report = {name: value for name, value in measured.report.items() if not isinstance(value, list | Mapping)}
    over = "one pass with dropout off" if measured.passes is None else f"the mean of {measured.passes} dropout passes"
    about = (
        f"Measured on {counted(report['examples'], 'example')} of the split {measured.split}, by {over}. An arrow says "
        "whether larger (↑) or smaller (↓) is better; an interval holds the true value 95 times of 100."
    )
    first = {name: value for name, value in report.items() if not is_for_a_closer_look(name)}
    closer = {name: value for name, value in report.items() if is_for_a_closer_look(name)}
    parts: list[Part] = [Text(about), table("Numbers that decide", ("metric", "value"), list(number_rows(first)))]
    if closer:
        rows = list(number_rows(closer))
        parts.append(table("Numbers for a closer look", ("metric", "value"), rows, folded=True))
    return Section(f"Result on the {measured.split} split", tuple(parts))


def _decision_section(measured: Measured) -> list[Section]:
    """Returns the section for decisions that rest on the confidence; none for a task that does not decide."""
    if not measured.decisions:
        return []
    header = ("score", "value")
    about = (
        "The risk at 80 is the share of wrong predictions if the least sure fifth is left to a person. AURC is the "
        "mean of that share over all such choices. An error AUROC of 1 means that doubt finds every wrong prediction, "
        ".5 that it is no better than chance."
    )
    figure = decision_figures(measured.rows, None, (measured.dataset.name, ""))["risk_coverage"]
    heading, caption = CAPTIONS["risk_coverage"]
    alt = f"{heading} on the {measured.split} split"
    parts: list[Part] = [
        Text(about),
        table("Scores for decisions", header, list(number_rows(measured.decisions))),
        picture("risk-coverage", figure, alt, caption),
    ]
    if measured.fit:
        parts.append(Text(f"{measured.fit[0].upper()}{measured.fit[1:]}."))
    if measured.calibrated:
        rows = list(number_rows(measured.calibrated))
        parts.append(table("Scores with the calibration and the sets that the run stores", header, rows))
    return [Section("Decisions", tuple(parts))]


def table_sections(report: Mapping[str, Any]) -> list[Section]:
    """Returns a section for each table of a report; of many classes the worst stand before all of them."""
    shown = {name: (header, rows) for name, header, rows in tables_in(with_worst(report))}
    sections = []
    for name, columns, rows in tables_in(report):
        header = [column or "kind" for column in columns]
        worst = [table(title, *found) for title, found in shown.items() if title != name and title.startswith(name)]
        heading = f"{name[0].upper()}{name[1:]}"
        sections.append(Section(heading, (*worst, table(f"All {name}" if worst else heading, header, rows))))
    return sections


def _map_section(measured: Measured) -> Section:
    """Returns the section with the map of the split's images by the network's features."""
    examples = measured.dataset[measured.split]
    chosen = np.arange(len(examples))
    if len(chosen) > _MAPPED:
        chosen = np.sort(np.random.default_rng(0).choice(chosen, _MAPPED, replace=False))
    batch = Examples({name: value for name, value in examples[chosen].items() if name in ("image", "label")})
    try:
        found = embed(measured.story.trained, batch, method="pca")
    except ValueError as error:
        return Section("Map of the images", (Text(f"There is no map: {error}."),))
    figure = draw_planes(found.planes, found.labels, found.classes, titles=titles(found))
    alt = f"{counted(len(chosen), 'example')} of the {measured.split} split, placed by what the network makes of them"
    caption = (
        "The two directions (PCA) in which what the last layer reads, or the embedding of a task that has one, varies "
        "most. What lies close together is alike for the network. Trustworthiness says how far neighbours in the plane "
        "are neighbours in the features; cnnlab embed maps all images, on a page that shows each."
    )
    return Section("Map of the images", (picture("map", figure, alt, caption),))


def _speed_section(measured: Measured, layers: Summary) -> Section:
    n, seconds, history = measured.report["examples"], measured.seconds, measured.story.history
    passes = "one pass" if measured.passes is None else f"{measured.passes} passes"
    rows = [
        (f"prediction by {passes}", f"{n / seconds:,.0f} examples a second, {1000 * seconds / n:.3g} ms each"),
        ("device", device()),
    ]
    times = [row["seconds"] for row in history if row.get("seconds", 0) > 0]
    if times:
        rows.append(("training", f"{words.duration(sum(times))}, {words.duration(float(np.median(times)))} an epoch"))
    rows.append(("multiply-adds of one image", f"{layers.multiply_adds:,}"))
    about = "Predictions are timed on the whole split, without compilation, while this page was made."
    return Section("Speed", (Text(about), Table("Speed", ("what", "value"), rows)))


def device() -> str:
    """Returns the device on which this process computes."""
    first, number = jax.devices()[0], jax.device_count()
    return (
        f"{number} × {first.device_kind}" if first.platform != "cpu" else f"CPU, {counted(os.cpu_count() or 1, 'core')}"
    )


def versions_section(stories: Sequence[Story]) -> Section:
    """Returns the section with the versions that trained each run, and those of this process."""
    now = versions()
    names = ["trained with"] if len(stories) == 1 else [f"{story.run} with" for story in stories]
    stored = [story.config["versions"] for story in stories]
    rows = [(name, *(each.get(name, "unknown") for each in stored), version) for name, version in now.items()]
    unknown = ["not stored"] * len(stored)
    rows += [("Python", *unknown, platform.python_version()), ("system", *unknown, f"{sys.platform}, {device()}")]
    return Section("Versions", (Table("Versions", ("package", *names, "measured with"), rows),))


def again_section(stories: Sequence[Story], commands: Sequence[str]) -> Section:
    """Returns the section with the commands that make the runs and this page again."""
    missing = [Text(sentence, warns=True) for story in stories for sentence in words.beyond_settings(story)]
    lines = Code("\n".join(commands))
    return Section("Make it again", (Text("These lines train again and measure again:"), lines, *missing))
