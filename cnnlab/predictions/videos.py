"""Videos in, drawn videos out: frame by frame, so that memory holds a few frames however long the film is."""

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
from cnnlab.files.images import fit_pixels
from cnnlab.files.photo import Photo
from cnnlab.files.video import Frame, open_video, write_video
from cnnlab.predictions.options import require_option
from cnnlab.predictions.predict import predict_images
from cnnlab.tasks.task import Record, complete
from cnnlab.trained import Passes, Trained

BATCH = 8  # frames that the network sees at once


class VideoResult(NamedTuple):
    """The files and the pace of a video's prediction.

    Attributes:
      video: the drawn video.
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
) -> VideoResult:
    """Answers every frame, and writes `OUTPUT/NAME.mp4` and `OUTPUT/NAME.json`, both whole or not at all.

    The JSON holds the records of all frames, as for photos; COCO's `image_id` is the number of the frame, 1 the first.
    The drawn video has the frames' own times and no sound.

    Args:
      trained: a network whose task draws frames: a detector.
      source: a video, or a folder of frames.
      output: the directory.
      name: of the files; the source's, if left out.
      mc_samples: passes a frame with dropout on, or `auto`; one without, if left out.
      seed: of the dropout masks, which are the same in all batches of frames.
      rate: frames a second of a folder.
      quiet: no progress bar on standard error.

    Raises:
      ValueError: the task draws no frames, `cnnlab.files.video` cannot read or write, or the drawn video would replace
        the source.
    """
    source, output = Path(source), Path(output)
    require_option(trained.task, "video", f"{source} is a video, which")
    task = complete(trained.task)
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
                yield fit_pixels(frame.pixels, **trained.spec.layout)

        answers = predict_images(trained, images(), batch_size=BATCH, mc_samples=mc_samples, seed=seed)
        for number, prediction in enumerate(answers, 1):
            frame = waiting.popleft()
            photo = Photo(source, number, frame=frame.pixels)
            (drawn,) = task.draw(prediction, trained.spec, photo).values()
            write(frame._replace(pixels=drawn.pixels))
            note(task.record(prediction, trained.spec, photo))
            pace = tick()
    return VideoResult(video, results, number, pace)


@contextlib.contextmanager
def _list_file(path: Path) -> Iterator[Callable[[list[Record]], None]]:
    """Yields a function that adds records to a JSON list; the file is there when the block ends, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w") as file:
        before = "["

        def add(records: list[Record]) -> None:
            nonlocal before
            for one in records:
                file.write(f"{before}\n{json.dumps(one)}")
                before = ","

        yield add
        file.write("[]\n" if before == "[" else "\n]\n")


@contextlib.contextmanager
def _progress(quiet: bool, length: int | None) -> Iterator[Callable[[], float]]:
    """Draws a bar over the frames; yields a function that counts one and returns the frames a second so far."""
    number, counted, since = 0, 0, time.monotonic()
    texts = {"label": "frames", "rate": "{task.fields[speed]:.1f} frames/s"}
    with progress_bar(console(quiet), texts=texts, total=length, speed=0.0) as update:

        def tick() -> float:
            nonlocal number, counted, since
            number, counted, now = number + 1, counted + 1, time.monotonic()
            speed = counted / (now - since)
            update(completed=number, speed=speed)
            if number == BATCH:  # the compiler is paid; from here on it is the pace of a long video
                counted, since = 0, now
            return speed

        yield tick
