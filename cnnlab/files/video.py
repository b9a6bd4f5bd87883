"""Videos, read and written frame by frame: by PyAV (extra `video`), or from a folder of frames."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.atomic import replacing
from cnnlab.files.images import MAX_PIXELS, find_images, read_header, read_pixels

_SAFE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf",
}
"""What FFmpeg may open: files alone, and no playlist, which would name other files."""

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv")
TICKS = 90_000  # a second; the written frames' unit of time
SHORTER = 0.5  # seconds by which a file may end before the end that it tells


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
      pixels: `[H, W, 3]` uint8, upright.
      seconds: since the first frame.
    """

    pixels: np.ndarray
    seconds: Fraction


class Video(NamedTuple):
    """Frames to be read once, in order.

    Attributes:
      size: height and width of all frames in pixels.
      rate: frames a second, on average.
      length: how many frames, where the file tells.
      frames: one after the other; memory holds those that the reader keeps.
    """

    size: tuple[int, int]
    rate: Fraction
    length: int | None
    frames: Iterator[Frame]


@contextlib.contextmanager
def open_video(path: str | Path, *, rate: float = 25.0) -> Iterator[Video]:
    """A video file, or a folder of frames: image files in the order of their names, numbers by value.

    Times are the file's own, so a rate that varies is kept; a phone's film is turned upright; sound is left out. Damage
    is what FFmpeg reports; changed bytes that still decode are pictures like any other.

    Args:
      path: the file or folder.
      rate: frames a second of a folder.

    Raises:
      ValueError: the file is missing, no video, damaged, cut off or without a frame, its frames have more than
        `MAX_PIXELS` pixels or different sizes, or PyAV is not installed; the file is named, and the frame.
    """
    path = Path(path)
    if path.is_dir():
        yield _folder(path, rate)
        return
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a video or a folder of frames")
    av = _require_av()
    try:
        # The prefix and the list keep the reader from addresses that a file's name or content may hold.
        opened = av.open(f"file:{path.absolute()}", container_options=_SAFE)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot read {path} as a video ({_reason(error)}); repair or remove it") from error
    with opened as container:
        if not container.streams.video:
            kinds = ", ".join(one.type for one in container.streams) or "none"
            raise ValueError(f"{path} holds no pictures; its streams are {kinds}")
        stream = container.streams.video[0]
        _check_size(str(path), (stream.height, stream.width))
        stream.thread_type = "SLICE"  # with frames in parallel, damage is not always seen
        frames = _frames(_pictures(av, path, container, stream), 1 / _rate(stream))
        first = next(frames, None)
        if first is None:
            raise ValueError(f"{path} holds no frame; remove it")
        yield Video(first.pixels.shape[:2], _rate(stream), stream.frames or None, itertools.chain([first], frames))


@contextlib.contextmanager
def write_video(path: Path, *, size: tuple[int, int], rate: Fraction) -> Iterator[Callable[[Frame], None]]:
    """Yields `write(frame)`; the file is there, whole, when the block ends, and never where it fails.

    MP4 with H.264, which needs even sides: an odd one gets its last row or column twice.

    Args:
      path: the file.
      size: height and width of the frames in pixels.
      rate: frames a second, on average.

    Raises:
      ValueError: the file cannot be written, or PyAV is not installed.
    """
    av = _require_av()
    path.parent.mkdir(parents=True, exist_ok=True)
    odd = [(0, side % 2) for side in size] + [(0, 0)]
    last = -1
    try:
        with replacing(path) as part, av.open(f"file:{part.absolute()}", "w", format="mp4") as container:
            known = "libx264" in av.codecs_available
            options = {"preset": "veryfast", "crf": "20"} if known else {"qscale": "3"}
            stream = container.add_stream("libx264" if known else "mpeg4", rate=rate, options=options)
            stream.height, stream.width = (side + side % 2 for side in size)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, TICKS)

            def write(frame: Frame) -> None:
                nonlocal last
                picture = av.VideoFrame.from_ndarray(np.pad(frame.pixels, odd, "edge"), format="rgb24")
                last = max(last + 1, round(frame.seconds * TICKS))
                picture.pts, picture.time_base = last, Fraction(1, TICKS)
                container.mux(stream.encode(picture))

            yield write
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise ValueError(f"cannot write {path} ({_reason(error)}); frames have {size[1]}x{size[0]} pixels") from error


def _folder(path: Path, rate: float) -> Video:
    """The frames in a folder, decoded when they are asked for."""
    if not 0.01 <= rate <= 1000:
        raise ValueError(f"rate must lie in 0.01..1000 frames a second, found {rate}")
    files = sorted(find_images([path]), key=_by_number)
    size, step = read_header(files[0])[0], 1 / Fraction(rate).limit_denominator(1001)

    def frames() -> Iterator[Frame]:
        for number, file in enumerate(files):
            found = read_header(file)[0]
            if found != size:
                raise _other_size(str(file), found, size)
            yield Frame(read_pixels(file, size=size, channels=3), number * step)

    return Video(size, 1 / step, len(files), frames())


def _by_number(path: Path) -> list:
    """Words and numbers of a path in turn, so that frame2 stands before frame10.

    >>> _by_number(Path("frame10.png"))
    ['frame', 10, '.png']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


def _pictures(av, path: Path, container, stream) -> Iterator:
    """What the file decodes to; whatever is wrong with it is told with the number of the frame."""
    number, size, reached = 0, None, 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None:
                reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not stream:
                continue
            if packet.is_corrupt:
                raise _cut(path, number, "the file ends amid a frame")
            for picture in packet.decode():
                if picture.is_corrupt:  # FFmpeg would fill the hole with what it guesses
                    raise _cut(path, number, "the next one is damaged")
                number += 1
                found = (picture.height, picture.width)
                size = size or found
                if found != size:
                    raise _other_size(f"frame {number} of {path}", found, size)
                yield picture
    except (av.FFmpegError, OSError) as error:
        raise _cut(path, number, _reason(error)) from error
    # Matroska alone ends quietly where it was cut off.
    if "matroska" in container.format.name and container.duration and reached < container.duration / 1e6 - SHORTER:
        raise _cut(path, number, f"of {container.duration / 1e6:.1f} s it holds {reached:.1f}")


def _frames(pictures: Iterator, step: Fraction) -> Iterator[Frame]:
    """The pictures upright, at times that rise: one step after the last where the file tells none, or stands still."""
    start, last = None, -step
    for picture in pictures:
        told = None if picture.pts is None else picture.pts * picture.time_base
        start = told if start is None else start
        seconds = last + step if told is None else told - start
        last = seconds if seconds > last else last + step
        yield Frame(np.rot90(picture.to_ndarray(format="rgb24"), round(picture.rotation / 90)), last)


def _check_size(name: str, size: tuple[int, int]) -> None:
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise ValueError(f"{name} has frames of {size[1]}x{size[0]} pixels; 1 to {MAX_PIXELS:,} are read")


def _other_size(name: str, found: tuple[int, int], size: tuple[int, int]) -> ValueError:
    return ValueError(f"{name} has {found[1]}x{found[0]} pixels, the first frame {size[1]}x{size[0]}; make all alike")


def _cut(path: Path, number: int, reason: str) -> ValueError:
    return ValueError(f"{path} is cut off or damaged after frame {number} ({reason}); repair it, or cut it shorter")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _rate(stream) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or 25)


def _require_av():
    try:
        import av
    except ImportError as error:
        raise ValueError('videos need the extra video: pip install "cnnlab[video]"') from error
    return av
