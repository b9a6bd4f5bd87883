"""Predicts videos frame by frame and draws the detections, so that memory holds only a few frames."""

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.console import console, progress_bar
from cnnlab.files.atomic import replacing
from cnnlab.files.cache import named
from cnnlab.files.images import fit_pixels
from cnnlab.files.photo import Photo
from cnnlab.files.video import Frame, open_video, write_video
from cnnlab.predictions.options import require_option
from cnnlab.predictions.predict import predict_images
from cnnlab.quoting import for_file_name
from cnnlab.tasks.task import Record, complete
from cnnlab.trained import Passes, Trained

BATCH = 8  # frames per batch


class VideoResult(NamedTuple):
    """The files and the frame rate of a video's prediction.

    Attributes:
      video: path of the drawn video.
      results: path of the JSON file with its detections.
      frames: number of frames.
      rate: frames per second of the whole prediction, without the first batch, which includes compilation; a video
        of at most one batch counts it.
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
) -> VideoResult:
    """Predicts every frame of a video, and writes `OUTPUT/NAME.mp4` and `OUTPUT/NAME.json`.

    The JSON file holds the records of all frames, as for photos; COCO's `image_id` is the number of the frame, starting
    at 1. The drawn video keeps the times of the frames and has no sound. If an error occurs, neither file is written.

    Args:
      trained: a network whose task draws frames: a detector.
      source: a video file, or a folder of frames.
      output: directory of the two files.
      name: name of the two files; by default that of the source.
      mc_samples: number of passes per frame with dropout on, or `auto`; by default one pass with dropout off.
      seed: seed of the dropout masks, which differ between batches of frames.
      rate: frames per second of a folder.
      quiet: whether to hide the progress bar on standard error.

    Raises:
      ValueError: the task draws no frames, `cnnlab.files.video` cannot read or write, or the drawn video would replace
        the source.
    """
    source, output = Path(source), Path(output)
    require_option(trained.task, "video", f"{source} is a video, which")
    task = complete(trained.task)
    name = name or for_file_name(source.resolve().stem)
    video, results = output / f"{name}.mp4", output / f"{name}.json"
    if video.exists() and video.samefile(source):
        raise ValueError(f"the drawn video would replace {source}; give another output directory")
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(open_video(source, rate=rate))
        add_records = stack.enter_context(_list_file(results))
        write = stack.enter_context(write_video(video, size=reader.size, rate=reader.rate))
        tick = stack.enter_context(_progress(quiet, reader.length))
        waiting: deque[Frame] = deque()  # frames that are read, but not yet predicted: at most one batch

        def images() -> Iterator[np.ndarray]:
            for frame in reader.frames:
                waiting.append(frame)
                yield fit_pixels(frame.pixels, **trained.spec.layout)

        predictions = predict_images(trained, images(), batch_size=BATCH, mc_samples=mc_samples, seed=seed)
        for number, prediction in enumerate(predictions, 1):
            frame = waiting.popleft()
            photo = Photo(source, number, frame=frame.pixels)
            (drawing,) = task.draw(prediction, trained.spec, photo).values()
            write(frame._replace(pixels=drawing.pixels))
            add_records(task.record(prediction, trained.spec, photo))
            pace = tick()
    return VideoResult(video, results, number, pace)


@contextlib.contextmanager
def _list_file(path: Path) -> Iterator[Callable[[list[Record]], None]]:
    """Yields a function that adds records to a JSON list; the complete file appears when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w") as file:
        before = "["

        def add(records: list[Record]) -> None:
            nonlocal before
            for record in records:
                file.write(f"{before}\n{json.dumps(named(record))}")
                before = ","

        yield add
        file.write("[]\n" if before == "[" else "\n]\n")


@contextlib.contextmanager
def _progress(quiet: bool, length: int | None) -> Iterator[Callable[[], float]]:
    """Draws a progress bar; yields a function that counts a frame and returns the frames per second so far."""
    number, counted, since = 0, 0, time.monotonic()
    texts = {"label": "frames", "rate": "{task.fields[speed]:.1f} frames/s"}
    with progress_bar(console(quiet), texts=texts, total=length, speed=0.0) as update:

        def tick() -> float:
            nonlocal number, counted, since
            number, counted, now = number + 1, counted + 1, time.monotonic()
            speed = counted / (now - since)
            update(completed=number, speed=speed)
            if number == BATCH:  # leaves the first batch out of the rate, because it includes compilation
                counted, since = 0, now
            return speed

        yield tick
