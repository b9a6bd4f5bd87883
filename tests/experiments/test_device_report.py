"""The report of a device, shrunk to seconds on a CPU; its cores, its settings of memory and its roofline."""

import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from cnnlab.runtime import huge_pages

BENCHMARKS = Path(__file__).parents[2] / "experiments" / "benchmarks"
sys.path.append(str(BENCHMARKS))

import cores  # noqa: E402
import device_cases  # noqa: E402
import device_report  # noqa: E402
import growth  # noqa: E402
import large_pages  # noqa: E402
import performance_page  # noqa: E402
import roofline  # noqa: E402

MACHINE = {"device": "Fake 1", "platform": "gpu", "devices": 1, "processor": "2 cores", "python": "3", "jax": "0"}


@pytest.fixture
def within(monkeypatch):
    """Returns a function that runs the report with cases of functions, each within this process."""

    def answers(command, seconds):
        yield {"machine": MACHINE}
        yield from device_report.CASES[command[command.index("--cases") + 1]].measure(None)

    def run(cases, **options):
        table = {name: device_cases.Case(measure, seconds) for name, (measure, seconds) in cases.items()}
        monkeypatch.setattr(device_report, "CASES", table)
        monkeypatch.setattr(device_report, "answers", answers)
        return device_report.main(tuple(cases), **options)

    return run


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("case", ["resnet50", "unet", "yolo", "mc-dropout", "rates"])
def test_a_case_yields_rows_that_are_json(case, monkeypatch):
    monkeypatch.setattr(device_cases, "NETWORKS", dict(list(device_cases.NETWORKS.items())[:1]))
    sizes = dataclasses.replace(device_cases.small_sizes(), peers=False)
    rows = list(device_cases.CASES[case].measure(sizes))
    assert rows == json.loads(json.dumps(rows))
    assert all(row["name"] and all(value > 0 for value in row["facts"].values()) for row in rows)
    assert all(row["ms"]["cnnlab"] > 0 for row in rows if "ms" in row)


def test_the_start_is_timed_by_what_the_command_prints(tmp_path, monkeypatch):
    command = tmp_path / "python"
    command.write_text("#!/bin/sh\necho 'compiled in 1 s'; sleep 0.3; echo 'epoch 1/6  loss 1'; echo 'epoch 2/6'\n")
    command.chmod(0o700)
    monkeypatch.setattr(device_cases.sys, "executable", str(command))
    first, second = device_cases.start(device_cases.small_sizes())
    assert (first["name"], second["name"]) == ("cnnlab train, first run", "cnnlab train, second run")
    facts = first["facts"]
    assert 0 <= facts["compiled after s"] < facts["first epoch after s"] - 0.2 < facts["in all s"]
    command.write_text("#!/bin/sh\necho 'no such data'; exit 2\n")
    with pytest.raises(RuntimeError, match="cnnlab train ended with 2: no such data"):
        next(device_cases.start(device_cases.small_sizes()))


def test_ten_seeds_at_once_are_counted_in_times_of_one(monkeypatch):
    times = {"cnnlab": 2.0, "cnnlab sent": 5.0, "cnnlab seeds": 3.0}
    monkeypatch.setattr(device_cases, "take_turns", lambda variants, **_: times)
    (row,) = device_cases.small(dataclasses.replace(device_cases.small_sizes(), peers=False))
    assert row["facts"]["2 seeds at once / one"] == 1.5
    assert row["facts"]["images/s"] == 1000 * 2 * 4 / 2.0


def test_a_peer_that_fails_is_named_and_the_others_go_on():
    def broken():
        raise RuntimeError("no such kernel")

    sizes = dataclasses.replace(device_cases.small_sizes(), rounds=1)
    builders = {"cnnlab": lambda: lambda: None, "torch eager": broken, "torch other": lambda: lambda: None}
    row = device_cases.compared("row", builders, images=1, sizes=sizes)
    assert row["failed"] == {"torch eager": "RuntimeError: no such kernel"}
    assert set(row["ms"]) == {"cnnlab", "torch other"}
    with pytest.raises(RuntimeError, match="no such kernel"):
        device_cases.compared("row", {"cnnlab": broken}, images=1, sizes=sizes)


