"""What `device_report.py` measures on a device: each case is a function that yields its rows as they are done.

A row has a `name`, and the median milliseconds `ms` of each variant, with `ratio`, the time of the fastest peer divided
by cnnlab's in the same run. `facts` are other numbers, with their units in their names. A variant that fails is named
in `failed` with its error, and the others go on.
"""

import dataclasses
import functools
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import timing
from mc_dropout import NETWORKS, cnnlab_calls, torch_calls
from networks import LARGE, ROWS, Row
from roofline import shares
from timing import take_turns
from train_step import LEARNING_RATE, calls, train_program

import cnnlab
from cnnlab.training.epoch import take_steps

OWN = ("cnnlab", "cnnlab sent", "cnnlab seeds", "flax", "one pass")  # the variants that are not peers
Build = Callable[[], Callable[[], None]]
Rows = Iterator[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
      rounds: turns of each variant.
      seconds: length of a turn, which has at least three calls.
      peers: whether PyTorch is measured too, where it is installed.
      epochs: epochs of `cnnlab train`.
      steps: steps of a small network in one call.
      seeds: small networks that are trained at once.
      small: networks whose images stay on the device.
      large: network in bfloat16.
      compiled: networks of which the first step is timed without the cache of compiled programs.
      unet: U-Net of the train step and of inference.
      yolo: detectors, their sizes in pixels, and their options.
      batch: images of MC-Dropout.
      passes: numbers of MC-Dropout passes T; PyTorch's loop runs the largest below 100.
      sheet: width of the U-Net, depth, pixels a side of the image and of a window, and passes.
      side: rows of the multiplied matrices.
      tests: arguments of pytest.
      cores: options of `cores.measure`.
      pages: options of `large_pages.main`.
    """

    rounds: int = 3
    seconds: float = 0.5
    peers: bool = True
    epochs: int = 6
    steps: int = 100
    seeds: int = 10
    small: tuple[Row, ...] = (ROWS["lenet5"], ROWS["keras_mnist"])
    large: Row = LARGE["resnet50"]
    compiled: tuple[Row, ...] = (ROWS["lenet5"], ROWS["unet"], ROWS["resnet18"])
    unet: Row = ROWS["unet"]
    yolo: Mapping[str, tuple[int, dict]] = dataclasses.field(
        default_factory=lambda: {"yolo_small": (416, {}), "yolo": (448, {})}
    )
    batch: int = 128
    passes: tuple[int, ...] = (1, 10, 50, 100)
    sheet: tuple[int, int, int, int, int] = (16, 4, 2048, 512, 10)
    side: int = 8192
    tests: tuple[str, ...] = ("-m", "device")
    cores: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {"network": "keras_mnist", "batch": None, "files": 128, "rounds": 2, "seconds": 0.3}
    )
    pages: Mapping[str, Any] = dataclasses.field(
        default_factory=lambda: {
            **{"rounds": 1, "seconds": 0.5, "networks": ("keras_mnist",)},
            "settings": ("none", "hugetlb", "mmap_max", "trim_threshold", "arena_max", "tcache_count", "all"),
        }
    )


def small_sizes() -> Sizes:
    """Returns sizes that let the whole report run on a CPU in a minute; their figures mean nothing."""
    lenet5 = ROWS["lenet5"]._replace(batch=4)
    low = lenet5._replace(network=cnnlab.create_model("lenet5", num_classes=10, dtype=jnp.bfloat16))
    network = cnnlab.create_model("unet", num_classes=10, width=2, depth=1, up="transposed")
    unet = ROWS["unet"]._replace(network=network, size=(32, 32, 3), batch=2, twin=("UNet", 2, 10, 1))
    return Sizes(
        **{"rounds": 1, "seconds": 0.0, "epochs": 1, "steps": 2, "seeds": 2, "batch": 2, "passes": (3,), "side": 64},
        **{"small": (lenet5,), "large": low, "compiled": (lenet5,), "unet": unet, "sheet": (2, 1, 64, 32, 2)},
        yolo={"yolo_small": (32, {"width": 4, "stage_sizes": (1, 2), "stride": 8})},
        tests=("tests/test_quoting.py",),
        cores={"network": "lenet5", "batch": 2, "files": 4, "rounds": 1, "seconds": 0.0},
        pages={"rounds": 1, "seconds": 0.0, "networks": ("lenet5",), "batch": 2, "files": 4, "settings": ("none",)},
    )


class Case(NamedTuple):
    """A part of the report.

    Attributes:
      measure: function that yields the rows.
      seconds: longest time of the case; it is left out if less remains, and ended after it.
    """

    measure: Callable[[Sizes], Rows]
    seconds: float


def compared(name: str, builders: Mapping[str, Build], *, images: int, sizes: Sizes) -> dict[str, Any]:
    """Builds every variant, times them in turns and returns their row; a peer that fails is named in it.

    Args:
      name: name of the row.
      builders: functions that build the call of each variant.
      images: images of a call.
      sizes: number and length of the turns.

    Raises:
      Exception: cnnlab's own variant failed.
    """
    ready, first, failed = {}, {}, {}
    for variant, build in builders.items():
        started = time.perf_counter()
        try:
            ready[variant] = build()
            ready[variant]()
        except Exception as error:
            if variant == "cnnlab":
                raise
            ready.pop(variant, None)
            failed[variant] = summarised(error)
        else:
            first[variant] = round(time.perf_counter() - started, 2)
    times = take_turns(ready, rounds=sizes.rounds, seconds=sizes.seconds, warm=1)
    row = timing.row(name, times, images=images, own=OWN) | {"first_call_s": first}
    row.pop("skipped", None)
    row["facts"] = {"images/s": round(1000 * images / times["cnnlab"])}
    return row | ({"failed": failed} if failed else {})


def attempted(name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Returns the row that a function measures, or one that names its error, so that the next network goes on."""
    try:
        return measure()
    except Exception as error:
        return {"name": name, "failed": {"cnnlab": summarised(error)}}


def summarised(error: BaseException) -> str:
    """Returns the kind of an error and the beginning of its message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def has_torch(sizes: Sizes) -> bool:
    """Returns whether PyTorch is measured."""
    return sizes.peers and importlib.util.find_spec("torch") is not None


def start(sizes: Sizes) -> Rows:
    """Runs `cnnlab train` twice, with an empty cache of compiled programs and with the cache of the first run."""
    with tempfile.TemporaryDirectory() as folder:
        for number in ("first", "second"):
            command = [sys.executable, "-m", "cnnlab", "train", "--training.epochs", str(sizes.epochs)]
            command += ["--run-dir", f"{folder}/{number}"]
            environment = os.environ | {"PYTHONUNBUFFERED": "1", "JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
            environment.pop("XLA_PYTHON_CLIENT_PREALLOCATE", None)  # the command runs as it is
            started, reached, lines = time.perf_counter(), {}, []
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
            ) as child:
                for line in child.stdout:
                    lines.append(line)
                    for event, beginning in (("compiled", "compiled in"), ("first epoch", "epoch 1/")):
                        if line.startswith(beginning):
                            reached.setdefault(f"{event} after s", round(time.perf_counter() - started, 2))
                _, status, usage = os.wait4(child.pid, 0)
                child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode:
                raise RuntimeError(f"cnnlab train ended with {child.returncode}: {''.join(lines[-5:])}")
            whole = {"in all s": time.perf_counter() - started, "user s": usage.ru_utime, "system s": usage.ru_stime}
            facts = reached | {key: round(value, 2) for key, value in whole.items()}
            yield {"name": f"cnnlab train, {number} run", "facts": facts}


def compilation(sizes: Sizes) -> Rows:
    """Times the first train step of each network, without the cache of compiled programs."""
    from train_step import cnnlab_step, flax_step, torch_steps

    jax.config.update("jax_enable_compilation_cache", False)
    for row in sizes.compiled:
        ways = {"cnnlab": cnnlab_step, "flax": flax_step}
        ways |= {"torch": torch_steps(compiled=False)["torch eager"]} if has_torch(sizes) else {}
        seconds = {}
        for name, build in ways.items():
            started = time.perf_counter()
            build(row)()
            seconds[f"{name} s"] = round(time.perf_counter() - started, 2)
        yield {"name": f"first train step, {_network(row)}", "facts": seconds}


def small(sizes: Sizes) -> Rows:
    """Trains small networks whose images stay on the device."""
    for row in sizes.small:
        yield attempted(_train(row), functools.partial(_small, row, sizes))


def small_compiled(sizes: Sizes) -> Rows:
    """Trains small networks beside `torch.compile`."""
    for row in sizes.small:
        ways = _torch_ways(row, sizes.steps, sizes, compiled=True)
        if ways:
            name = f"{_train(row)}, torch.compile"
            builders = {"cnnlab": functools.partial(scanned, row, sizes.steps)} | ways
            images = sizes.steps * row.batch
            yield attempted(name, functools.partial(compared, name, builders, images=images, sizes=sizes))


def _small(row: Row, sizes: Sizes) -> dict[str, Any]:
    peers = _torch_ways(row, sizes.steps, sizes, compiled=False)
    builders = {
        "cnnlab": functools.partial(scanned, row, sizes.steps),
        "cnnlab sent": functools.partial(sent, row, sizes.steps),
        "cnnlab seeds": functools.partial(scanned, row, sizes.steps, sizes.seeds),
    }
    fields = compared(_train(row), builders | peers, images=sizes.steps * row.batch, sizes=sizes)
    if "cnnlab seeds" in fields["ms"]:
        cost = fields["ms"]["cnnlab seeds"] / fields["ms"]["cnnlab"]
        fields["facts"][f"{sizes.seeds} seeds at once / one"] = round(cost, 2)
    work = 3 * sizes.steps * row.batch * _multiply_adds(row)
    fields["facts"] |= _shares(work, fields["ms"]["cnnlab"], "tf32")
    return fields


def large(sizes: Sizes) -> Rows:
    """Trains a large network in bfloat16."""
    yield from _large(sizes, compiled=False)


def large_compiled(sizes: Sizes) -> Rows:
    """Trains the large network beside `torch.compile`."""
    if has_torch(sizes):
        yield from _large(sizes, compiled=True)


def _large(sizes: Sizes, *, compiled: bool) -> Rows:
    row, moved = sizes.large, []

    def own() -> Callable[[], None]:
        program, state, batch = train_program(row, cnnlab.jit)
        program = program.lower(state, batch).compile()
        moved.append(_bytes(program))
        return calls(program, state, batch)

    ways = _torch_ways(row, 1, sizes, compiled=compiled, precision="bfloat16")
    name = f"{_train(row)}, bfloat16{', torch.compile' if compiled else ''}"
    fields = compared(name, {"cnnlab": own} | ways, images=row.batch, sizes=sizes)
    fields["facts"] |= _shares(3 * row.batch * _multiply_adds(row), fields["ms"]["cnnlab"], "bfloat16", moved[0])
    yield fields


def unet(sizes: Sizes) -> Rows:
    """Trains and applies a U-Net."""
    from inference import cnnlab_pass, flax_pass, torch_passes
    from train_step import cnnlab_step, flax_step, torch_steps

    row = sizes.unet
    for name, own, flax, peers in (
        (_train(row), cnnlab_step, flax_step, torch_steps),
        (f"inference, {_network(row)}", cnnlab_pass, flax_pass, torch_passes),
    ):
        ways = {"cnnlab": own, "flax": flax} | (peers(compiled=False) if has_torch(sizes) else {})
        builders = {way: functools.partial(build, row) for way, build in ways.items()}
        yield attempted(name, functools.partial(compared, name, builders, images=row.batch, sizes=sizes))


def yolo(sizes: Sizes) -> Rows:
    """Detects objects on one photo at a time, from its pixels to its boxes."""
    for name, (side, options) in sizes.yolo.items():
        title = f"{name}, {side}x{side}, boxes included"
        yield attempted(title, functools.partial(_detector, title, name, side, options, sizes))


def _detector(title: str, name: str, side: int, options: dict, sizes: Sizes) -> dict[str, Any]:
    from yolo import make, peers

    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    trained = make(name, side, images, **options)
    ways, failed = {}, {}
    try:
        ways = peers(trained, images, compiled=False) if has_torch(sizes) else {}
    except Exception as error:
        failed = {"failed": {"torch": summarised(error)}}
    ways["cnnlab"] = lambda: jax.device_get(cnnlab.predict(trained, images)) and None
    return compared(title, _built(ways), images=1, sizes=sizes) | failed


def _built(ways: Mapping[str, Callable[[], None]]) -> dict[str, Build]:
    return {name: lambda call=call: call for name, call in ways.items()}


def mc_dropout(sizes: Sizes) -> Rows:
    """Times MC-Dropout against the number of passes."""
    for name in NETWORKS:
        for t in sizes.passes:
            title = f"MC-Dropout, {name}, T {t}"
            yield attempted(title, functools.partial(_passes, title, name, t, sizes))


def _passes(title: str, name: str, t: int, sizes: Sizes) -> dict[str, Any]:
    model, options = NETWORKS[name]
    many, once = cnnlab_calls(model, options, batch=sizes.batch, passes=t)
    builders = _built({"cnnlab": many, "one pass": once})
    if has_torch(sizes) and t == max((t for t in sizes.passes if t < 100), default=None):
        builders["torch loop"] = lambda: torch_calls(model, options, batch=sizes.batch, passes=t)["torch loop"]
    fields = compared(title, builders, images=sizes.batch, sizes=sizes)
    return fields | {"facts": {"passes": round(fields["ms"]["cnnlab"] / fields["ms"]["one pass"], 2)}}


def sheets(sizes: Sizes) -> Rows:
    """Predicts an image in windows under MC-Dropout."""
    from unet import cnnlab_windows, examples, torch_variants, torch_windows, untrained

    from cnnlab.sheets import plan_sheet

    width, depth, side, tile, passes = sizes.sheet
    image, trained = (255 * examples(1, side)[0]).astype(np.uint8), untrained(width, depth)
    rows, columns = plan_sheet(trained, (side, side), tile=tile, sampled=True)
    builders = {"cnnlab": functools.partial(cnnlab_windows, trained, image[0], tile, passes)}
    if has_torch(sizes):
        loop = functools.partial(torch_windows, rows=rows, columns=columns, passes=passes)
        ways = torch_variants(loop, width, depth, image / np.float32(255), compiled=False)
        builders |= _built(ways)
    number = len(rows.starts) * len(columns.starts)
    fields = compared(f"U-Net {width}, {side}x{side} in {number} windows, T {passes}", builders, images=1, sizes=sizes)
    yield fields | {"facts": {"windows/s": round(1000 * number / fields["ms"]["cnnlab"], 1)}}


def rates(sizes: Sizes) -> Rows:
    """Multiplies matrices and copies memory."""
    side = sizes.side
    for label, dtype, precision, kind in (
        ("bfloat16", jnp.bfloat16, None, "bfloat16"),
        ("float32 as by default", jnp.float32, None, "tf32"),
        ("float32, highest precision", jnp.float32, "highest", "float32"),
    ):
        a = jax.random.normal(jax.random.key(0), (side, side), dtype)  # products of zeros would be faster
        product = jax.jit(functools.partial(jnp.matmul, precision=precision))
        ms = _alone(functools.partial(product, a, a), sizes)
        facts = {"TFLOP/s": float(f"{2 * side**3 / ms / 1e9:.3g}")} | _shares(side**3, ms, kind)
        yield {"name": f"product of {side}² matrices, {label}", "facts": facts}
    a = jnp.ones((side, side, 4), jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    ms = _alone(functools.partial(copy, a), sizes)
    yield {"name": "memory, read and written", "facts": {"GB/s": round(2 * a.nbytes / ms / 1e6, 1)}}


def _alone(program: Callable[[], jax.Array], sizes: Sizes) -> float:
    return take_turns({"": lambda: program().block_until_ready()}, rounds=sizes.rounds, repeats=5)[""]


def device_tests(sizes: Sizes, seconds: float = 115.0) -> Rows:
    """Runs the marked tests on the device, for at most two minutes."""
    platform = jax.devices()[0].platform
    environment = os.environ | {"CNNLAB_TEST_PLATFORM": "cuda" if platform == "gpu" else platform}
    command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *sizes.tests]
    started, cut = time.perf_counter(), False
    try:
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, timeout=seconds, check=False)
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        output, cut = expired.stdout or b"", True
    facts, failures = outcomes(output.decode(errors="replace"))
    facts |= {"s": round(time.perf_counter() - started, 1)}
    if not facts["passed"] + facts["failed"]:
        raise RuntimeError(f"no test ran: {output.decode(errors='replace')[-300:]}")
    yield {"name": "tests on the device", "facts": facts, "failures": failures} | (
        {"cut": "time is over"} if cut else {}
    )


def outcomes(output: str) -> tuple[dict[str, int], list[str]]:
    """Returns how many tests passed, failed and were skipped, and the names of those that failed.

    >>> outcomes("tests/a.py::one PASSED [ 50%]\\ntests/a.py::two[x y] FAILED [100%]\\n")
    ({'passed': 1, 'failed': 1, 'skipped': 0}, ['tests/a.py::two[x y]'])
    """
    found = re.findall(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b", output, re.MULTILINE)
    number = {kind: sum(result == kind for _, result in found) for kind in ("PASSED", "FAILED", "ERROR", "SKIPPED")}
    facts = {"passed": number["PASSED"], "failed": number["FAILED"] + number["ERROR"], "skipped": number["SKIPPED"]}
    return facts, [name for name, result in found if result in ("FAILED", "ERROR")]


def on_many_cores(sizes: Sizes) -> Rows:
    """Compares both libraries on 1, 2, 4, ... cores of the CPU."""
    import cores

    for row in cores.measure(cores.counts(), peers=has_torch(sizes), **sizes.cores):
        yield row | {"ratios": row.pop("ratio", None)}


def memory_settings(sizes: Sizes) -> Rows:
    """Measures glibc's settings of memory on 1, 2, 4, ... cores of the CPU."""
    import large_pages

    for row in large_pages.measured(**sizes.pages):
        yield row | {"ratios": row.pop("ratio")}


CASES: dict[str, Case] = {
    "start": Case(start, 100),
    "compilation": Case(compilation, 90),
    "small": Case(small, 80),
    "resnet50": Case(large, 80),
    "unet": Case(unet, 60),
    "yolo": Case(yolo, 80),
    "mc-dropout": Case(mc_dropout, 90),
    "sheets": Case(sheets, 60),
    "rates": Case(rates, 30),
    "tests": Case(device_tests, 120),
    "small, torch.compile": Case(small_compiled, 100),
    "resnet50, torch.compile": Case(large_compiled, 100),
    "cores": Case(on_many_cores, 240),
    "large pages": Case(memory_settings, 500),
}
"""The cases in the order in which they run."""


def scanned(network: Row, steps: int, seeds: int | None = None) -> Callable[[], None]:
    """Returns a call that takes several steps as one program, of one network or of several at once."""
    order = jnp.arange(steps * network.batch).reshape(steps, network.batch)

    def compiler(step: Callable, **options: Any) -> Callable:
        each = step if seeds is None else jax.vmap(step)
        program = cnnlab.jit(functools.partial(take_steps, lambda state, batch, _: each(state, batch)), **options)
        return lambda state, columns: program(state, columns, order, None)

    program, state, columns = train_program(network._replace(batch=steps * network.batch), compiler)
    if seeds is not None:
        order = jnp.stack([order] * seeds, 1)
        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * seeds), state)
    return calls(program, state, columns)


