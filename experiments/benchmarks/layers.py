"""Layer by layer: forward pass, gradient of the image and gradient of the kernel, each beside PyTorch's own three.

    pip install ".[peers]" && python experiments/benchmarks/layers.py [--json] [--layers "3x3, 32 to 64"]

`flax` is the direct convolution under plain `jax.jit`; PyTorch's is the faster of its two memory layouts. `ratio` is
PyTorch's time divided by cnnlab's: above 1, cnnlab is faster.

`--output docs/performance.json` stores the rows with machine, date and jaxlib; `performance_page.py` writes the page
`docs/performance.md` from this file. Without PyTorch (`--no-peers`) the direct convolution is the only comparison.
"""

import datetime
import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax import lax
from timing import print_rows, processor, row, take_turns

import cnnlab
from cnnlab.files.atomic import write_text
from cnnlab.kernels import dispatch


class Layer(NamedTuple):
    """One convolution, padded by (k - 1) / 2 · dilation on every side."""

    image: tuple[int, int, int, int]
    side: int
    outputs: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1


LAYERS: dict[str, Layer] = {
    "5x5, 1 to 6": Layer((128, 28, 28, 1), 5, 6),
    "3x3, 3 to 32": Layer((32, 100, 100, 3), 3, 32),
    "3x3, 16 to 16": Layer((4, 256, 256, 16), 3, 16),
    "3x3, 32 to 32": Layer((4, 128, 128, 32), 3, 32),
    "3x3, 32 to 64": Layer((128, 26, 26, 32), 3, 64),
    "3x3, 64 to 64": Layer((128, 32, 32, 64), 3, 64),
    "3x3, 128 to 128": Layer((128, 16, 16, 128), 3, 128),
    "3x3, 256 to 256": Layer((4, 16, 16, 256), 3, 256),
    "3x3, 512 to 512": Layer((128, 4, 4, 512), 3, 512),
    "3x3, 64 to 128, stride 2": Layer((128, 32, 32, 64), 3, 128, stride=2),
    "1x1, 64 to 128, stride 2": Layer((128, 32, 32, 64), 1, 128, stride=2),
    "1x1, 32 to 64": Layer((32, 64, 64, 32), 1, 64),
    "1x1, 256 to 64": Layer((8, 28, 28, 256), 1, 64),
    "3x3, 32 to 32, dilation 4": Layer((8, 64, 64, 32), 3, 32, dilation=4),
    "3x3, 32 depthwise": Layer((32, 64, 64, 32), 3, 32, groups=32),
    "3x3, 128 depthwise": Layer((32, 32, 32, 128), 3, 128, groups=128),
    "7x7, 96 depthwise": Layer((8, 56, 56, 96), 7, 96, groups=96),
}
KEYS = ("layer", "part", "machine", "jaxlib")
PARTS = ("forward", "image gradient", "kernel gradient")


