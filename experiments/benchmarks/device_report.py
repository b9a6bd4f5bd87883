"""Everything that a new device should show, within ten minutes: cnnlab beside PyTorch, the quick cases first.

    pip install ".[peers]" && python experiments/benchmarks/device_report.py [--cases start small ...] [--budget 600]

Each case of `device_cases.py` runs in a process of its own. A row is printed, and its JSON line flushed, when it is
measured. A case that fails is named with its error, and the next one goes on. A case is left out, and named, if it may
take longer than what remains of the budget; `--cases` runs it later. PyTorch is measured where it is installed,
`torch.compile` near the end. `ratio` is the time of the fastest peer divided by cnnlab's in the same run, both warm, by
medians: above 1, cnnlab is faster.

The rows are stored as `docs/devices/NAME.json` after each one, beside the rows of earlier calls on the same machine
with the same versions. `performance_page.py` writes the page from these files. On a CPU they are stored in
`runs/devices`.

`--small` shrinks all sizes, to try the report on a CPU: its figures mean nothing.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import tyro
from device_cases import CASES, Sizes, small_sizes, summarised
from results import processor

from cnnlab.files.atomic import write_text

ROOT = Path(__file__).parents[2]
LEFT_OUT, FAILED = "left_out", "failed"


class Report(NamedTuple):
    """What was measured on a machine.

    Attributes:
      machine: names and versions; None before the first case has started.
      rows: rows by case and name.
      problems: for each case that has failed or was left out, the kind of the problem and the reason.
    """

    machine: dict[str, Any] | None
    rows: list[dict[str, Any]]
    problems: dict[str, dict[str, str]]


def machine() -> dict[str, Any]:
    """Returns the device, the processor and the versions."""
    devices = jax.devices()
    versions = {}
    for name in ("jax", "jaxlib", "flax", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    names = {"device": devices[0].device_kind, "platform": devices[0].platform, "devices": len(devices)}
    return names | {"processor": processor(), "python": platform.python_version()} | versions


def measure_alone(case: str, sizes: Sizes) -> None:
    """Measures a case in this process and prints the machine and each row as a line of JSON."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not come between the lines

    def tell(fields: dict[str, Any]) -> None:
        print(json.dumps(fields), file=lines, flush=True)

    tell({"machine": machine()})
    try:
        for row in CASES[case].measure(sizes):
            tell(row)
    except Exception as error:
        tell({FAILED: summarised(error)})
        raise


def answers(command: list[str], seconds: float) -> Iterator[dict[str, Any]]:
    """Starts a command and yields its lines of JSON; after so many seconds it is ended with all processes it started.

    If it ended by itself with an error and has not named it, or if its time was over, the last object has the error.
    """
    over = threading.Event()

    def end(child: subprocess.Popen) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        timer = threading.Timer(seconds, lambda: (over.set(), end(child)))
        timer.start()
        told = False
        try:
            for line in child.stdout:
                fields = json.loads(line)
                told |= FAILED in fields and "name" not in fields
                yield fields
            child.wait()
        finally:
            timer.cancel()
            end(child)
    if over.is_set():
        yield {FAILED: f"its time of {seconds:.0f} s is over"}
    elif child.returncode and not told:
        yield {FAILED: f"its process ended with {child.returncode}"}


def load(path: Path, current: dict[str, Any]) -> Report:
    """Reads the report of the same machine with the same versions; an empty one if there is none."""
    if path.exists():
        stored = json.loads(path.read_text())
        if stored["machine"] == current:
            return Report(current, stored["rows"], stored["problems"])
    return Report(current, [], {})


def updated(report: Report, case: str, row: dict[str, Any]) -> Report:
    """Returns the report with a row, in place of that of the same case and name."""
    row = {"case": case, "date": datetime.date.today().isoformat()} | row
    others = [old for old in report.rows if (old["case"], old["name"]) != (case, row["name"])]
    order = list(CASES)
    return report._replace(rows=sorted([*others, row], key=lambda each: order.index(each["case"])))


def save(report: Report, path: Path) -> None:
    """Writes a report whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(report._asdict(), indent=1, ensure_ascii=False) + "\n")


def file_name(kind: str) -> str:
    """Returns the name of a device's file.

    >>> file_name("NVIDIA H100 80GB HBM3")
    'nvidia-h100-80gb-hbm3.json'
    """
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-") + ".json"


def say(case: str, fields: dict[str, Any]) -> None:
    """Prints a row for people on standard error and as a line of JSON on standard output."""
    print(json.dumps({"case": case} | fields), flush=True)
    if "name" not in fields:
        ((kind, reason),) = fields.items()
        text = f"{case}: {kind.replace('_', ' ')}, {reason}"
    else:
        parts = [f"{name} {value:g} ms" for name, value in fields.get("ms", {}).items() if isinstance(value, float)]
        parts += [f"best peer / cnnlab {fields['ratio']}"] if fields.get("ratio") else []
        parts += [f"{name} {value:g}" for name, value in fields.get("facts", {}).items()]
        parts += [f"{name} failed: {error}" for name, error in fields.get(FAILED, {}).items()]
        text = f"{fields['name']}: {', '.join(parts)}"
    print(text, file=sys.stderr, flush=True)


def main(
    cases: tuple[str, ...] = tuple(CASES),
    budget: float = 600.0,
    patience: float = 1.0,
    small: bool = False,
    peers: bool = True,
    output: Path | None = None,
    alone: bool = False,
) -> Path | None:
    """Measures all cases and writes the report of the device.

    Args:
        cases: names of the cases, in the order in which they run.
        budget: seconds for all cases.
        patience: factor of the longest time of each case, for slow or busy machines.
        small: shrink all sizes, to try the report.
        peers: measure PyTorch too, where it is installed.
        output: folder of the report.
        alone: measure the one case in this process, without a report.

    Returns:
        The file of the report; None if nothing was measured.

    Raises:
        ValueError: a case is unknown.
    """
    if unknown := set(cases) - set(CASES):
        raise ValueError(f"cases {sorted(unknown)} are unknown; choose among {', '.join(CASES)}")
    if alone:
        sizes = small_sizes() if small else Sizes()
        return measure_alone(cases[0], sizes if peers else dataclasses.replace(sizes, peers=False))
    until, report, path = time.monotonic() + budget, Report(None, [], {}), None
    for case in cases:
        left, longest, problem = until - time.monotonic(), patience * CASES[case].seconds, None
        if longest > left:
            problem = {LEFT_OUT: f"it may take {longest:.0f} s, and {max(left, 0):.0f} s are left"}
        else:
            options = [*(["--small"] if small else []), *([] if peers else ["--no-peers"])]
            command = [sys.executable, __file__, "--alone", "--cases", case, *options]
            for fields in answers(command, longest):
                if "machine" in fields:
                    if report.machine is None:
                        path = (output or _folder(fields["machine"])) / file_name(fields["machine"]["device"])
                        report = load(path, fields["machine"])
                elif "name" in fields:
                    say(case, fields)
                    report = updated(report, case, fields)
                else:
                    problem = fields
                if path is not None:
                    save(report, path)
        if problem:
            say(case, problem)
        others = {name: each for name, each in report.problems.items() if name != case}
        report = report._replace(problems=others | ({case: problem} if problem else {}))
        if path is not None:
            save(report, path)
    print(path or "nothing was measured", file=sys.stderr)
    return path


def _folder(machine: dict[str, Any]) -> Path:
    return ROOT / "runs" / "devices" if machine["platform"] == "cpu" else ROOT / "docs" / "devices"


if __name__ == "__main__":
    tyro.cli(main)
