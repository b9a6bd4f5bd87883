"""The page of measurements is generated, and no docstring holds one."""

import ast
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "experiments" / "benchmarks"))

import layers  # noqa: E402
import performance_page  # noqa: E402

MEASURED = re.compile(r"\d\s?(ms|us)\b|[Mm]illiseconds|jaxlib \d|\bEPYC\b|\bXeon\b")


def test_the_page_is_what_the_measurements_give():
    table = json.loads((ROOT / "docs" / "performance.json").read_text())
    assert (ROOT / "docs" / "performance.md").read_text() == performance_page.page(table)
    assert all(set(layers.KEYS) <= one.keys() and one["ms"]["cnnlab"] > 0 for one in table["layers"])


def test_a_measurement_replaces_that_of_the_same_machine_and_keeps_the_others(tmp_path):
    path = tmp_path / "performance.json"
    times = {"cnnlab": 2.0, "flax": 3.0, "torch channels last": 1.0, "torch channels first": 4.0}
    first = layers.entry("5x5, 1 to 6", "forward", times)
    layers.store([first, first | {"machine": "another"}], path)
    layers.store([layers.entry("5x5, 1 to 6", "forward", times | {"cnnlab": 0.5})], path)
    stored = json.loads(path.read_text())["layers"]
    assert sorted((one["machine"] == "another", one["ratio"]) for one in stored) == [(False, 2.0), (True, 0.5)]


def test_no_docstring_of_the_kernels_and_the_ground_holds_a_measurement():
    for folder in ("kernels", "geometry", "ops", "losses", "nn", "models"):
        for path in (ROOT / "cnnlab" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    assert not MEASURED.search(ast.get_docstring(node) or ""), (path, getattr(node, "name", "module"))
