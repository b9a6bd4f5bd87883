"""Tests of whole sheets: windows, equality with one piece, shared masks, memory, and continuation after a stop."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import entr

from cnnlab import sheets
from cnnlab.anatomy.footprint import sight
from cnnlab.data import InputSpec
from cnnlab.metrics.segmentation.panoptic import basins, shapes
from cnnlab.models import create_model
from cnnlab.nn.blocks import Conv, dropout
from cnnlab.sheets import predict_sheet
from cnnlab.sheets.samples import sample_tiles
from cnnlab.tasks import TASKS
from cnnlab.trained import Trained, predict


class Plain(nn.Module):
    """A network of two convolutions with dropout of single pixels between them."""

    num_classes: int
    rate: float = 0.0
    kernel: int = 3

    @nn.compact
    def __call__(self, x, *, deterministic=True):
        x = nn.relu(Conv(6, (self.kernel, self.kernel), name="conv1")(x))
        x = dropout(self.rate, deterministic=deterministic, name="dropout")(x)
        return Conv(self.num_classes, (3, 3), name="conv2")(x)


class Deep(nn.Module):
    """A network of stride 8 with strided, dilated and transposed convolutions and a skip connection."""

    num_classes: int

    @nn.compact
    def __call__(self, x):
        skip = x = nn.relu(nn.Conv(4, (3, 3), name="start")(x))
        for i in range(3):
            x = nn.relu(nn.Conv(6, (3, 3), strides=2, name=f"down{i}")(x))
        x = nn.relu(nn.Conv(6, (3, 3), kernel_dilation=2, name="bottom")(x))
        for i in range(3):
            x = nn.relu(nn.ConvTranspose(6, (2, 2), strides=(2, 2), name=f"up{i}")(x))
        return nn.Conv(self.num_classes, (1, 1), name="head")(jnp.concatenate([x, skip], -1))


def trained_on(network, k, channels=1):
    """Returns a network with random weights that are large enough for probabilities far from 1 / k."""
    rng = np.random.default_rng(0)

    def weights(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return rng.normal(0, np.sqrt(8 / np.prod(leaf.shape[:-1])), leaf.shape).astype(np.float32)
        return np.full(leaf.shape, name in ("scale", "var"), np.float32)

    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 32, 32, channels)))
    variables = jax.tree.map_with_path(weights, shapes)
    classes = tuple("abcdefgh"[:k])
    return Trained(variables, network, TASKS["segmentation"](), InputSpec((32, 32), channels, classes=classes))


@pytest.fixture(scope="module")
def halving():
    return trained_on(create_model("encoder_decoder", num_classes=3, features=4, spatial_dropout=0.4), 3)


def drawn(height, width, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def whole(trained, sheet, stride, **options):
    """Returns the probabilities of every pass for a sheet in one piece, padded to a multiple of the stride."""
    height, width, _ = sheet.shape
    pad = [(0, -height % stride), (0, -width % stride), (0, 0)]
    samples = sample_tiles(trained, np.pad(sheet, pad, "edge")[None], **options)
    return np.asarray(samples)[0, :, :height, :width]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 100, 127, 129, 501])
@pytest.mark.parametrize(("overlap", "margin", "stride"), [(0, 0, 1), (24, 5, 4), (32, 16, 8), (32, 20, 16)])
def test_weights_sum_to_one_and_vanish_in_the_margin(size, overlap, margin, stride):
    axis = sheets.tile_axis(size, tile=64, overlap=overlap, margin=margin, stride=stride)
    total = np.zeros(axis.size)
    for i, start in enumerate(axis.starts):
        weights = axis.weights(i)
        total[start : start + axis.tile] += weights
        assert start % stride == 0
        if overlap >= 2 * margin:
            assert i == 0 or not weights[:margin].any()
            assert start + axis.tile == axis.size or not weights[axis.tile - margin :].any()
    assert axis.starts[-1] + axis.tile == axis.size >= size
    np.testing.assert_allclose(total, 1, atol=1e-6)


@pytest.mark.parametrize("size", [9, 40, 41])
def test_windows_of_the_networks_stride_lie_side_by_side(size):
    axis = sheets.tile_axis(size, tile=8, overlap=4, margin=1, stride=8)
    assert axis.starts == tuple(range(0, axis.size, 8))
    assert all((axis.weights(i) == 1).all() for i in range(len(axis.starts)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 2, "stride": 4}, "at least the network's stride of 4 pixels, found 2"),
        ({"tile": 30, "stride": 4}, "the nearest are 28 and 32"),
        ({"tile": 64, "overlap": 40}, "overlap must lie in 0..32"),
        ({"tile": 64, "overlap": -1}, "overlap must lie in 0..32"),
        ({"size": 0}, "size must be a whole number of at least 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        sheets.tile_axis(**{"size": 100, "tile": 64, "overlap": 0} | options)


def test_the_margin_is_as_far_as_a_pixel_of_the_image_has_influence(halving):
    margin, stride = sight(halving, 64)
    assert stride == 4

    def influence(place):
        def response(x):
            return (halving.network.apply(halving.variables, x)[0, 32 + place, 32] ** 2).sum()

        return np.flatnonzero(
            np.abs(jax.jit(jax.grad(response))(jnp.asarray(drawn(64, 64)[None] / 255.0))).sum((0, 2, 3))
        )

    reached = [np.abs(influence(place) - 32 - place).max() for place in range(4)]
    assert margin - 1 <= max(reached) <= margin


@pytest.mark.parametrize(("height", "width"), [(150, 203), (64, 64), (41, 30), (130, 63)])
def test_a_sheet_in_windows_equals_the_whole(halving, tmp_path, height, width):
    sheet = drawn(height, width)
    files = predict_sheet(halving, sheet, tmp_path, tile=64, overlap=32)
    expected = whole(halving, sheet, 4, key=jax.random.key(0), num_samples=None)[0]
    np.testing.assert_allclose(np.load(files["mean"]), expected, atol=1e-5)
    np.testing.assert_array_equal(np.load(files["mask"]), np.load(files["mean"]).argmax(-1))
    assert expected.std() > 0.05


def test_a_network_with_strides_and_transposed_convolutions_has_no_seams_either(tmp_path):
    network, sheet = trained_on(Deep(2), 2), drawn(170, 300)
    margin, stride = sight(network, 160)
    files = predict_sheet(network, sheet, tmp_path, tile=160)
    assert stride == 8
    assert 2 * margin <= 80
    expected = whole(network, sheet, 8, key=jax.random.key(0), num_samples=None)[0, ..., 1]
    np.testing.assert_allclose(np.load(files["mean"]), expected, atol=1e-5)


@pytest.mark.parametrize(("up", "margin"), [("transposed", 20), ("bilinear", 23)])
def test_a_unet_without_padding_answers_a_sheet_through_the_mirroring_one(tmp_path, up, margin):
    kind = {"num_classes": 2, "width": 2, "depth": 2, "norm": False, "up": up}
    mirroring = trained_on(create_model("unet", **kind, border="mirror"), 2)
    sheet = drawn(152, 204)
    mean = np.load(predict_sheet(mirroring, sheet, tmp_path, tile=128)["mean"])
    start = -margin % 4  # the mirrored border shifts the grid of the poolings by this many pixels
    part = sheet[None, start : start + 148, start : start + 200] / 255.0
    plain = create_model("unet", **kind, border="valid").apply(mirroring.variables, part)
    inside = mean[start + margin : start + 148 - margin, start + margin : start + 200 - margin]
    np.testing.assert_allclose(inside, jax.nn.softmax(plain)[0, ..., 1], atol=1e-5)


def test_an_output_directory_takes_one_process_at_a_time(halving, tmp_path):
    code = "import sys; from pathlib import Path; from cnnlab.files.atomic import lock\n"
    code += f"with lock(Path({str(tmp_path)!r}), ''): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="another process predicts into"):
            predict_sheet(halving, drawn(70, 70), tmp_path, tile=64)
        other.stdin.close()
        other.wait()
    assert predict_sheet(halving, drawn(70, 70), tmp_path, tile=64)["mean"].exists()


def test_without_windows_it_is_what_predict_says(halving, tmp_path):
    sheet = drawn(64, 96)
    files = predict_sheet(halving, sheet, tmp_path, tile=56)
    np.testing.assert_allclose(np.load(files["mean"]), predict(halving, sheet[None]).probs[0], atol=1e-5)


def test_every_window_of_a_pass_shares_its_mask(halving, tmp_path):
    sheet, key = drawn(100, 130), jax.random.key(7)
    files = predict_sheet(halving, sheet, tmp_path, tile=64, overlap=32, mc_samples=6, key=key)
    samples = whole(halving, sheet, 4, key=key, num_samples=6).astype(float)
    mean = samples.mean(0)
    expected = entr(samples).sum(-1).mean(0)
    np.testing.assert_allclose(np.load(files["mean"]), mean, atol=1e-5)
    np.testing.assert_allclose(np.load(files["variance"]), samples.var(0), atol=1e-5)
    np.testing.assert_allclose(np.load(files["entropy"]), entr(mean).sum(-1), atol=1e-5)
    np.testing.assert_allclose(np.load(files["mutual_information"]), entr(mean).sum(-1) - expected, atol=1e-5)
    assert samples.var(0).mean() > 1e-3


def test_blending_mixes_passes_and_not_moments(tmp_path):
    network = trained_on(create_model("encoder_decoder", num_classes=2, features=4, spatial_dropout=0.4), 2)
    sheet, key = drawn(64, 80), jax.random.key(1)
    with pytest.warns(UserWarning, match="blended predictions differ"):  # too small on purpose
        files = predict_sheet(network, sheet, tmp_path, tile=64, overlap=8, mc_samples=4, key=key)
    _, columns = sheets.plan_sheet(network, (64, 80), tile=64, overlap=8)
    blended = np.zeros((4, 64, 80))
    for i, start in enumerate(columns.starts):
        samples = sample_tiles(network, sheet[None, :, start : start + 64], key, num_samples=4)[0, ..., 1]
        blended[:, :, start : start + 64] += columns.weights(i) * samples
    np.testing.assert_allclose(np.load(files["variance"]), blended.var(0), atol=1e-6)


def test_where_single_pixels_are_dropped_the_variance_of_the_seams_is_that_of_the_rest(tmp_path):
    network = trained_on(Plain(2, rate=0.5), 2)
    sheet = np.full((64, 120, 1), 128, np.uint8)
    files = predict_sheet(network, sheet, tmp_path, tile=64, mc_samples=60)
    _, columns = sheets.plan_sheet(network, (64, 120), tile=64, sampled=True)
    assert columns.ramp == 0
    assert sheets.plan_sheet(network, (64, 120), tile=64)[1].ramp == 28
    variance = np.load(files["variance"])[4:-4]
    seam = columns.mixed(0)[0]
    assert variance[:, seam - 4 : seam + 4].mean() == pytest.approx(variance[:, 8:-8].mean(), rel=0.15)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (partial(create_model, "encoder_decoder", num_classes=2), {"tile": 2}, "cannot take tiles of 2x2"),
        (partial(create_model, "encoder_decoder", num_classes=2), {"tile": 50}, "multiples of 4, found 50x50"),
        (partial(create_model, "encoder_decoder", num_classes=2), {"tile": 0}, "tile must be a whole number"),
        (partial(create_model, "encoder_decoder", num_classes=2), {"overlap": 40, "tile": 64}, "overlap must lie"),
        (partial(create_model, "encoder_decoder", num_classes=2), {"mc_samples": 0}, "mc_samples must be"),
        (partial(create_model, "encoder_decoder", num_classes=2), {"vectors": "shp"}, "'gpkg', 'geojson' or 'none'"),
        (partial(create_model, "unet", num_classes=2, width=2, depth=1, border="valid"), {"tile": 40}, "'mirror'"),
        (partial(create_model, "linear", num_classes=2), {"tile": 32}, "need a network that predicts every pixel"),
        (partial(Plain, 2), {"mc_samples": 2, "tile": 32}, "no dropout is active"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, network, options, message):
    with pytest.raises(ValueError, match=message):
        predict_sheet(trained_on(network(), 2), drawn(70, 70), tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_it_goes_on_where_it_was_stopped(halving, tmp_path, monkeypatch):
    sheet, options = drawn(200, 90), {"tile": 64, "overlap": 32, "mc_samples": 2}
    expected = predict_sheet(halving, sheet, tmp_path / "once", **options)
    real, rows = sheets.predict._predict_row, []

    def counted(scratch, sheet, down, across, i, *rest, stop, **named):
        if i == stop:
            raise KeyboardInterrupt
        rows.append(i)
        real(scratch, sheet, down, across, i, *rest, **named)

    monkeypatch.setattr(sheets.predict, "_predict_row", partial(counted, stop=2))
    with pytest.raises(KeyboardInterrupt):
        predict_sheet(halving, sheet, tmp_path / "twice", **options)
    assert sorted(path.name for path in (tmp_path / "twice").iterdir()) == [".lock", ".partial"]
    for other in ({"mc_samples": 3}, {"key": jax.random.key(1)}, {"overlap": 30}):
        with pytest.raises(
            ValueError, match="2 finished rows of windows of a prediction that differs in (passes|key|win)"
        ):
            predict_sheet(halving, sheet, tmp_path / "twice", **options | other)
    monkeypatch.setattr(sheets.predict, "_predict_row", partial(counted, stop=None))
    files = predict_sheet(halving, sheet, tmp_path / "twice", **options)
    assert rows == [0, 1, 2, 3, 4, 5]
    assert not (tmp_path / "twice" / ".partial").exists()
    for name in ("mean", "variance", "mask"):
        np.testing.assert_array_equal(np.load(files[name]), np.load(expected[name]))


def test_another_sheet_does_not_go_on_from_this_one(halving, tmp_path, monkeypatch):
    monkeypatch.setattr(sheets.predict, "_finish", lambda *arguments: None)
    predict_sheet(halving, drawn(70, 70), tmp_path, tile=64)  # predicts all rows but publishes no results
    monkeypatch.undo()
    with pytest.raises(ValueError, match="differs in sheet: use that sheet with its file unchanged to continue"):
        predict_sheet(halving, drawn(70, 70, seed=1), tmp_path, tile=64)


def test_a_sheet_that_is_done_is_not_done_again(halving, tmp_path, monkeypatch):
    once = predict_sheet(halving, drawn(70, 70), tmp_path, tile=64)
    monkeypatch.setattr(sheets.predict, "_predict_row", None)
    assert predict_sheet(halving, drawn(70, 70), tmp_path, tile=64) == once
    once["mean"].unlink()
    with pytest.raises(TypeError):  # a file is missing, so it is predicted
        predict_sheet(halving, drawn(70, 70), tmp_path, tile=64)


@pytest.mark.parametrize("placed", [False, True])
def test_other_polygons_are_drawn_of_the_maps_of_a_sheet_that_is_done(halving, tmp_path, placed, monkeypatch):
    sheet = drawn(70, 70)
    if placed:
        rasterio = pytest.importorskip("rasterio")
        sheet, options = tmp_path / "sheet.tif", {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": "EPSG:32631"}
        with rasterio.open(
            sheet, "w", width=70, height=70, transform=rasterio.Affine(2, 0, 9, 0, -2, 9), **options
        ) as f:
            f.write(drawn(70, 70)[..., 0], 1)
    options = {"tile": 64, "mc_samples": 2, "smallest": 20, "vectors": "geojson", "background": "none"}
    fresh = predict_sheet(halving, sheet, tmp_path / "fresh", **options)
    first = predict_sheet(halving, sheet, tmp_path / "again", tile=64, mc_samples=2, vectors="geojson")
    first["polygons"].rename(tmp_path / "kept.geojson")
    monkeypatch.setattr(sheets.predict, "_predict_row", None)
    again = predict_sheet(halving, sheet, tmp_path / "again", **options)
    assert [path.name for path in again.values()] == [path.name for path in fresh.values()]
    assert all(again[name].read_bytes() == path.read_bytes() for name, path in fresh.items())


def test_no_file_of_an_earlier_result_stays_beside_the_new_ones(halving, tmp_path):
    predict_sheet(halving, drawn(70, 70), tmp_path, tile=64, mc_samples=2)
    (tmp_path / "notes.txt").write_text("mine")
    predict_sheet(halving, drawn(70, 70), tmp_path, tile=64, vectors="none")
    names = {path.name for path in tmp_path.iterdir() if path.suffix}
    classes = [f"mean_{i}.png" for i in range(3)]
    assert names == {
        "mean.npy",
        *classes,
        "entropy.npy",
        "entropy.png",
        "mask.npy",
        "mask.png",
        "notes.txt",
        ".done.json",
    }


def test_floats_without_a_number_are_no_data_and_too_large_ones_are_refused(halving, tmp_path):
    sheet = drawn(70, 70) / np.float32(255)
    sheet[:20] = np.nan
    files = predict_sheet(halving, sheet, tmp_path / "out", tile=64)
    np.testing.assert_array_equal(np.isnan(np.load(files["entropy"])), np.arange(70)[:, None] + np.zeros(70) < 20)
    with pytest.raises(ValueError, match=r"holds floats from 0 to 255; they must lie in \[0, 1\]: divide by 255"):
        predict_sheet(halving, drawn(70, 70).astype(np.float32), tmp_path / "other", tile=64)


def test_windows_too_small_for_what_the_network_sees_are_told(halving, tmp_path):
    with pytest.warns(UserWarning, match="differ from those of the sheet in one piece; use tile [0-9]+ to avoid"):
        sheets.plan_sheet(halving, (70, 70), tile=32, overlap=4)


_MEMORY = """
import re, sys, threading
import numpy as np
sys.path.insert(0, {tests!r})
from test_sheets import Plain, trained_on
from cnnlab import sheets

