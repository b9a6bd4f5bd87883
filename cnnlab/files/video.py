"""Reads and writes videos frame by frame, with PyAV (extra `video`) or from a folder of frames."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.files.atomic import replacing
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.listing import find_images
from cnnlab.files.opening import MAX_PIXELS

_SAFE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf",
}
"""What FFmpeg may open: files alone, and no playlist, which would name other files."""

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv")
TICKS = 90_000  # ticks in a second, the unit of time in written files
SHORTER = 0.5  # seconds by which a file may be shorter than its header says


class Frame(NamedTuple):
    """A frame of a video.

    Attributes:
      pixels: pixels `[H, W, 3]` uint8, upright.
      seconds: time since the first frame in seconds.
    """

    pixels: np.ndarray
    seconds: Fraction


class Video(NamedTuple):
    """A video whose frames can be read once, in order.

    Attributes:
      size: height and width of all frames in pixels.
      rate: average number of frames in a second.
      length: number of frames; None if the file does not say.
      frames: iterator over the frames.
    """

    size: tuple[int, int]
    rate: Fraction
    length: int | None
    frames: Iterator[Frame]


@contextlib.contextmanager
def open_video(path: str | Path, *, rate: float = 25.0) -> Iterator[Video]:
    """Opens a video file, or a folder of image files in the order of their names, with numbers in order of value.

    Frames have the times of the file, so the rate may vary. Videos of phones are rotated upright; sound is left out.
    Damage is what FFmpeg reports: changed bytes that still decode go unnoticed.

    Args:
      path: video file or folder.
      rate: frames in a second, for a folder.

    Raises:
      ValueError: the file is missing, no video, damaged, cut off or without a frame, its frames have more than
        `MAX_PIXELS` pixels or different sizes, or PyAV is not installed.
    """
    path = Path(path)
    if path.is_dir():
        yield _folder(path, rate)
        return
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a video or a folder of frames")
    av = _require_av()
    try:
        # The prefix and the lists prevent access to addresses and to other files that the content of a file names.
        opened = av.open(f"file:{path.absolute()}", container_options=_SAFE)
    except (av.FFmpegError, OSError) as error:
        raise ValueError(f"cannot read {path} as a video ({_reason(error)}); repair or remove it") from error
    with opened as container:
        if not container.streams.video:
            kinds = ", ".join(stream.type for stream in container.streams) or "none"
            raise ValueError(f"{path} holds no video stream; its streams are {kinds}")
        stream = container.streams.video[0]
        _check_size(str(path), (stream.height, stream.width))
        stream.thread_type = "SLICE"  # decoding frames in parallel sometimes hides damage
        frames = _frames(_decode(av, path, container, stream), 1 / _rate(stream))
        first = next(frames, None)
        if first is None:
            raise ValueError(f"{path} holds no frame; remove it")
        yield Video(first.pixels.shape[:2], _rate(stream), stream.frames or None, itertools.chain([first], frames))


@contextlib.contextmanager
def write_video(path: Path, *, size: tuple[int, int], rate: Fraction) -> Iterator[Callable[[Frame], None]]:
    """Yields `write(frame)`; the complete file appears when the block ends, and no file appears if it fails.

    The format is MP4 with H.264. H.264 needs an even height and width, so an odd one repeats its last row or column.

    Args:
      path: path of the file.
      size: height and width of the frames in pixels.
      rate: average number of frames in a second.

    Raises:
      ValueError: the file cannot be written, or PyAV is not installed.
    """
    av = _require_av()
    path.parent.mkdir(parents=True, exist_ok=True)
    odd = [(0, side % 2) for side in size] + [(0, 0)]
    last = -1
    try:
        with replacing(path) as part, av.open(f"file:{part.absolute()}", "w", format="mp4") as container:
            has_h264 = "libx264" in av.codecs_available
            options = {"preset": "veryfast", "crf": "20"} if has_h264 else {"qscale": "3"}
            stream = container.add_stream("libx264" if has_h264 else "mpeg4", rate=rate, options=options)
            stream.height, stream.width = (side + side % 2 for side in size)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, TICKS)

            def write(frame: Frame) -> None:
                nonlocal last
                encoded = av.VideoFrame.from_ndarray(np.pad(frame.pixels, odd, "edge"), format="rgb24")
                last = max(last + 1, round(frame.seconds * TICKS))
                encoded.pts, encoded.time_base = last, Fraction(1, TICKS)
                container.mux(stream.encode(encoded))

            yield write
            container.mux(stream.encode())
    except av.FFmpegError as error:
        raise ValueError(f"cannot write {path} ({_reason(error)}); frames have {size[1]}x{size[0]} pixels") from error


def _folder(path: Path, rate: float) -> Video:
    """Returns the frames of a folder as a video; each file is decoded when its frame is read."""
    if not 0.01 <= rate <= 1000:
        raise ValueError(f"rate must lie in 0.01..1000 frames a second, found {rate}")
    files = sorted(find_images([path]), key=_by_number)
    size, step = read_header(files[0])[0], 1 / Fraction(rate).limit_denominator(1001)

    def frames() -> Iterator[Frame]:
        for number, file in enumerate(files):
            frame_size = read_header(file)[0]
            if frame_size != size:
                raise _size_error(str(file), frame_size, size)
            yield Frame(read_pixels(file, size=size, channels=3), number * step)

    return Video(size, 1 / step, len(files), frames())


def _by_number(path: Path) -> list:
    """Splits a path into words and numbers, a sort key that puts frame2 before frame10.

    >>> _by_number(Path("frame10.png"))
    ['frame', 10, '.png']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(path))]


