"""One train step of nine networks under two installations in turns, for example under two versions of JAX.

    python experiments/benchmarks/versions.py OTHER_PYTHON [--json] [--networks lenet5 ...] [--record]

`OTHER_PYTHON` is the interpreter of a virtual environment in which this checkout and `tyro` are installed. Each
installation runs in its own process, round by round. `ratio` is the time of the other installation divided by that of
this one: above 1, this one is faster.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro
from networks import ROWS
from timing import OFF, Options, device, process, record_rows

STEP = str(Path(__file__).with_name("train_step.py"))


def installed(python: str) -> str:
    """Returns the versions of an installation, such as `Python 3.13, jax 0.12.0.1`."""
    code = "import jax, sys; print(f'Python {sys.version_info[0]}.{sys.version_info[1]}, jax {jax.__version__}')"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def measured(network: str, pythons: dict[str, str], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Returns the row of a network: median milliseconds and peak memory by installation."""
    options = ("--networks", network, "--alone", "cnnlab", "--no-peers")
    this, other = (process(STEP, *options, name=name, python=python) for name, python in pythons.items())
    with this as ask_this, other as ask_other:
        ask = dict(zip(pythons, (ask_this, ask_other), strict=True))
        compiled = {name: round(call(1)["ms"] / 1000, 1) for name, call in ask.items()}
        repeats = {name: max(3, round(1000 * seconds / call(2)["ms"])) for name, call in ask.items()}
        turns = [{name: call(repeats[name]) for name, call in ask.items()} for _ in range(rounds)]
    ms = {name: round(statistics.median(turn[name]["ms"] for turn in turns), 3) for name in pythons}
    first, second = ms.values()
    peaks = {name: turns[-1][name]["peak_mb"] for name in pythons}
    sizes = {"name": network, "images": ROWS[network].batch}
    return sizes | {"ms": ms, "ratio": round(second / first, 3), "compile_s": compiled, "peak_mb": peaks}


def main(
    python: tyro.conf.Positional[str],
    /,
    networks: tuple[str, ...] = tuple(ROWS),
    rounds: int = 7,
    seconds: float = 0.3,
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    recording: Options = OFF,
) -> dict[str, Any]:
    """Times the train step of each network under both installations.

    Args:
        python: interpreter of the other installation.
        networks: names of networks.
        rounds: turns of each installation.
        seconds: length of a turn.
        json_only: print one JSON object only.
        recording: whether the results are stored.
    """
    pythons = {installed(path): path for path in (sys.executable, python)}
    if len(pythons) < 2:
        raise SystemExit(f"both installations have {next(iter(pythons))}; name the interpreter of another one")
    rows = []
    for network in networks:
        rows.append(measured(network, pythons, rounds=rounds, seconds=seconds))
        if not json_only:
            times = ", ".join(f"{ms:,.1f} ms under {name}" for name, ms in rows[-1]["ms"].items())
            print(f"{network}: {times}, ratio {rows[-1]['ratio']}", flush=True)
    record_rows(rows, "train step under two versions", recording)
    report = {"rows": rows, "device": device()}
    if json_only:
        print(json.dumps(report))
    return report


if __name__ == "__main__":
    tyro.cli(main)
