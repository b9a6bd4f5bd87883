"""Time and memory against batch, image size, depth and passes: are they straight lines? And time against cores.

    python experiments/benchmarks/growth.py [--json] [--output runs/growth] [--record]

The first three sweeps are train steps of a plain stack of 3x3 convolutions. The last one is MC-Dropout of the lecture's
first Keras network. Memory is what the compiled program needs beside its arguments and results, as XLA plans it.
`off_line` is the largest distance of a point from the straight line, of time and of memory, as a share of the largest
value.

`--sweeps cores` compares train step, inference, MC-Dropout and reading photos on 1, 2, 4, ... cores with PyTorch on as
many (`cores.py`), and draws nothing.

Time and memory grow in proportion to batch, pixels and depth, and passes cost next to nothing.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import cores as many_cores
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from mc_dropout import images
from networks import Row
from timing import OFF, Options, device, take_turns
from train_step import calls, train_program

import cnnlab
from cnnlab.plots.canvas import new_figure

Point = tuple[Callable[[], None], float]  # a call, and the megabytes of its program


class Sweep(NamedTuple):
    """A quantity that grows, its values, and the function that builds the program for a value."""

    unit: str
    values: tuple[int, ...]
    build: Callable[[int], Point]


def train_point(*, batch: int = 16, side: int = 32, depth: int = 4) -> Point:
    """Builds a train step of `depth` convolutions of 16 channels."""
    network = cnnlab.create_model("convnet", num_classes=10, stages=((16,) * depth,))
    program = train_program(Row(network, (side, side, 3), batch, ()), cnnlab.jit)
    return calls(*program), _megabytes(*program)


def passes_point(passes: int, batch: int = 128) -> Point:
    """Builds MC-Dropout of a network with spatial dropout after its convolutions."""
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

ON_CORES: dict[str, Any] = {"network": "keras_mnist", "batch": None, "files": 128, "rounds": 3, "seconds": 0.5}
"""Options of the sweep over cores."""


def main(
    sweeps: tuple[str, ...] = tuple(SWEEPS),
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    points: int | None = None,
    rounds: int = 5,
    cores: tuple[int, ...] = (),
    output: Path = Path("runs/growth"),
    recording: Options = OFF,
) -> dict:
    """Times every point, prints a table or JSON, and draws the figure.

    Args:
        sweeps: names of the sweeps; `cores` is one of them.
        json_only: print one JSON object.
        points: number of points of each sweep, the smallest ones.
        rounds: turns of every point.
        cores: numbers of cores; by default 1, 2, 4, ... and all that the process may use.
        output: folder of the figure.
        recording: whether the results are stored.
    """
    rows = []
    for name in [sweep for sweep in sweeps if sweep != "cores"]:
        values = SWEEPS[name].values[:points]
        built = {str(value): SWEEPS[name].build(value) for value in values}
        times = take_turns({value: call for value, (call, _) in built.items()}, rounds=rounds, repeats=3)
        memory = {value: round(megabytes, 1) for value, (_, megabytes) in built.items()}
        x = _abscissa(name, values)
        off = [round(off_line(x, list(values.values())), 3) for values in (times, memory)]
        fields = {"ms": {value: round(ms, 2) for value, ms in times.items()}, "megabytes": memory, "off_line": off}
        rows.append({"name": name, "unit": SWEEPS[name].unit} | fields)
        metrics = {f"{SWEEPS[name].unit} {value} (ms)": ms for value, ms in times.items()}
        metrics |= {f"{SWEEPS[name].unit} {value} (MB)": megabytes for value, megabytes in memory.items()}
        metrics |= dict(zip(("off_line of time", "off_line of memory"), off, strict=True))
        recording.add(f"growth, {name}", metrics, group="speed")
    if rows:
        output.mkdir(parents=True, exist_ok=True)
        _draw(rows).savefig(output / "growth.png", bbox_inches="tight")
    scaling = []
    if "cores" in sweeps:
        peers = {"peers": importlib.util.find_spec("torch") is not None} | ON_CORES
        scaling = many_cores.measure(cores or many_cores.counts(), **peers)
        many_cores.record(scaling, recording)
    report = {"rows": rows + scaling, "device": device()}
    if json_only:
        print(json.dumps(report))
        return report
    for fields in rows:
        print(f"{fields['name']:>12}  " + "  ".join(f"{value:>8}" for value in fields["ms"]))
        for key, off in zip(("ms", "megabytes"), fields["off_line"], strict=True):
            values = "  ".join(f"{value:8.1f}" for value in fields[key].values())
            print(f"{key:>12}  {values}   off the line by {off:.1%} at most")
    many_cores.show(scaling)
    if rows:
        print(output / "growth.png")
    return report


def off_line(x: list[float], y: list[float]) -> float:
    """Returns the largest distance from the least-squares line, as a share of the largest value."""
    return abs(np.subtract(y, np.polyval(np.polyfit(x, y, 1), x))).max() / max(y)


def _abscissa(name: str, values: tuple[int, ...]) -> list[float]:
    return [value**2 / 1000 if name == "image size" else float(value) for value in values]


def _draw(rows: list[dict]):
    figure, axes = new_figure(2, len(rows), size=(3.1 * len(rows), 5))
    for column, fields in zip(axes.T, rows, strict=True):
        x = _abscissa(fields["name"], tuple(map(int, fields["ms"])))
        for axis, key, colour in zip(column, ("ms", "megabytes"), ("#0072b2", "#d55e00"), strict=True):
            y = list(fields[key].values())
            axis.plot(x, y, "o", color=colour)
            axis.plot(x, np.polyval(np.polyfit(x, y, 1), x), "-", color="#999999", linewidth=1)
            axis.set(ylim=(0, 1.1 * max(y)), xlim=(0, None), ylabel=key)
        column[0].set_title(fields["name"], fontsize=10)
        column[1].set_xlabel("thousand pixels" if fields["name"] == "image size" else fields["unit"])
    return figure


if __name__ == "__main__":
    tyro.cli(main)
