"""Videos: reading, drawing and writing frame by frame, records of each frame, and errors."""

import json
import sys
import weakref
from fractions import Fraction

import jax
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.data import InputSpec
from cnnlab.files import video
from cnnlab.files.photo import Photo
from cnnlab.files.video import Frame, open_video, write_video
from cnnlab.predictions import predict as predictions
from cnnlab.predictions import videos
from cnnlab.predictions.videos import predict_video

av = pytest.importorskip("av", reason="videos need the extra video")
RATE = Fraction(25)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def detector():
    """Creates an untrained detector of two classes, which detects something everywhere."""
    network = cnnlab.create_model("grid_detector", num_classes=12, features=(4, 4))
    task = cnnlab.tasks.Detection(image_size=(16, 16), score_threshold=0.0, max_boxes=3)
    spec = InputSpec((16, 16), 3, classes=("ant", "bee"), fit="letterbox")
    variables = cnnlab.nn.init(network, np.zeros((1, 16, 16, 3), np.float32), jax.random.key(0))
    return cnnlab.Trained(variables, network, task, spec)


def greys(number, size=(48, 64)):
    """Returns grey frames that differ in their brightness."""
    return [np.full((*size, 3), 40 + 10 * i, np.uint8) for i in range(number)]


def film(path, frames, times=None):
    times = times or [i / RATE for i in range(len(frames))]
    with write_video(path, size=frames[0].shape[:2], rate=RATE) as write:
        for pixels, seconds in zip(frames, times, strict=True):
            write(Frame(pixels, seconds))
    return path