def arrays(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Image and kernel, the same for everyone."""
    rng = np.random.default_rng(0)
    kernel = (layer.side, layer.side, layer.image[-1] // layer.groups, layer.outputs)
    return rng.normal(size=layer.image).astype(np.float32), rng.normal(size=kernel).astype(np.float32)


def jax_parts(layer: Layer, convolve: Callable, compiler: Callable) -> dict[str, Callable[[], None]]:
    """The three parts, each a program of its own."""
    pad = (layer.side - 1) // 2 * layer.dilation

    def forward(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolve(
            x,
            kernel,
            (layer.stride,) * 2,
            [(pad, pad)] * 2,
            rhs_dilation=(layer.dilation,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=layer.groups,
        )

    x, kernel = map(jnp.asarray, arrays(layer))
    gradient = jax.random.normal(jax.random.key(0), jax.eval_shape(forward, x, kernel).shape)
    programs = {  # the gradient is an argument: of a constant, the compiler would compute a part beforehand
        "forward": compiler(lambda x, kernel, _: forward(x, kernel)),
        "image gradient": compiler(lambda x, kernel, g: jax.vjp(lambda x: forward(x, kernel), x)[1](g)),
        "kernel gradient": compiler(lambda x, kernel, g: jax.vjp(lambda k: forward(x, k), kernel)[1](g)),
    }
    return {part: lambda call=call: jax.block_until_ready(call(x, kernel, gradient)) for part, call in programs.items()}


def torch_parts(layer: Layer, *, last: bool) -> dict[str, Callable[[], None]]:
    """The three parts by PyTorch's own operations, channels first or last."""
    import torch

    x, kernel = (torch.tensor(a) for a in arrays(layer))
    layout = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    x, kernel = x.permute(0, 3, 1, 2).contiguous(**layout), kernel.permute(3, 2, 0, 1).contiguous(**layout)
    pad = (layer.side - 1) // 2 * layer.dilation
    options = ([layer.stride] * 2, [pad] * 2, [layer.dilation] * 2, False, [0, 0], layer.groups)
    gradient = torch.randn_like(torch.ops.aten.convolution(x, kernel, None, *options)).contiguous(**layout)

    def back(*wanted: bool) -> None:
        torch.ops.aten.convolution_backward(gradient, x, kernel, None, *options, wanted)

    return {
        "forward": lambda: torch.ops.aten.convolution(x, kernel, None, *options),
        "image gradient": lambda: back(True, False, False),
        "kernel gradient": lambda: back(False, True, False),
    }


def entry(name: str, part: str, times: Mapping[str, float]) -> dict:
    """Returns one measurement: milliseconds of cnnlab, the direct convolution and the faster layout of PyTorch."""
    torch = [value for way, value in times.items() if way.startswith("torch")]
    ms = {"cnnlab": times["cnnlab"], "direct": times["flax"]} | ({"torch": min(torch)} if torch else {})
    return {
        "layer": name,
        "image": "x".join(map(str, LAYERS[name].image)),
        "part": part,
        "ms": {way: round(value, 3) for way, value in ms.items()},
        "ratio": round((min(torch) if torch else times["flax"]) / times["cnnlab"], 3),
        "machine": processor(),
        "date": datetime.date.today().isoformat(),
        "jaxlib": importlib.metadata.version("jaxlib"),
    }


def store(entries: Sequence[dict], path: Path) -> None:
    """Writes measurements into a file, in place of those of the same layer, part, machine and jaxlib."""
    table = json.loads(path.read_text()) if path.exists() else {"layers": [], "rules": []}
    same = {tuple(one[key] for key in KEYS) for one in entries}
    kept = [one for one in table["layers"] if tuple(one[key] for key in KEYS) not in same]
    write_text(path, json.dumps(table | {"layers": [*kept, *entries]}, indent=1, ensure_ascii=False) + "\n")


def main(
    layers: tuple[str, ...] = tuple(LAYERS),
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    rounds: int = 5,
    seconds: float = 0.1,
    peers: bool = True,
    output: Path | None = None,
) -> dict:
    """Times the parts of every layer in turn and prints a table.

    Args:
        layers: names of rows.
        json_only: print one JSON object instead.
        rounds: turns of each variant.
        seconds: of a turn.
        peers: run PyTorch too.
        output: file of measurements in which the rows replace those of the same layers, machine and jaxlib.
    """
    rows, entries = [], []
    for name in layers:
        layer = LAYERS[name]
        ways = {
            "cnnlab": jax_parts(layer, dispatch.convolution, cnnlab.jit),
            "flax": jax_parts(layer, lax.conv_general_dilated, jax.jit),
        }
        if peers:
            ways |= {
                f"torch channels {'last' if last else 'first'}": torch_parts(layer, last=last) for last in (False, True)
            }
        for part in PARTS:
            times = take_turns({way: parts[part] for way, parts in ways.items()}, rounds=rounds, seconds=seconds)
            rows.append(row(f"{name}: {part}", times, images=layer.image[0]))
            entries.append(entry(name, part, times))
            print(f"{name}: {part}", file=sys.stderr)
    if output is not None:
        store(entries, output)
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
