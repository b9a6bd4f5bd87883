"""Time and memory against batch, image size, depth and passes: straight lines where they should be.

    python experiments/benchmarks/growth.py [--json] [--output runs/growth]

The first three are train steps of a plain stack of 3x3 convolutions, the last is MC-Dropout of the lecture's Keras
network. Memory is what the compiled program needs beside its arguments and results, as XLA plans it. `off_line` is how
far a point lies from the straight line at most, of time and of memory, as a share of the largest value.
Measured on two cores of an AMD EPYC, jax 0.10.2, large pages, 2026-11-21: no point is further from its line than
2.5 % of the largest time or 4 % of the largest memory, and passes cost next to nothing: T 1 takes 42 ms, T 100 45 ms,
both 30 MB. On two cores of a newer EPYC (AVX-512), 2026-11-23: 5.8 % and 4.9 %; T 1 takes 17 ms, T 100 18.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from mc_dropout import images
from networks import Row
from timing import device, take_turns
from train_step import calls, train_program

import cnnlab
from cnnlab.plots.canvas import new_figure

Point = tuple[Callable[[], None], float]  # a call, and the megabytes of its program


class Sweep(NamedTuple):
    """What grows, the values it takes, and what is built of each."""

    unit: str
    values: tuple[int, ...]
    build: Callable[[int], Point]


def train_point(*, batch: int = 16, side: int = 32, depth: int = 4) -> Point:
    """A train step of `depth` convolutions of 16 channels."""
    network = cnnlab.create_model("convnet", num_classes=10, stages=((16,) * depth,))
    program = train_program(Row(network, (side, side, 3), batch, ()), cnnlab.jit)
    return calls(*program), _megabytes(*program)


def passes_point(passes: int, batch: int = 128) -> Point:
    """MC-Dropout, spatial dropout behind the convolutions."""
    network, x = cnnlab.create_model("keras_mnist", num_classes=10, spatial=True), jnp.asarray(images(batch))
    spec = cnnlab.InputSpec((28, 28), classes=tuple("0123456789"))
    trained = cnnlab.Trained(network.init(jax.random.key(0), x), network, cnnlab.tasks.Classification(), spec)
    program = cnnlab.jit(lambda x: cnnlab.mc_predict(trained, x, key=jax.random.key(1), num_samples=passes))
    return lambda: jax.block_until_ready(program(x)), _megabytes(program, x)


def _megabytes(program: Callable, *arguments: Any) -> float:
    return program.lower(*arguments).compile().memory_analysis().temp_size_in_bytes / 1e6


SWEEPS: dict[str, Sweep] = {
    "batch": Sweep("images", (8, 16, 32, 64, 128), lambda n: train_point(batch=n)),
    "image size": Sweep("pixels a side", (16, 32, 64, 96, 128), lambda n: train_point(side=n)),
    "depth": Sweep("convolutions", (2, 4, 8, 16, 32), lambda n: train_point(depth=n)),
    "passes": Sweep("T", (1, 5, 10, 20, 50, 100), passes_point),
}


def main(
    sweeps: tuple[str, ...] = tuple(SWEEPS),
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    points: int | None = None,
    rounds: int = 5,
    output: Path = Path("runs/growth"),
) -> dict:
    """Times every point, prints a table or JSON, and draws the page.

    Args:
        sweeps: what grows.
        json_only: print one JSON object alone.
        points: only so many of each sweep, from its smallest on.
        rounds: turns of every point.
        output: where the picture goes.
    """
    rows = []
    for name in sweeps:
        values = SWEEPS[name].values[:points]
        built = {str(value): SWEEPS[name].build(value) for value in values}
        times = take_turns({value: call for value, (call, _) in built.items()}, rounds=rounds, repeats=3)
        memory = {value: round(megabytes, 1) for value, (_, megabytes) in built.items()}
        x = _abscissa(name, values)
        off = [round(off_line(x, list(found.values())), 3) for found in (times, memory)]
        told = {"ms": {value: round(ms, 2) for value, ms in times.items()}, "megabytes": memory, "off_line": off}
        rows.append({"name": name, "unit": SWEEPS[name].unit} | told)
    output.mkdir(parents=True, exist_ok=True)
    _draw(rows).savefig(output / "growth.png", bbox_inches="tight")
    told = {"rows": rows, "device": device()}
    if json_only:
        print(json.dumps(told))
        return told
    for one in rows:
        print(f"{one['name']:>12}  " + "  ".join(f"{value:>8}" for value in one["ms"]))
        for key, off in zip(("ms", "megabytes"), one["off_line"], strict=True):
            values = "  ".join(f"{value:8.1f}" for value in one[key].values())
            print(f"{key:>12}  {values}   off the line by {off:.1%} at most")
    print(output / "growth.png")
    return told


def off_line(x: list[float], y: list[float]) -> float:
    """The largest distance from the least-squares line, as a share of the largest value."""
    return abs(np.subtract(y, np.polyval(np.polyfit(x, y, 1), x))).max() / max(y)


def _abscissa(name: str, values: tuple[int, ...]) -> list[float]:
    return [value**2 / 1000 if name == "image size" else float(value) for value in values]


def _draw(rows: list[dict]):
    figure, axes = new_figure(2, len(rows), size=(3.1 * len(rows), 5))
    for column, one in zip(axes.T, rows, strict=True):
        x = _abscissa(one["name"], tuple(map(int, one["ms"])))
        for axis, key, colour in zip(column, ("ms", "megabytes"), ("#0072b2", "#d55e00"), strict=True):
            y = list(one[key].values())
            axis.plot(x, y, "o", color=colour)
            axis.plot(x, np.polyval(np.polyfit(x, y, 1), x), "-", color="#999999", linewidth=1)
            axis.set(ylim=(0, 1.1 * max(y)), xlim=(0, None), ylabel=key)
        column[0].set_title(one["name"], fontsize=10)
        column[1].set_xlabel("thousand pixels" if one["name"] == "image size" else one["unit"])
    return figure


if __name__ == "__main__":
    tyro.cli(main)