def resident():
    return int(re.search("VmRSS:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) / 1024

def peak(height, width):
    sheet = np.lib.format.open_memmap({folder!r} + "/sheet.npy", "w+", np.uint8, (height, width, 1))
    seen, stop = [], threading.Event()
    def watch():
        while not stop.wait(0.01):
            seen.append(resident())
    watcher = threading.Thread(target=watch)
    watcher.start()
    sheets.predict_sheet(network, {folder!r} + "/sheet.npy", {folder!r}, tile=256)
    stop.set()
    watcher.join()
    return max(seen)

network = trained_on(Plain(2), 2)
print(peak(512, 512), peak(1024, 1024), peak(3584, 3584))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_sheet(tmp_path):
    code = _MEMORY.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, small, large = map(float, done.stdout.split())
    # The large sheet has 12 times the pixels; its maps have 115 MB together, and the image of a map has 13 MB.
    assert large - small < 60, done.stdout


_DEVICES = """
import sys
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 3)
sys.path.insert(0, {tests!r})
from test_sheets import create_model, drawn, trained_on
from cnnlab import sheets
assert jax.device_count() == 3
network = trained_on(create_model("encoder_decoder", num_classes=3, features=4, spatial_dropout=0.4), 3)
sheets.predict_sheet(network, drawn(100, 130), {output!r}, tile=64, overlap=32, mc_samples=2)
"""


def test_several_devices_give_the_same_maps(halving, tmp_path):
    code = _DEVICES.format(tests=str(Path(__file__).parent), output=str(tmp_path / "three"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = predict_sheet(halving, drawn(100, 130), tmp_path / "one", tile=64, overlap=32, mc_samples=2)
    for name in ("mean", "variance"):
        three = np.load(tmp_path / "three" / f"{name}.npy")
        np.testing.assert_allclose(three, np.load(files[name]), atol=1e-5)


class Brightness(nn.Module):
    """A network that takes bright pixels for walls."""

    @nn.compact
    def __call__(self, x):
        return nn.Conv(2, (1, 1), name="classes")(x)


@pytest.fixture
def two_rooms():
    """Returns a network that takes bright pixels for walls, and a sheet of two rooms with a faint gap in their wall."""
    sheet = np.zeros((20, 40, 1), np.uint8)
    sheet[:, 18:21] = 255
    sheet[9:11, 18:21] = 100
    weights = {"classes": {"kernel": np.array([[[[0, 20.0]]]], np.float32), "bias": np.array([0, -10], np.float32)}}
    spec = InputSpec((16, 16), classes=("room", "wall"))
    return Trained({"params": weights}, Brightness(), TASKS["segmentation"](), spec), sheet


def test_a_watershed_closes_a_gap_between_shapes_and_leaves_the_maps_alone(two_rooms, tmp_path):
    def predicted(name, **options):
        files = predict_sheet(*two_rooms, tmp_path / name, tile=64, background="wall", **options)
        features = json.loads(files["polygons"].read_text())["features"]
        return np.load(files["mask"]), [one["properties"]["pixels"] for one in features]

    mask, joined = predicted("plain")
    assert joined == [20 * 40 - 18 * 3]
    flooded_mask, apart = predicted("flooded", watershed=0.05)
    assert sorted(apart) == [20 * 19, 20 * 20]  # the rooms take all of the wall except a line of one pixel
    np.testing.assert_array_equal(flooded_mask, mask)
    assert predicted("plain", watershed=0.05)[1] == apart  # computed from the existing maps
    assert predicted("plain")[1] == joined


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"watershed": 1.5, "background": "wall"}, "between 0 and 1"),
        ({"watershed": 0.2, "background": "none"}, "name it: --background room or wall"),
        ({"watershed": 0.2}, "needs the class of its walls, found background 'first'"),
    ],
)
def test_a_watershed_that_cannot_be_is_refused_before_the_windows(two_rooms, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        predict_sheet(*two_rooms, tmp_path, tile=64, **options)
    assert not list(tmp_path.iterdir())


def test_a_sheet_too_large_for_a_watershed_is_told(two_rooms, tmp_path, monkeypatch):
    monkeypatch.setattr(sheets.watershed, "MAX_PIXELS", 100)
    with pytest.raises(ValueError, match="20×40 pixels is too large for a watershed"):
        predict_sheet(*two_rooms, tmp_path, tile=64, background="wall", watershed=0.2)


def test_basins_take_their_likeliest_class_and_pixels_without_data_none():
    wall = np.array([[0.1, 0.1, 0.1, 1, 0.4, 0.4, np.nan]])
    second = np.array([[0.9, 0.9, 0, 0, 0.2, 0.2, np.nan]])
    classes = sheets.watershed.basin_classes(np.stack([wall, second, 1 - wall - second]), 0, 0.5, smallest=1)
    assert classes.tolist() == [[1, 1, 1, 0, 2, 2, 255]]  # the larger sums are 1.8 (against .9) and .8 (against .4)


def test_no_crumb_is_left_of_a_basin_that_a_line_cuts():
    wall = np.random.default_rng(0).random((1, 60, 60))
    classes = sheets.watershed.basin_classes(wall, 1, 0.3, smallest=3)
    seeds = basins(wall[0], 0.3, min_size=3)
    assert shapes(classes == 0).max() == seeds.max()


def test_a_sheet_without_any_basin_is_all_wall():
    assert (sheets.watershed.basin_classes(np.ones((1, 4, 4)), 1, 0.3, smallest=1) == 1).all()
