"""Keeps the results of all experiments in one file, and writes the pages that show them.

    python experiments/results.py

rewrites the tables of README.md and docs/results.md from `experiments/results.json`. The text outside the markers
`<!-- results NAME -->` and `<!-- end of results -->` is written by hand.

An experiment stores its results when it is called with `--record`. Without this option, the default, it only prints
them, so a shortened run does not overwrite a result. `--results FILE` names another file.

The file is a list of entries. Each has these fields:

- name: what was measured, such as a network on a data set.
- metric: name and unit of the value. `MC` marks the mean over MC-Dropout passes. `docs/numbers.md` explains the others.
- value: a number, or the least and the largest one where only a range is known.
- spread: standard deviation over seeds, or null.
- seeds: number of runs with different seeds, or null for times and memory.
- device: name of the processor or accelerator, and the number of cores.
- date: day of the measurement.
- command: command that measures it again.
- group: section of docs/results.md.
- note: optional, a sentence without which the value cannot be understood.
"""

import dataclasses
import datetime
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import numpy as np
import tyro

from cnnlab.files.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results.json"
README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"
FIELDS = ("name", "metric", "value", "spread", "seeds", "device", "date", "command", "group")
END = "<!-- end of results -->"

Entry = dict[str, Any]
Group = Literal[
    "classification",
    "uncertainty",
    "segmentation",
    "detection",
    "regression",
    "strings",
    "explanations",
    "features",
    "labelling",
    "speed",
]
GROUPS = get_args(Group)

HEADLINES = (
    ("digits, the fixed split", "accuracy"),
    ("MNIST, LeNet5, augmented", "MC accuracy"),
    ("MNIST, LeNet5, augmented", "MC ece"),
    ("Fashion-MNIST, wider", "MC accuracy"),
    ("blood cells, VGG-like Keras network", "accuracy"),
    ("Paris, atlas of 1926", "boundary_f1"),
    ("BCCD, anchors-S20", "map50"),
    ("train step, resnet18", "ratio"),
    ("inference, resnet18", "ratio"),
    ("MC-Dropout, 50 passes, LeNet5, head", "ratio"),
)
"""Name and metric of each row of the README's table."""


@dataclasses.dataclass(frozen=True)
class Recording:
    """Options of every experiment that say whether it stores its results."""

    record: bool = False
    """store the results; leave this out for a shortened run."""
    results: Path = RESULTS
    """JSON file of the results."""

    def add(self, name: str, metrics: Mapping[str, Any], *, group: Group, note: str | None = None) -> None:
        """Stores a value for each metric, if `record` is set. The number of examples and NaN are left out.

        Args:
          name: what was measured.
          metrics: one value a run and metric. A plain number has no seeds.
          group: section of docs/results.md.
          note: sentence that explains the values.
        """
        if not self.record:
            return
        options = {"command": command(sys.argv), "group": group, "note": note, "path": self.results}
        for metric, values in metrics.items():
            runs = np.atleast_1d(values).astype(float)
            if metric == "examples" or not np.isfinite(runs).all():
                continue
            seeds = len(runs) if np.ndim(values) else None
            spread = float(runs.std(ddof=1)) if len(runs) > 1 else None
            record(name, metric, float(runs.mean()), spread=spread, seeds=seeds, **options)


OFF = Recording()
Options = tyro.conf.OmitArgPrefixes[Recording]


def record(
    name: str,
    metric: str,
    value: float,
    *,
    spread: float | None = None,
    seeds: int | None,
    command: str,
    group: Group,
    note: str | None = None,
    path: Path = RESULTS,
) -> Entry:
    """Stores one result with this machine's name and today's date, in place of the one that it measures again.

    An entry is replaced if its name, metric and device are the same. All others stay.

    Args:
      name: what was measured.
      metric: name and unit of the value.
      value: mean over the runs.
      spread: standard deviation over the runs.
      seeds: number of runs with different seeds.
      command: command that measures it again.
      group: section of docs/results.md.
      note: sentence without which the value cannot be understood.
      path: JSON file, which may not exist yet.

    Returns:
      The new entry.
    """
    value, spread = (None if x is None else float(f"{x:.{digits}g}") for x, digits in ((value, 4), (spread, 2)))
    entry = {"name": name, "metric": metric, "value": value, "spread": spread, "seeds": seeds}
    entry |= {"device": device(), "date": datetime.date.today().isoformat(), "command": command, "group": group}
    entry |= {} if note is None else {"note": note}
    entries = load(path) if path.exists() else []
    place = [_key(old) for old in entries].index(_key(entry)) if _key(entry) in map(_key, entries) else len(entries)
    entries[place : place + 1] = [entry]
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in entries)
    write_text(path, f"[\n{lines}\n]\n")
    return entry


def _key(entry: Entry) -> tuple[str, str, str]:
    return entry["name"], entry["metric"], entry["device"]


def load(path: Path = RESULTS) -> list[Entry]:
    """Reads all entries of a file."""
    return json.loads(path.read_text())


