"""Train step, inference, MC-Dropout and reading photos on 1, 2, 4, ... cores: cnnlab beside PyTorch on the CPU.

    pip install ".[peers]" && python experiments/benchmarks/cores.py [--json] [--cores 1 2 4] [--record]

Each library runs in a process of its own that may use only so many cores, and PyTorch has as many threads. The two take
turns. `ratio` is PyTorch's time divided by cnnlab's, by the number of cores: above 1, cnnlab is faster. `speedup` is
the time of cnnlab on one core divided by its time on more. Photos are decoded by cnnlab's threads and by as many
workers of PyTorch's data loader; both use Pillow.

The first cores of those that the process may use are taken, which may be two threads of one core.
"""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from mc_dropout import NETWORKS, cnnlab_calls, torch_calls
from networks import ROWS, Row
from PIL import Image
from timing import OFF, Options, Recording, device, median_ms, process

from cnnlab.data.streaming import ImageFiles

ON_THE_CPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
LIBRARIES = ("cnnlab", "torch")
PASSES, SIDE, SIZE = 10, 512, (224, 224)  # of MC-Dropout; of a photo in its file and in its batch


def counts(most: int | None = None) -> tuple[int, ...]:
    """Returns 1, 2, 4, ... cores, up to those that this process may use or `most`.

    >>> counts(6)
    (1, 2, 4, 6)
    """
    most = most or len(os.sched_getaffinity(0))
    return (*(2**i for i in range(most.bit_length()) if 2**i < most), most)


@contextlib.contextmanager
def on_cores(number: int, variables: dict[str, str] | None = None) -> Iterator[None]:
    """Gives processes that start within the block so many cores, and these variables of the environment."""
    allowed, before = os.sched_getaffinity(0), dict(os.environ)
    os.sched_setaffinity(0, sorted(allowed)[:number])
    os.environ.update(variables or {})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def photos(number: int) -> Iterator[Path]:
    """Yields a folder of so many JPEG files, which it deletes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(number):
            coarse = Image.fromarray(rng.integers(0, 256, (SIDE // 16, SIDE // 16, 3), np.uint8))
            coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(Path(folder) / f"{i:04}.jpg", quality=90)
        yield Path(folder)


def works(library: str, row: Row, folder: Path) -> dict[str, Callable[[], Callable[[], None]]]:
    """Returns the function that builds the call of each work."""
    model, options = NETWORKS["Keras network, spatial dropout"]
    sampled = {"batch": row.batch, "passes": PASSES}
    if library == "cnnlab":
        from inference import cnnlab_pass
        from train_step import cnnlab_step

        return {
            "train step": lambda: cnnlab_step(row),
            "inference": lambda: cnnlab_pass(row),
            "MC-Dropout": lambda: cnnlab_calls(model, options, **sampled)[0],
            "photos": lambda: read_photos(folder),
        }
    import torch
    from inference import torch_passes
    from train_step import torch_steps

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return {
        "train step": lambda: torch_steps(compiled=False)["torch channels-last"](row),
        "inference": lambda: torch_passes(compiled=False)["torch channels-last"](row),
        "MC-Dropout": lambda: torch_calls(model, options, **sampled)["torch loop"],
        "photos": lambda: load_photos(folder),
    }


def read_photos(folder: Path) -> Callable[[], None]:
    """Returns a call that decodes all photos of a folder in batches, as training from image files does."""
    names = np.array(sorted(path.name for path in folder.iterdir()))
    files = ImageFiles(folder, names, SIZE, 3)

    def run() -> None:
        for start in range(0, len(names), 32):
            files[np.arange(start, min(start + 32, len(names)))]

    return run


def load_photos(folder: Path) -> Callable[[], None]:
    """Returns a call that decodes all photos by PyTorch's data loader with a worker a core."""
    import torch

    class Photos(torch.utils.data.Dataset):
        paths = sorted(folder.iterdir())

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            with Image.open(self.paths[index]) as photo:
                return torch.from_numpy(np.array(photo.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR)))

    loader = torch.utils.data.DataLoader(
        Photos(), 32, num_workers=len(os.sched_getaffinity(0)), persistent_workers=True
    )
    return lambda: [None for _ in loader] and None