def _decode(av, path: Path, container, stream) -> Iterator:
    """Yields the decoded frames of a file; errors name the number of the frame."""
    number, size, reached = 0, None, 0.0
    try:
        for packet in container.demux():
            if packet.pts is not None:
                reached = max(reached, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream is not stream:
                continue
            if packet.is_corrupt:
                raise _damage_error(path, number, "the file ends in the middle of a frame")
            for frame in packet.decode():
                if frame.is_corrupt:  # FFmpeg would fill the damaged part with guesses
                    raise _damage_error(path, number, "the next one is damaged")
                number += 1
                frame_size = (frame.height, frame.width)
                size = size or frame_size
                if frame_size != size:
                    raise _size_error(f"frame {number} of {path}", frame_size, size)
                yield frame
    except (av.FFmpegError, OSError) as error:
        raise _damage_error(path, number, _reason(error)) from error
    # FFmpeg reports no error for a Matroska file that is cut off.
    if "matroska" in container.format.name and container.duration and reached < container.duration / 1e6 - SHORTER:
        raise _damage_error(path, number, f"of {container.duration / 1e6:.1f} s it holds {reached:.1f}")


def _frames(decoded: Iterator, step: Fraction) -> Iterator[Frame]:
    """Rotates frames upright and gives them increasing times.

    A frame without a time, or whose time does not increase, comes one step after the frame before it.
    """
    start, last = None, -step
    for frame in decoded:
        time = None if frame.pts is None else frame.pts * frame.time_base
        start = time if start is None else start
        seconds = last + step if time is None else time - start
        last = seconds if seconds > last else last + step
        yield Frame(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)), last)


def _check_size(name: str, size: tuple[int, int]) -> None:
    """Raises `ValueError` if frames have no pixel or more than `MAX_PIXELS`."""
    if not 0 < size[0] * size[1] <= MAX_PIXELS:
        raise ValueError(f"{name} has frames of {size[1]}x{size[0]} pixels; 1 to {MAX_PIXELS:,} are read")


def _size_error(name: str, size: tuple[int, int], first: tuple[int, int]) -> ValueError:
    return ValueError(f"{name} has {size[1]}x{size[0]} pixels, the first frame {first[1]}x{first[0]}; make all alike")


def _damage_error(path: Path, number: int, reason: str) -> ValueError:
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