def other_film(path, number, codec, *, size=(48, 64), faststart=False):
    """Writes a video without the code under test."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for _ in range(number):
            pixels = rng.integers(0, 256, (*size, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_frames_come_back_in_order_with_their_times_however_uneven(tmp_path):
    times = [Fraction(t, 1000) for t in (0, 40, 45, 200, 1333)]
    path = film(tmp_path / "a.mp4", greys(5), times)
    with open_video(path) as opened:
        frames = list(opened.frames)
    assert (opened.size, opened.length) == ((48, 64), 5)
    assert [round(float(frame.seconds), 3) for frame in frames] == [0, 0.04, 0.045, 0.2, 1.333]
    assert [round(frame.pixels.mean() / 10) * 10 for frame in frames] == [40, 50, 60, 70, 80]


@pytest.mark.parametrize(
    ("ending", "codec"), [("mkv", "libx264"), ("avi", "mpeg4"), ("webm", "libvpx"), ("ts", "mpeg2video")]
)
def test_other_containers_are_read(ending, codec, tmp_path):
    path = other_film(tmp_path / f"a.{ending}", 10, codec)
    with open_video(path) as opened:
        assert opened.rate == 25
        assert [float(frame.seconds) for frame in opened.frames] == pytest.approx(np.arange(10) / 25, abs=2e-3)


def test_odd_sides_are_filled_up_with_their_last_row_and_column(tmp_path):
    pixels = np.full((47, 63, 3), 200, np.uint8)
    with open_video(film(tmp_path / "a.mp4", [pixels])) as opened:
        assert opened.size == (48, 64)
        assert abs(next(opened.frames).pixels.astype(int) - 200).max() < 6


def test_a_film_on_its_side_is_turned_upright(tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24] = 250  # the upper half is bright
    path = film(tmp_path / "a.mp4", [pixels])
    straight, turned = ([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 1 << 30], [0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 1 << 30])
    matrix = [np.array(values, ">i4").tobytes() for values in (straight, turned)]
    data = path.read_bytes()
    at = data.index(matrix[0], data.index(b"tkhd"))
    path.write_bytes(data[:at] + matrix[1] + data[at + 36 :])  # the display matrix of a phone held upright
    with open_video(path) as opened:
        first = next(opened.frames).pixels.mean(-1)
    assert opened.size == first.shape == (64, 48)
    assert first[:, 30:].mean() > 200  # a quarter turn clockwise brings the top to the right
    assert first[:, :18].mean() < 50


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(tmp_path):
    for number, pixels in zip((1, 2, 10), greys(3), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"frame{number}.png")
    with open_video(tmp_path, rate=12.5) as opened:
        frames = list(opened.frames)
    assert [frame.pixels[0, 0, 0] for frame in frames] == [40, 50, 60]
    assert [frame.seconds for frame in frames] == [0, Fraction(2, 25), Fraction(4, 25)]
    assert (opened.size, opened.length, opened.rate) == ((48, 64), 3, Fraction(25, 2))


def test_the_frames_of_a_folder_must_be_alike(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    Image.new("RGB", (8, 9)).save(tmp_path / "2.png")
    with open_video(tmp_path) as opened, pytest.raises(ValueError, match=r"2.png has 8x9 pixels, the first frame 8x8"):
        list(opened.frames)


def test_the_rate_of_a_folder_is_checked(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with (
        pytest.raises(ValueError, match=r"rate must lie in 0.01..1000 frames a second, found 0"),
        open_video(tmp_path, rate=0),
    ):
        pass


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "late.mp4"])
def test_a_film_that_was_cut_off_is_named_and_leaves_nothing(name, detector, tmp_path):
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    path = other_film(tmp_path / name, 60, codec, faststart=name == "a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    message = "cannot read .*late.mp4 as a video" if name == "late.mp4" else f"{name} is cut off or damaged after frame"
    with pytest.raises(ValueError, match=message):
        predict_video(detector, path, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
    assert not list(tmp_path.glob("out/.*"))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_film_with_a_hole_is_named_with_its_last_good_frame(name, tmp_path):
    path = other_film(tmp_path / name, 60, "mpeg4" if name.endswith("avi") else "libx264")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes((7 * i) % 256 for i in range(400))
    path.write_bytes(data)
    with (
        pytest.raises(ValueError, match=rf"{name} is cut off or damaged after frame [1-5]\d "),
        open_video(path) as opened,
    ):
        list(opened.frames)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot read"),
        (b"hello", "cannot read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://localhost:9/a.ts\n", "cannot read"),
        (None, "does not exist"),
    ],
)
def test_what_is_no_video_is_named(content, message, tmp_path):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error, open_video(tmp_path / "a.mp4"):
        pass
    assert "a.mp4" in str(error.value)


def test_a_film_without_frames_or_pictures_is_named(tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()
    with pytest.raises(ValueError, match=r"a.avi holds no frame"), open_video(tmp_path / "a.avi"):
        pass
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with (
        pytest.raises(ValueError, match=r"b.mp4 holds no video stream; its streams are audio"),
        open_video(tmp_path / "b.mp4"),
    ):
        pass


def test_a_film_of_absurd_size_is_refused_before_a_frame_is_decoded(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", greys(1))
    monkeypatch.setattr(video, "MAX_PIXELS", 3000)
    monkeypatch.setattr(video, "_decode", None)
    with pytest.raises(ValueError, match=r"a.mp4 has frames of 64x48 pixels; 1 to 3,000 are read"), open_video(path):
        pass


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mp4", greys(1))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r'pip install "cnnlab\[video\]"'), open_video(path):
        pass


class _Fails:
    def __mul__(self, other):
        raise ZeroDivisionError


def test_the_old_result_stays_where_a_new_one_fails(tmp_path):
    old = film(tmp_path / "a.mp4", greys(1)).read_bytes()
    with pytest.raises(ZeroDivisionError):
        film(tmp_path / "a.mp4", [greys(1)[0]] * 2, [Fraction(0), _Fails()])
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == old


def test_every_frame_is_predicted_like_a_photo(detector, tmp_path):
    frames = [np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8) for i in range(11)]
    (tmp_path / "frames").mkdir()
    for i, pixels in enumerate(frames):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{i}.png")
    result = predict_video(detector, tmp_path / "frames", tmp_path / "out")
    records = json.loads(result.results.read_text())
    assert result.frames == 11
    assert result.rate > 0
    assert {record["image_id"] for record in records} == set(range(1, 12))
    results = predictions.predict_files(detector, [tmp_path / "frames" / "10.png"])
    (_, last), *_ = results
    photo = detector.task.record(last, detector.spec, Photo(tmp_path / "frames" / "10.png", 11))
    mine = [record for record in records if record["image_id"] == 11]
    assert [record["score"] for record in mine] == pytest.approx([record["score"] for record in photo], abs=1e-5)
    assert [record["bbox"] for record in mine] == [pytest.approx(record["bbox"], abs=1e-3) for record in photo]


def test_a_film_is_drawn_at_its_own_size_and_times(detector, tmp_path):
    times = [Fraction(t, 100) for t in (0, 4, 9, 30)]
    path = film(tmp_path / "clip.mp4", greys(4), times)
    result = predict_video(detector, path, tmp_path / "out", mc_samples=None)
    with open_video(result.video) as opened:
        frames = list(opened.frames)
    assert opened.size == (48, 64)
    assert [round(float(frame.seconds), 2) for frame in frames] == [0, 0.04, 0.09, 0.3]
    assert sorted(frame.name for frame in (tmp_path / "out").iterdir()) == ["clip.json", "clip.mp4"]


def test_a_film_is_not_replaced_by_its_own_drawing(detector, tmp_path):
    path = film(tmp_path / "clip.mp4", greys(1))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="would replace"):
        predict_video(detector, path, tmp_path)
    assert path.read_bytes() == before


def test_memory_holds_a_few_frames_of_a_long_film(detector, tmp_path, monkeypatch):
    read, alive = [], []

    def read_frame(*_, **__):
        pixels = np.zeros((8, 8, 3), np.uint8)
        read.append(weakref.ref(pixels))
        alive.append(sum(reference() is not None for reference in read))
        return pixels

    for i in range(40):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    monkeypatch.setattr(video, "read_pixels", read_frame)
    predict_video(detector, tmp_path, tmp_path / "out")
    assert len(read) == 40
    assert max(alive) <= videos.BATCH + 2


def test_the_command_draws_films_beside_photos_and_prints_the_frame_rate(detector, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cnnlab, "load", lambda run: detector)
    monkeypatch.setattr("cnnlab.commands.predict_outputs.load_appearance", lambda run: None)
    film(tmp_path / "clip.mp4", greys(3))
    (tmp_path / "frames").mkdir()
    Image.fromarray(greys(1)[0]).save(tmp_path / "frames" / "1.png")
    Image.fromarray(greys(1)[0]).save(tmp_path / "photo.png")
    assert main(["predict", "run", "clip.mp4", "frames", "photo.png", "--video", "--output", "out"]) == 0
    output = capsys.readouterr()
    named = ["out/clip.mp4", "out/clip.json", "out/frames.mp4", "out/frames.json", "out/predictions.json"]
    assert output.out.split() == named
    assert "clip.mp4: 3 frames, " in output.err
    assert "frames/s" in output.err
    assert all((tmp_path / name).stat().st_size > 0 for name in named)
    assert {record["image_id"] for record in json.loads((tmp_path / "out" / "clip.json").read_text())} == {1, 2, 3}


@pytest.mark.parametrize("options", [(), ("--output", "out", "--format", "csv")])
def test_a_film_needs_a_directory_and_json(options, capsys):
    assert main(["predict", "run", "clip.mp4", *options]) == 2
    assert "clip.mp4 is a video" in capsys.readouterr().err


def test_other_networks_refuse_films(tmp_path):
    network = cnnlab.create_model("linear", num_classes=2)
    trained = cnnlab.Trained({}, network, cnnlab.tasks.Classification(), InputSpec((4, 4), 3, classes=("a", "b")))
    with pytest.raises(ValueError, match=r"networks that find boxes \(detection\), this run is classification"):
        predict_video(trained, film(tmp_path / "a.mp4", greys(1)), tmp_path / "out")