def serve(library: str, network: str, batch: int | None, folder: Path) -> dict[str, float]:
    """Times the work that each line of standard input names, so many calls, and prints its milliseconds."""
    row, built, last = ROWS[network], {}, {}
    build = works(library, row._replace(batch=batch or row.batch), folder)
    for line in sys.stdin:
        name, repeats = json.loads(line)
        built[name] = built.get(name) or build[name]()
        last = {"ms": median_ms(built[name], repeats)}
        print(json.dumps(last), flush=True)
    return last


def measure(
    cores: tuple[int, ...], *, network: str, batch: int | None, files: int, rounds: int, seconds: float, peers: bool
) -> list[dict[str, Any]]:
    """Returns a row for each work; see `main` for the arguments."""
    libraries = LIBRARIES if peers else LIBRARIES[:1]
    times: dict[str, dict[str, dict[str, float]]] = {}
    with photos(files) as folder:
        for number in cores:
            print(f"{number} cores ...", file=sys.stderr, flush=True)
            with contextlib.ExitStack() as stack:
                options = ["--network", network, "--folder", str(folder), *(["--batch", str(batch)] if batch else [])]
                with on_cores(number, ON_THE_CPU):
                    ask = {
                        library: stack.enter_context(process(__file__, "--alone", library, *options, name=library))
                        for library in libraries
                    }
                for work in ("train step", "inference", "MC-Dropout", "photos"):
                    question = {name: json.dumps([work, 1]) for name in libraries}
                    first = {name: (ask[name](q), ask[name](q))[1]["ms"] for name, q in question.items()}
                    repeats = {name: max(3, round(1000 * seconds / ms)) for name, ms in first.items()}
                    turns = [
                        {n: ask[n](json.dumps([work, repeats[n]]))["ms"] for n in libraries} for _ in range(rounds)
                    ]
                    for name in libraries:
                        median = float(np.median([turn[name] for turn in turns]))
                        times.setdefault(work, {}).setdefault(name, {})[str(number)] = round(median, 3)
    return [_row(work, network, files, table) for work, table in times.items()]


def _row(work: str, network: str, files: int, table: dict[str, dict[str, float]]) -> dict[str, Any]:
    own = table["cnnlab"]
    first = next(iter(own))
    what = {"photos": f"{files} files", "MC-Dropout": f"{PASSES} passes"}.get(work, network)
    fields = {
        "name": f"cores, {work}, {what}",
        "ms": table,
        "speedup": {n: round(own[first] / ms, 2) for n, ms in own.items()},
    }
    peer = table.get("torch")
    return fields | ({"ratio": {n: round(peer[n] / ms, 3) for n, ms in own.items()}} if peer else {})


def record(rows: list[dict[str, Any]], recording: Recording) -> None:
    """Stores the times of all rows if `recording` asks for it."""
    for row in rows:
        times = {f"{library} on {n} cores (ms)": ms for library, each in row["ms"].items() for n, ms in each.items()}
        recording.add(row["name"], times, group="speed")


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the speed-up and the ratio of all rows."""
    for row in rows:
        print(row["name"])
        for key in ("speedup", "ratio"):
            if key in row:
                print(f"  {key:>8}  " + "  ".join(f"{n} cores {value:6.2f}" for n, value in row[key].items()))


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    cores: tuple[int, ...] = (),
    network: str = "keras_mnist",
    batch: int | None = None,
    files: int = 128,
    rounds: int = 3,
    seconds: float = 0.5,
    peers: bool = True,
    folder: Path | None = None,
    alone: str | None = None,
    recording: Options = OFF,
) -> dict:
    """Times both libraries on each number of cores and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        cores: numbers of cores; by default 1, 2, 4, ... and all that the process may use.
        network: name of the network of the first two works.
        batch: images of a batch, in place of the network's own batch size.
        files: number of photos.
        rounds: turns of each library.
        seconds: length of a turn, which has at least three calls.
        peers: time PyTorch too.
        folder: folder of photos that `alone` reads.
        alone: run this library's works as standard input says, and print their times.
        recording: whether the results are stored.
    """
    if alone:
        return serve(alone, network, batch, folder)
    own = measure(
        cores or counts(), network=network, batch=batch, files=files, rounds=rounds, seconds=seconds, peers=peers
    )
    report = {"rows": own, "device": device()}
    record(own, recording)
    if json_only:
        print(json.dumps(report))
    else:
        show(own)
    return report


if __name__ == "__main__":
    tyro.cli(main)
