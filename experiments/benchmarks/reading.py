"""Reading of photos for training: images a second of a folder, a pack, PyTorch's DataLoader and grain.

    pip install ".[peers]" grain && python experiments/benchmarks/reading.py [--json] [--number 3000] [--record]

3,000 JPEGs of 500x375 (quality 90) are cut out of the photos of `--photos` at random places. Each way reads all of them
once a turn, in a new random order, as shuffled batches of 64 images uint8 `[224, 224, 3]`. All decode by Pillow and
resize bilinearly to the same pixels. PyTorch and grain have two worker processes, which an untimed turn starts; cnnlab
has as many threads as cores. Each way runs in a process of its own, in turns, and the median of the turns counts.

`ratio` is the time of the faster peer divided by cnnlab's: above 1, cnnlab is faster. The last row compares the pack
with the folder that it was written from.
"""

import importlib.util
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from PIL import Image
from timing import OFF, Options, print_rows, process, row

from cnnlab import data
from cnnlab.data.streaming import ImageFiles

SIDE = 224
BATCH = 64
WORKERS = 2
AHEAD = 2  # batches that a worker reads ahead, as PyTorch's do
SETTLE = 3  # seconds in which the workers of the way before fill their buffers
PHOTOS = Path(__file__).parents[3] / "shared" / "data" / "voc_mini_detmetrics"


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    number: int = 3000,
    rounds: int = 5,
    photos: Path = PHOTOS,
    alone: tuple[str, Path] | None = None,
    recording: Options = OFF,
) -> dict:
    """Times all ways in turns and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        number: number of photos.
        rounds: turns of each way.
        photos: folder of photos from which smaller ones are cut.
        alone: read a folder once by this way for each line of standard input, and print the time.
        recording: whether the results are stored.
    """
    if alone is not None:
        return _read_alone(*alone)
    ways = ["folder", "pack", *(way for way in ("torch", "grain") if importlib.util.find_spec(way))]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        _write_photos(photos, folder / "photos", number)
        data.write_pack(_dataset(folder / "photos"), folder / "pack", column="label")
        ask = {way: stack.enter_context(process(__file__, "--alone", way, name, name=way)) for way in ways}
        table: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(rounds + 1):
            for way in ways:
                time.sleep(SETTLE)
                ms = ask[way](turn)["ms"]
                if turn:  # the first one starts workers and fills the cache of files
                    table[way].append(ms)
    times = {way: statistics.median(values) for way, values in table.items()}
    peers = {way: times[way] for way in ways[2:]}
    label = f"{number:,} photos of 500x375 at {SIDE}x{SIDE}"
    rows = [row(f"{label}, {way}", {"cnnlab": times[way], **peers}, images=number) for way in ("folder", "pack")]
    beside = {"cnnlab": times["pack"], "folder": times["folder"]}
    rows.append(row(f"{label}, pack beside folder", beside, images=number))
    return print_rows(rows, as_json=json_only, title="reading", recording=recording)


def _write_photos(source: Path, target: Path, number: int) -> None:
    """Writes photos of 500x375 in two classes, cut out of larger ones at random places."""
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise ValueError(f"{source} has no JPEG; name a folder of photos with --photos DIR")
    rng = np.random.default_rng(0)
    for i in range(number):
        folder = target / ("even", "odd")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        with Image.open(files[i % len(files)]) as image:
            share = rng.uniform(0.8, 1) * min(image.width / 4, image.height / 3)
            width, height = 4 * share, 3 * share
            left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
            box = (left, top, left + width, top + height)
            cut = image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC, box=box)
        cut.save(folder / f"{i:05}.jpg", quality=90)


def _dataset(folder: Path) -> data.Dataset:
    """Returns all photos of a folder as one split on disk."""
    names = np.array(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.jpg")), object)
    files = ImageFiles(folder, names, (SIDE, SIDE), 3, decoding="fast")
    label = np.array([name.startswith("odd") for name in names], np.int32)
    spec = data.InputSpec((SIDE, SIDE), 3, classes=("even", "odd"))
    return data.Dataset("photos", spec, {"train": data.Examples({"image": files, "label": label})})


def _read_alone(way: str, folder: Path) -> dict:
    """Reads all photos once for each line of standard input, and prints the time."""
    batches, measurement = _WAYS[way](folder), {}
    for line in sys.stdin:
        stream, number = batches(int(line)), 0
        started = time.perf_counter()
        for images in stream:
            number += len(images)
        measurement = {"ms": 1000 * (time.perf_counter() - started)}
        expected = len(list((folder / "photos").rglob("*.jpg"))) // BATCH * BATCH
        if number != expected or images.shape[1:] != (SIDE, SIDE, 3):
            raise ValueError(f"{way} read {number:,} images {list(images.shape)}, expected {expected:,}")
        print(json.dumps(measurement), flush=True)
    return measurement


Batches = Callable[[int], Iterable[Any]]
"""A function of the number of an epoch that reads its batches of images."""


def _cnnlab(dataset: data.Dataset) -> Batches:
    def batches(epoch: int) -> Iterator[np.ndarray]:
        for batch in data.training_batches(dataset["train"], batch_size=BATCH, seed=0, epoch=epoch):
            yield batch["image"]

    return batches


def _folder(folder: Path) -> Batches:
    return _cnnlab(_dataset(folder / "photos"))


def _pack(folder: Path) -> Batches:
    return _cnnlab(data.pack(folder / "pack", memory_megabytes=0))


def _read(path: str) -> np.ndarray:
    """Decodes a photo as users of PyTorch and grain do."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


class _Photos:
    """The photos as a map-style dataset of PyTorch."""

    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        import torch

        return torch.from_numpy(_read(self.paths[index]).copy())


def _paths(folder: Path) -> list[str]:
    return sorted(map(str, (folder / "photos").rglob("*.jpg")))


def _torch(folder: Path) -> Batches:
    from torch.utils.data import DataLoader

    options = {"shuffle": True, "num_workers": WORKERS, "prefetch_factor": AHEAD}
    loader = DataLoader(_Photos(_paths(folder)), batch_size=BATCH, persistent_workers=True, drop_last=True, **options)
    return lambda epoch: loader


def _grain(folder: Path) -> Batches:
    import grain
    from absl import flags

    flags.FLAGS.mark_as_parsed()  # grain's worker processes read flags
    paths = _paths(folder)
    photos = grain.MapDataset.source(paths).seed(0).shuffle().map(_read).batch(BATCH, drop_remainder=True).repeat()
    reading = photos.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=AHEAD))
    stream = iter(reading.mp_prefetch(grain.MultiprocessingOptions(num_workers=WORKERS, per_worker_buffer_size=1)))

    def batches(epoch: int) -> Iterator[np.ndarray]:
        for _ in range(10 * WORKERS):  # more than the workers read while the others had their turns
            next(stream)
        return itertools.islice(stream, len(paths) // BATCH)

    return batches


_WAYS = {"folder": _folder, "pack": _pack, "torch": _torch, "grain": _grain}


if __name__ == "__main__":
    tyro.cli(main)