def test_a_network_that_fails_is_named_and_the_next_one_goes_on(monkeypatch):
    sizes = dataclasses.replace(device_cases.small_sizes(), peers=False)
    monkeypatch.setattr(device_cases, "_small", lambda row, _: {"name": "good"} if row.batch == 1 else 1 / 0)
    rows = device_cases.small(dataclasses.replace(sizes, small=(sizes.large, sizes.large._replace(batch=1))))
    failed, good = rows
    assert failed["name"] == "train step, lenet5, 28x28, batch 4"
    assert failed["failed"] == {"cnnlab": "ZeroDivisionError: division by zero"}
    assert good == {"name": "good"}


def test_every_row_is_printed_and_stored_and_a_failed_case_does_not_end_the_report(within, tmp_path, capsys):
    cases = {
        "good": (lambda _: iter([{"name": "a", "ms": {"cnnlab": 1.0}}, {"name": "b", "facts": {"s": 2}}]), 10),
        "bad": (lambda _: iter([{"name": "half"}, {"failed": "ValueError: no"}]), 10),
        "long": (lambda _: iter([{"name": "never"}]), 1000),
        "last": (lambda _: iter([{"name": "c"}]), 10),
    }
    path = within(cases, budget=100, output=tmp_path)
    assert [row.get("name") for row in lines(capsys)] == ["a", "b", "half", None, None, "c"]
    stored = json.loads(path.read_text())
    assert path == tmp_path / "fake-1.json"
    assert stored["machine"] == MACHINE
    assert [row["name"] for row in stored["rows"]] == ["a", "b", "half", "c"]
    assert stored["problems"]["bad"] == {"failed": "ValueError: no"}
    assert "it may take 1000 s, and 100 s are left" in stored["problems"]["long"]["left_out"]


def test_a_later_call_replaces_rows_of_the_same_name_and_those_of_another_version_go(within, tmp_path, monkeypatch):
    first = {
        "one": (lambda _: iter([{"name": "a", "facts": {"s": 1}}]), 1),
        "two": (lambda _: iter([{"failed": "x"}]), 1),
    }
    within(first, output=tmp_path)
    path = within(first | {"two": (lambda _: iter([{"name": "b"}]), 1)}, output=tmp_path)
    assert [row["name"] for row in json.loads(path.read_text())["rows"]] == ["a", "b"]
    assert json.loads(path.read_text())["problems"] == {}
    monkeypatch.setitem(MACHINE, "jax", "1")
    path = within({"one": first["one"]}, output=tmp_path)
    assert [row["name"] for row in json.loads(path.read_text())["rows"]] == ["a"]


def test_a_process_that_takes_too_long_is_ended_with_what_it_started_and_its_rows_stay():
    child = 'import subprocess, sys, time; print(\'{"name": "a"}\', flush=True); '
    sleep = f"subprocess.run([{sys.executable!r}, '-c', 'import time; time.sleep(60)'])"
    rows = list(device_report.answers([sys.executable, "-c", child + sleep], 1.0))
    assert rows == [{"name": "a"}, {"failed": "its time of 1 s is over"}]


def test_a_process_that_crashes_is_named_with_its_code():
    crash = [sys.executable, "-c", "import os; os.abort()"]
    assert list(device_report.answers(crash, 30)) == [{"failed": "its process ended with -6"}]


def test_a_case_runs_in_a_process_of_its_own(tmp_path, capfd):
    path = device_report.main(("rates", "start"), small=True, output=tmp_path, budget=100)
    stored = json.loads(path.read_text())
    assert path.name == "cpu.json"
    assert [row["case"] for row in stored["rows"]] == ["rates"] * 4
    assert list(stored["problems"]) == ["start"]
    assert len(capfd.readouterr().out.splitlines()) == 5


def test_the_budget_of_ten_minutes_holds_the_longest_case_and_every_case_but_those_of_many_cores_is_short():
    seconds = {name: case.seconds for name, case in device_cases.CASES.items()}
    assert all(longest <= 600 for longest in seconds.values())
    assert all(longest <= 120 for name, longest in seconds.items() if name not in ("cores", "large pages"))
    assert [name for name in seconds if "compile" in name] == list(seconds)[-4:-2]


def test_unknown_cases_are_named():
    with pytest.raises(ValueError, match=r"\['smal'\] are unknown; choose among start, compilation"):
        device_report.main(("smal",))