def command(arguments: Sequence[str]) -> str:
    """Returns the command line of a script as another checkout can repeat it.

    The options `--record`, `--results`, `--runs` and `--output` are left out, and paths become `DIR` or `FILE`.

    >>> command(["experiments/mnist_dense.py", "--seeds", "5", "--record", "--results", "x.json"])
    'python experiments/mnist_dense.py --seeds 5'
    """
    script, *rest = arguments
    path = Path(script).resolve()
    words = [str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name]
    rest = iter(rest)
    for word in rest:
        option, _, value = word.partition("=")
        if option in ("--results", "--runs", "--output"):
            _ = value or next(rest, None)
        elif option not in ("--record", "--json"):
            words.append("DIR" if Path(word).is_dir() else "FILE" if Path(word).is_file() else word)
    return f"python {shlex.join(words)}"


def device() -> str:
    """Returns the name of the processor and the number of cores, or of the accelerators that JAX uses."""
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    return processor()


def processor() -> str:
    """Returns the number of cores that this process may use and the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cores = len(os.sched_getaffinity(0))
    except (OSError, AttributeError):
        lines, cores = [], os.cpu_count()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = fields.get("model name") or platform.processor() or platform.machine()
    vectors = " (AVX-512)" if "avx512f" in fields.get("flags", "").split() else ""
    return f"{cores} core{'s' if cores != 1 else ''} of {model}{vectors}"


def number(entry: Entry) -> str:
    """Writes an entry's value and spread, both with the same number of decimals.

    >>> number({"value": 0.995, "spread": 0.0012})
    '0.9950 ± 0.0012'
    >>> number({"value": [1, 3.5], "spread": None})
    '1 to 3.5'
    """
    value, spread = entry["value"], entry["spread"]
    if isinstance(value, list):
        return " to ".join(map(_digits, value))
    if spread is None:
        return _digits(value)
    decimals = max(len(_digits(x).partition(".")[2]) for x in (value, spread))
    return f"{value:.{decimals}f} ± {spread:.{decimals}f}"


def _digits(value: float) -> str:
    return f"{value:.0e}" if 0 < abs(value) < 1e-6 else f"{value:,.10f}".rstrip("0").rstrip(".")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Writes a Markdown table."""
    header = list(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows])


def headlines(entries: Sequence[Entry]) -> str:
    """Writes the README's table: of each headline the newest entry."""
    rows = []
    for name, metric in HEADLINES:
        entry = max((e for e in entries if (e["name"], e["metric"]) == (name, metric)), key=lambda e: e["date"])
        seeds = str(entry["seeds"] or "-")
        rows.append([name, metric, number(entry), seeds, entry["device"], entry["date"], f"`{entry['command']}`"])
    return table(("what", "metric", "value ± spread", "seeds", "device", "date", "command"), rows)


def section(entries: Iterable[Entry]) -> str:
    """Writes the entries of a group: a table for each command, device, date and number of seeds."""
    runs: dict[tuple, list[Entry]] = {}
    for entry in entries:
        runs.setdefault((entry["command"], entry["device"], entry["date"], entry["seeds"]), []).append(entry)
    parts = []
    for (line, machine, date, seeds), same in runs.items():
        count = f", {seeds} seed{'s' if seeds > 1 else ''}" if seeds else ""
        parts.append(f"`{line}`\\\n{machine}, {date}{count}")
        firsts: dict[str, str] = {}  # the first metric of each name: names that share it share a table
        tables: dict[str, list[Entry]] = {}
        for entry in same:
            tables.setdefault(firsts.setdefault(entry["name"], entry["metric"]), []).append(entry)
        parts += map(pivot, tables.values())
        notes = dict.fromkeys(f"- {entry['name']}: {entry['note']}" for entry in same if "note" in entry)
        parts += ["\n".join(notes)] if notes else []
    return "\n\n".join(parts)


def pivot(entries: Sequence[Entry]) -> str:
    """Writes a table of names against metrics, with the longer list down the page."""
    cells = {(entry["name"], entry["metric"]): number(entry) for entry in entries}
    names, metrics = (list(dict.fromkeys(entry[field] for entry in entries)) for field in ("name", "metric"))
    if len(names) >= len(metrics):
        return table(("what", *metrics), [[n, *(cells.get((n, m), "") for m in metrics)] for n in names])
    return table(("metric", *names), [[m, *(cells.get((n, m), "") for n in names)] for m in metrics])


def fill(text: str, entries: Sequence[Entry]) -> str:
    """Returns a page with the tables between its markers written anew."""

    def block(match: re.Match) -> str:
        name = match["name"]
        same = [entry for entry in entries if entry["group"] == name]
        return f"{match['start']}\n\n{headlines(entries) if name == 'headlines' else section(same)}\n\n{END}"

    return re.sub(rf"(?P<start><!-- results (?P<name>\w+) -->)\n.*?{END}", block, text, flags=re.DOTALL)


def main() -> None:
    """Rewrites the tables of README.md and docs/results.md."""
    entries = load()
    for page in (README, PAGE):
        write_text(page, fill(page.read_text(), entries))
        print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