def sent(network: Row, steps: int) -> Callable[[], None]:
    """Returns a call that runs one program a step and sends its batch to the device."""
    program, state, batch = train_program(network, cnnlab.jit)
    batch = jax.device_get(batch)

    def run() -> None:
        nonlocal state
        for _ in range(steps):
            state, metrics = program(state, batch)
        metrics["loss"].block_until_ready()

    return run


def _torch_ways(row: Row, steps: int, sizes: Sizes, *, compiled: bool, precision: str = "float32") -> dict[str, Build]:
    """Returns PyTorch's train steps: eager and, on a GPU with several steps, as a CUDA graph; or `torch.compile`."""
    if not has_torch(sizes):
        return {}
    import torch

    way = functools.partial(_torch_step, row, steps, precision=precision)
    if compiled:
        return {"torch.compile": functools.partial(way, "compile")}
    graphs = {"torch CUDA graph": functools.partial(way, "graph")} if torch.cuda.is_available() and steps > 1 else {}
    return {"torch channels-last": functools.partial(way, "eager")} | graphs


def _torch_step(row: Row, steps: int, how: str, *, precision: str) -> Callable[[], None]:
    """Returns a call that takes so many steps in PyTorch, channels last: `eager`, as a `graph`, or by `compile`."""
    import torch
    from torch_networks import DEVICE, synchronise

    torch.backends.cudnn.benchmark = True
    cuda = DEVICE.type == "cuda"
    x, labels = row.data()
    x = torch.tensor(x).permute(0, 3, 1, 2).to(DEVICE, memory_format=torch.channels_last)
    labels = torch.tensor(labels, dtype=torch.int64, device=DEVICE)
    network = row.torch_network().to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE, capturable=cuda, fused=cuda)

    def loss() -> torch.Tensor:
        low = precision == "bfloat16"
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=low, cache_enabled=how != "graph"):
            return torch.nn.functional.cross_entropy(network(x), labels)

    mode = "reduce-overhead" if steps > 1 else None
    forward = torch.compile(loss, mode=mode) if how == "compile" else loss
    update = torch.compile(optimizer.step) if how == "compile" else optimizer.step

    def step() -> None:
        forward().backward()
        update()

    def eager() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            step()
        synchronise()

    if how != "graph":
        return eager
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # PyTorch asks for some steps on another stream before a capture
        eager()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)  # so that the graph holds the memory of the gradients
    with torch.cuda.graph(graph):
        step()

    def replay() -> None:
        for _ in range(steps):
            graph.replay()
        synchronise()

    replay.step = step  # the graph's tensors must live as long as it does
    return replay


def _network(row: Row) -> str:
    names = [name for name, other in (ROWS | LARGE).items() if other.twin[0] == row.twin[0]]
    return f"{names[0]}, {row.size[0]}x{row.size[1]}, batch {row.batch}"


def _train(row: Row) -> str:
    return f"train step, {_network(row)}"


def _multiply_adds(row: Row) -> int:
    return cnnlab.summary(row.network, row.size).multiply_adds


def _shares(multiply_adds: float, ms: float, precision: str, moved: float | None = None) -> dict[str, float]:
    kind = jax.devices()[0].device_kind
    return shares(kind, multiply_adds=multiply_adds, seconds=ms / 1000, precision=precision, moved=moved)


def _bytes(program: jax.stages.Compiled) -> float | None:
    """Returns the bytes that a compiled program reads and writes as XLA counts them; None if it does not count."""
    analysis = program.cost_analysis()
    if isinstance(analysis, list):
        analysis = analysis[0] if analysis else None
    return (analysis or {}).get("bytes accessed")