def test_the_outcomes_of_tests_are_read_from_what_pytest_prints():
    output = (
        "tests/a.py::one PASSED [ 50%]\ntests/a.py::two[x y] FAILED [ 75%]\ntests/a.py::three SKIPPED (a GPU) [100%]\n"
    )
    facts, failures = device_cases.outcomes(output)
    assert facts == {"passed": 1, "failed": 1, "skipped": 1}
    assert failures == ["tests/a.py::two[x y]"]


def test_the_marked_tests_run_on_the_device_of_the_report():
    (row,) = device_cases.device_tests(device_cases.small_sizes())
    assert row["facts"]["passed"] >= 3
    assert row["facts"]["failed"] == 0


def test_shares_of_the_h200s_peak_by_hand_and_none_of_an_unknown_device():
    quarter = {"multiply_adds": 494.5e12 / 4, "seconds": 1.0, "precision": "tf32"}
    assert roofline.shares("NVIDIA H200", **quarter) == {"share of the peak": 0.5}
    assert roofline.shares("NVIDIA H200", **quarter, moved=3.6e12)["share of the roofline"] == 0.75
    assert roofline.shares("NVIDIA H200", **quarter, moved=1.2e12)["share of the roofline"] == 0.5
    assert roofline.shares("cpu", **quarter) == {}


def test_the_page_has_a_table_for_each_device_and_is_what_the_stored_reports_give():
    row = {"case": "small", "name": "lenet5", "ms": {"cnnlab": 1.0, "flax": 2.0, "torch eager": 8.0}, "ratio": 8.0}
    report = {"machine": MACHINE, "rows": [row | {"date": "2026-01-02"}], "problems": {"yolo": {"failed": "no"}}}
    page = performance_page.with_devices("above <!-- devices -->\nold\n<!-- end of devices --> below", [report])
    assert "| lenet5 | 1 | 8 (torch eager) | 8.00 | flax 2 ms | 2026-01-02 |" in page
    assert "`yolo` has failed: no." in page
    assert page.startswith("above <!--")
    assert page.endswith("--> below")
    assert "old" not in page
    text = (BENCHMARKS.parents[1] / "docs" / "devices.md").read_text()
    assert performance_page.with_devices(text, performance_page.stored_reports()) == text


def test_processes_started_on_one_core_see_one_core_and_the_others_all():
    before = os.sched_getaffinity(0)
    with cores.on_cores(1, {"CNNLAB_PROBE": "1"}):
        assert len(os.sched_getaffinity(0)) == 1
        assert os.environ["CNNLAB_PROBE"] == "1"
    assert os.sched_getaffinity(0) == before
    assert "CNNLAB_PROBE" not in os.environ
    assert [cores.counts(n) for n in (1, 2, 6, 16)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8, 16)]


def test_growth_has_an_axis_of_cores(tmp_path, capsys, monkeypatch):
    options = {"network": "lenet5", "batch": 2, "files": 4, "rounds": 1, "seconds": 0.0, "peers": False}
    monkeypatch.setattr(growth, "ON_CORES", options)
    growth.main(("cores",), json_only=True, cores=(1,), output=tmp_path)
    rows = json.loads(capsys.readouterr().out)["rows"]
    names = ["train step, lenet5", "inference, lenet5", "MC-Dropout, 10 passes", "photos, 4 files"]
    assert [row["name"] for row in rows] == [f"cores, {name}" for name in names]
    assert all(row["speedup"] == {"1": 1.0} and row["ms"]["cnnlab"]["1"] > 0 for row in rows)


def test_settings_of_memory_are_compared_with_none(capsys):
    options = {"settings": ("none", "mallopt"), "networks": ("lenet5",), "batch": 2, "files": 2}
    rows = list(large_pages.measured(cores=(1,), rounds=1, seconds=0.0, **options))
    names = ["compile lenet5", "train step lenet5", "photos"]
    assert [row["name"] for row in rows] == [f"large pages, {name}, 1 cores" for name in names]
    assert all(row["ratio"]["none"] == 1 and row["ratio"]["mallopt"] > 0 for row in rows)
    assert importlib.import_module("large_pages").SETTINGS["hugetlb"] == {"GLIBC_TUNABLES": huge_pages.TUNABLES}
