"""Videos in, drawn videos out: frame by frame, so that memory holds a few frames however long the film is."""

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnlab.data.images import fit_pixels
from cnnlab.data.video import Frame, open_video, write_video
from cnnlab.detections import Record, coco_results, draw_boxes
from cnnlab.predictions import answers
from cnnlab.tasks import Prediction
from cnnlab.trained import Trained
from cnnlab.training.progress import console, now_and_then
from cnnlab.uncertainty.monte_carlo import Passes

BATCH = 8  # frames that the network sees at once


class Shown(NamedTuple):
    """What came of a video.

    Attributes:
      video: the drawn one.
      results: its detections, a JSON file.
      frames: how many.
      rate: frames a second, everything included but the first batch, which waits for the compiler; of a shorter
        video all frames by all seconds.
    """

    video: Path
    results: Path
    frames: int
    rate: float


def predict_video(
    trained: Trained,
    source: str | Path,
    output: str | Path,
    *,
    name: str | None = None,
    mc_samples: Passes | None = None,
    seed: int = 0,
    rate: float = 25.0,
    quiet: bool = True,
) -> Shown:
    """Finds the objects in every frame, and writes `OUTPUT/NAME.mp4` and `OUTPUT/NAME.json`, both whole or not at all.

    The JSON is that of photos (see `cnnlab.detections.coco_results`), `image_id` being the number of the frame, 1 the
    first. The drawn video has the frames' own times and no sound.

    Args:
      trained: a detector.
      source: a video, or a folder of frames.
      output: the directory.
      name: of the files; the source's, if left out.
      mc_samples: passes a frame with dropout on, or `auto`; one without, if left out.
      seed: of the dropout masks, which are the same in all batches of frames.
      rate: frames a second of a folder.
      quiet: no progress bar on standard error.

    Raises:
      ValueError: the network is no detector, `cnnlab.data.video` cannot read or write, or the drawn video would
        replace the source.
    """
    source, output = Path(source), Path(output)
    kind = getattr(trained.task, "logits", None)
    if kind not in SHOWN:
        task = type(trained.task).__name__.lower()
        raise ValueError(f"{source} is a video, which is for networks that find boxes (detection), this run is {task}")
    show = SHOWN[kind]
    name = name or source.resolve().stem
    video, results = output / f"{name}.mp4", output / f"{name}.json"
    if video.exists() and video.samefile(source):
        raise ValueError(f"the drawn video would replace {source}; give another output directory")
    with contextlib.ExitStack() as stack:
        film = stack.enter_context(open_video(source, rate=rate))
        note = stack.enter_context(_list_file(results))
        write = stack.enter_context(write_video(video, size=film.size, rate=film.rate))
        tick = stack.enter_context(_progress(quiet, film.length))
        waiting: deque[Frame] = deque()  # read, and not yet shown: the frames of one batch

        def images() -> Iterator[np.ndarray]:
            for frame in film.frames:
                waiting.append(frame)
                spec = trained.spec
                yield fit_pixels(frame.pixels, size=spec.size, channels=spec.channels, fit=spec.fit)

        found = answers(trained, images(), batch_size=BATCH, mc_samples=mc_samples, seed=seed)
        for number, prediction in enumerate(found, 1):
            frame = waiting.popleft()
            pixels, records = show(trained, source, number, frame.pixels, prediction)
            write(frame._replace(pixels=pixels))
            note(records)
            speed = tick()
    return Shown(video, results, number, speed)


def _boxes(
    trained: Trained, source: Path, number: int, pixels: np.ndarray, prediction: Prediction
) -> tuple[np.ndarray, list[Record]]:
    """A frame with its boxes, and their records."""
    records = coco_results(source, prediction, trained.spec, image_id=number, size=pixels.shape[:2])
    return draw_boxes(pixels, records), records


SHOWN: dict[str, Callable] = {"grid": _boxes}
"""How a frame is shown, by the task's kind of logits: `(trained, source, number, pixels, prediction)` to the drawn
pixels and the records of the frame. A task that has no line here has no videos."""


@contextlib.contextmanager
def _list_file(path: Path) -> Iterator[Callable[[list[Record]], None]]:
    """Yields a function that adds records to a JSON list; the file is there when the block ends, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w") as file:
            before = "["

            def add(records: list[Record]) -> None:
                nonlocal before
                for one in records:
                    file.write(f"{before}\n{json.dumps(one)}")
                    before = ","

            yield add
            file.write("[]\n" if before == "[" else "\n]\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(quiet: bool, length: int | None) -> Iterator[Callable[[], float]]:
    """A bar over the frames; yields a function that counts one and tells the frames a second so far."""
    columns = (
        TextColumn("frames"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(quiet), refresh_per_second=4) as progress:
        task = progress.add_task("", total=length, speed=0.0)
        number, counted, since, say = 0, 0, time.monotonic(), now_and_then(progress)

        def tick() -> float:
            nonlocal number, counted, since
            number, counted, now = number + 1, counted + 1, time.monotonic()
            speed = counted / (now - since)
            progress.update(task, completed=number, speed=speed)
            say()
            if number == BATCH:  # the compiler is paid; from here on it is the pace of a long video
                counted, since = 0, now
            return speed

        yield tick
