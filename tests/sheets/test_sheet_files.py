"""Tests of sheets as files: GeoTIFFs, images, damaged files, and the command."""

import contextlib
import dataclasses
import json
import os
import struct

import jax
import numpy as np
import pytest
from PIL import Image
from test_sheets import drawn, trained_on

import cnnlab
from cnnlab.cli import main
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.listing import find_images
from cnnlab.files.nodata import known_pixels
from cnnlab.files.opening import ImageError
from cnnlab.models import create_model
from cnnlab.predictions.predict import predict_files
from cnnlab.sheets import georeference, open_sheet, predict_sheet, results, scratch
from cnnlab.sheets.rasters import is_sheet

PLACE = (0.5, 0, 600_000, 0, -0.5, 5_400_000)  # half a metre a pixel


@pytest.fixture(scope="module")
def network():
    return trained_on(create_model("encoder_decoder", num_classes=2, features=4, spatial_dropout=0.4), 2)


@pytest.fixture(scope="module")
def many():
    return trained_on(create_model("encoder_decoder", num_classes=3, features=4), 3, channels=3)


def write_tiff(path, pixels, **profile):
    rasterio = pytest.importorskip("rasterio")
    height, width, count = pixels.shape
    profile = {"crs": "EPSG:32631", "transform": rasterio.Affine(*PLACE), "dtype": pixels.dtype} | profile
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, count=count, **profile) as file:
        file.write(np.moveaxis(pixels, -1, 0))
    return path


def test_a_picture_gives_arrays_pictures_and_polygons_in_pixels(network, tmp_path):
    Image.fromarray(drawn(70, 90)[..., 0]).save(tmp_path / "sheet.png")
    files = predict_sheet(network, tmp_path / "sheet.png", tmp_path / "out", tile=64, mc_samples=3)
    mean, mask = np.load(files["mean"]), np.asarray(Image.open(tmp_path / "out" / "mask.png"))
    assert mean.shape == mask.shape == (70, 90)
    np.testing.assert_array_equal(mask, mean > 0.5)
    for name in ("variance", "mutual_information", "entropy"):
        image, values = Image.open(tmp_path / "out" / f"{name}.png"), np.load(files[name])
        top = float(image.text["white"])
        assert top == pytest.approx(np.log(2) if name == "entropy" else values.max())
        np.testing.assert_allclose(np.asarray(image) / 255 * top, values, atol=top / 500)
    features = json.loads(files["polygons"].read_text())["features"]
    assert sum(one["properties"]["area"] for one in features) == mask.sum()
    assert all(0.5 < one["properties"]["mean_probability"] <= 1 for one in features)
    assert {"class", "pixels", "mean_variance", "mean_entropy", "mean_mutual_information"} <= {
        *features[0]["properties"]
    }


def test_several_classes_have_a_picture_each(many, tmp_path):
    files = predict_sheet(many, drawn(40, 50, 3), tmp_path, tile=64)
    assert np.load(files["mean"]).shape == (40, 50, 3)
    bands = [np.asarray(Image.open(tmp_path / f"mean_{band}.png"), float) / 255 for band in range(3)]
    np.testing.assert_allclose(np.stack(bands, -1), np.load(files["mean"]), atol=0.002)


def test_the_georeference_goes_round(network, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnlab.sheets.results._BATCH", 2)  # number of polygons that are written together
    path = write_tiff(tmp_path / "sheet.tif", drawn(300, 200))
    import pyogrio
    import rasterio
    import shapely
    from rasterio.features import geometry_mask

    files = predict_sheet(network, path, tmp_path / "out", tile=128, mc_samples=2, smallest=1)
    assert sorted(file.name for file in (tmp_path / "out").iterdir() if file.suffix in (".tif", ".gpkg")) == sorted(
        [*(f"{name}.tif" for name in files if name != "polygons"), "polygons.gpkg"]
    )
    for name in ("mean", "variance", "entropy", "mutual_information", "mask"):
        with rasterio.open(files[name]) as file:
            assert file.descriptions == (("b",) if name in ("mean", "variance") else (None,))
            assert (file.crs, tuple(file.transform)[:6], file.shape) == ("EPSG:32631", PLACE, (300, 200))
            assert file.profile["tiled"]
            assert file.compression.name == "deflate"
            assert file.overviews(1) == [2]
    with rasterio.open(files["mask"]) as file:
        mask = file.read(1)
        assert file.colormap(1)[1] == (230, 159, 0, 255)  # the orange #e69f00 of Okabe and Ito
        assert {"class_0": "a", "class_1": "b"}.items() <= file.tags(1).items()
    _, _, geometry, columns = pyogrio.raw.read(files["polygons"])
    shapes = shapely.from_wkb(geometry)
    assert shapely.area(shapes).sum() == pytest.approx(mask.sum() * 0.25)
    assert columns[1].sum() == pytest.approx(mask.sum() * 0.25)
    assert pyogrio.read_info(files["polygons"])["crs"] == "EPSG:32631"
    with rasterio.open(files["mean"]) as file:
        largest = np.argmax(columns[2])
        points = geometry_mask([shapes[largest]], file.shape, file.transform, invert=True)
        assert file.read(1)[points].mean() == pytest.approx(columns[3][largest], rel=1e-5)


def test_a_raster_equals_the_array_of_its_pixels(many, tmp_path):
    pixels = drawn(100, 130, 3)
    path = write_tiff(tmp_path / "sheet.tif", pixels)
    import rasterio

    files = predict_sheet(many, path, tmp_path / "raster", tile=64)
    expected = np.load(predict_sheet(many, pixels, tmp_path / "array", tile=64)["mean"])
    with rasterio.open(files["mean"]) as file:
        assert file.descriptions == ("a", "b", "c")
        np.testing.assert_array_equal(np.moveaxis(file.read(), 0, -1), expected)


def test_geojson_of_a_georeferenced_sheet_is_in_degrees(network, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(60, 60))
    files = predict_sheet(network, path, tmp_path, tile=64, vectors="geojson")
    ring = json.loads(files["polygons"].read_text())["features"][0]["geometry"]["coordinates"][0]
    # The meridian of zone 31 is at 3 degrees; 100 km east of it is 1.36 degrees more at 48.7 degrees north.
    np.testing.assert_allclose(ring, np.broadcast_to([4.36, 48.74], (len(ring), 2)), atol=0.01)


def test_a_sheet_that_lies_nowhere_on_earth_has_no_degrees(network, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(60, 60), crs='LOCAL_CS["site",UNIT["metre",1]]')
    with pytest.raises(ValueError, match=r"cannot be converted to degrees.*as gpkg"):
        predict_sheet(network, path, tmp_path / "out", tile=64, vectors="geojson")
    assert predict_sheet(network, path, tmp_path / "out", tile=64)["polygons"].suffix == ".gpkg"


@pytest.mark.parametrize(("side", "bytes_lost"), [(60, 2000), (300, 50)])  # the second loses a block of an overview
def test_a_geotiff_that_lost_a_block_is_no_result(network, side, bytes_lost, tmp_path, monkeypatch):
    path, check = write_tiff(tmp_path / "sheet.tif", drawn(side, side)), georeference._check_whole

    def cut(written):
        written.write_bytes(written.read_bytes()[:-bytes_lost])
        check(written)

    monkeypatch.setattr(georeference, "_check_whole", cut)
    with pytest.raises(ValueError, match=r"cannot write the results.*call again: the predicted maps stay"):
        predict_sheet(network, path, tmp_path / "out", tile=64)
    assert not list((tmp_path / "out").glob("*.tif"))


def test_pixels_without_data_have_no_answer(network, tmp_path):
    pixels = drawn(100, 80) // 2 + 1
    pixels[:30] = 0
    path = write_tiff(tmp_path / "sheet.tif", pixels, nodata=0)
    import rasterio

    files = predict_sheet(network, path, tmp_path / "out", tile=64, mc_samples=2)
    with rasterio.open(files["mean"]) as mean, rasterio.open(files["mask"]) as mask:
        assert np.isnan(mean.read(1)[:30]).all()
        assert np.isfinite(mean.read(1)[30:]).all()
        assert (mask.read(1)[:30] == 255).all()
        assert (mask.nodata, np.isnan(mean.nodata)) == (255, True)


def test_an_alpha_band_says_where_there_are_data(many, tmp_path):
    pixels = np.concatenate([drawn(50, 60, 3), np.full((50, 60, 1), 255, np.uint8)], -1)
    pixels[:, :20, 3] = 0
    path = write_tiff(tmp_path / "sheet.tif", pixels, photometric="rgb", alpha="yes")
    with open_sheet(path, channels=3) as sheet:
        window, valid = sheet.read(slice(0, 50), slice(10, 30))
    assert window.shape == (50, 20, 3)
    np.testing.assert_array_equal(valid, np.broadcast_to(np.arange(20) >= 10, (50, 20)))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_tiff_is_read_as_in_training(mode, channels, tmp_path):
    pytest.importorskip("rasterio")
    Image.fromarray(drawn(20, 30, 3)).convert(mode).save(tmp_path / "sheet.tif")
    expected = read_pixels(tmp_path / "sheet.tif", size=(20, 30), channels=channels)
    with open_sheet(tmp_path / "sheet.tif", channels=channels) as sheet:
        np.testing.assert_array_equal(sheet.read(slice(0, 20), slice(0, 30))[0], expected)


def test_a_scan_whose_zero_is_white_is_read_as_in_training(tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(20, 30), photometric="MINISWHITE")
    expected = read_pixels(path, size=(20, 30), channels=1)
    with open_sheet(path, channels=1) as sheet:
        np.testing.assert_array_equal(sheet.read(slice(0, 20), slice(0, 30))[0], expected)


@pytest.mark.parametrize("bands", [None, (1,)])
@pytest.mark.parametrize("nodata", [None, 0, 1])
@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_scan_of_few_bits_is_read_as_in_training_and_lacks_the_same_pixels(
    bits, photometric, nodata, bands, tmp_path
):
    stored = np.random.default_rng(0).integers(0, 2**bits, (20, 30, 1), np.uint8)
    profile = {"nbits": bits} if bits < 8 else {}
    path = write_tiff(tmp_path / "sheet.tif", stored, photometric=photometric, nodata=nodata, **profile)
    known = stored[..., 0] != nodata if nodata is not None else np.ones((20, 30), bool)
    expected = read_pixels(path, size=(20, 30), channels=1)
    with open_sheet(path, channels=1, bands=bands) as sheet:
        pixels, valid = sheet.read(slice(0, 20), slice(0, 30))
    np.testing.assert_array_equal(valid, known)
    np.testing.assert_array_equal(pixels[known], expected[known])
    assert not pixels[~known].any()
    learnt = known_pixels(path)
    np.testing.assert_array_equal(known, True if learnt is None else learnt)


def test_a_picture_with_a_world_file_keeps_its_place_and_a_large_one_is_read_by_windows(tmp_path, monkeypatch):
    pytest.importorskip("rasterio")
    Image.fromarray(drawn(20, 30)[..., 0]).save(tmp_path / "sheet.png")
    (tmp_path / "sheet.pgw").write_text("2\n0\n0\n-2\n101\n499\n")  # the middle of the first pixel
    with open_sheet(tmp_path / "sheet.png", channels=1) as sheet:
        assert sheet.georeference == (None, (2, 0, 100, 0, -2, 500))
    (tmp_path / "sheet.pgw").unlink()
    monkeypatch.setattr("cnnlab.files.opening.MAX_PIXELS", 100)
    monkeypatch.setattr("cnnlab.sheets.rasters.MAX_PIXELS", 100)
    with open_sheet(tmp_path / "sheet.png", channels=1) as sheet:
        np.testing.assert_array_equal(sheet.read(slice(3, 9), slice(2, 8))[0], drawn(20, 30)[3:9, 2:8])


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(("tag", "turn"), [(1, 0), (3, 2), (6, -1), (8, 1)])  # TIFF 6.0, section 8: Orientation
def test_a_scan_that_lies_on_its_side_is_turned_upright_as_in_training(tag, turn, compression, tmp_path):
    path, pixels = tmp_path / "sheet.tif", drawn(30, 20)
    Image.fromarray(pixels[..., 0]).save(path, tiffinfo={0x0112: tag}, compression=compression)
    upright = np.rot90(pixels, turn)
    assert read_header(path) == (upright.shape[:2], 1)
    np.testing.assert_array_equal(read_pixels(path, size=upright.shape[:2], channels=1), upright)
    with open_sheet(path, channels=1) as sheet:
        np.testing.assert_array_equal(sheet.read(*(slice(0, n) for n in upright.shape[:2]))[0], upright)


def test_ground_control_points_are_refused_with_the_way_out(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    points = [rasterio.control.GroundControlPoint(r, c, c, -r) for r, c in ((0, 0), (0, 9), (9, 0), (9, 9))]
    path = write_tiff(tmp_path / "sheet.tif", drawn(10, 10), transform=None, crs=None)
    with rasterio.open(path, "r+") as file:
        file.gcps = (points, "EPSG:32631")
    with pytest.raises(ValueError, match="4 ground control points.*gdalwarp"), open_sheet(path, channels=1):
        pass


def test_a_turned_sheet_without_a_coordinate_system_keeps_its_place(network, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    import pyogrio
    import shapely

    turned = rasterio.Affine(0, 2, 100, 2, 0, 500)  # rows run east and columns north
    path = write_tiff(tmp_path / "sheet.tif", drawn(40, 30), crs=None, transform=turned)
    files = predict_sheet(network, path, tmp_path / "out", tile=64, background="none", smallest=1)
    with rasterio.open(files["mask"]) as file:
        assert (file.crs, file.transform) == (None, turned)
    _, _, geometry, columns = pyogrio.raw.read(files["polygons"])
    assert shapely.total_bounds(shapely.from_wkb(geometry)).tolist() == [100, 500, 100 + 2 * 40, 500 + 2 * 30]
    assert set(columns[0]) == {"a", "b"}
    assert columns[1].sum() == 4 * 40 * 30


def test_a_sheet_without_shapes_has_a_geopackage_with_its_columns(network, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(40, 30))
    import pyogrio

    files = predict_sheet(network, path, tmp_path / "out", tile=64, smallest=2000)
    info = pyogrio.read_info(files["polygons"])
    assert (info["features"], info["fields"].tolist()) == (
        0,
        ["class", "area", "pixels", "mean_probability", "mean_entropy"],
    )


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", np.full((8, 9, 1), 65535, np.uint16))
    with open_sheet(path, channels=1) as sheet:
        assert (sheet.read(slice(0, 8), slice(0, 9))[0] == 255).all()


@pytest.mark.parametrize("options", [{"nbits": 12}, {}])
def test_twelve_bits_are_scaled_where_they_are_told_and_warned_of_where_not(options, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", np.full((8, 9, 1), 4095, np.uint16), **options)
    warning = contextlib.nullcontext() if options else pytest.warns(UserWarning, match="none of them above 4095")
    with warning, open_sheet(path, channels=1) as sheet:
        assert (sheet.read(slice(0, 8), slice(0, 9))[0] == (255 if options else 15)).all()


def test_a_stack_of_images_is_no_sheet(tmp_path):
    write_tiff(tmp_path / "copies.tif", drawn(300, 300), tiled=True)
    import rasterio

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "copies.tif", "r+") as file:
        file.write_mask(drawn(300, 300)[..., 0] > 9)
        file.build_overviews([2, 4])
    assert read_pixels(tmp_path / "copies.tif", size=(300, 300), channels=1).shape == (300, 300, 1)
    pages = [Image.fromarray(drawn(40, 40)[..., 0])] * 3
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    with (
        pytest.raises(ValueError, match="stack.tif is a stack of 3 images"),
        open_sheet(tmp_path / "stack.tif", channels=1),
    ):
        pass


@pytest.mark.parametrize(
    "following", [3, 8, 0xFFFFFF]
)  # an odd offset, the first directory again, an offset beyond the end
def test_what_lies_behind_the_first_image_of_a_tiff_does_no_harm(following, tmp_path):
    Image.fromarray(drawn(40, 40)[..., 0]).save(tmp_path / "one.tif")
    content = bytearray((tmp_path / "one.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (tags,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * tags, following)
    (tmp_path / "one.tif").write_bytes(content)
    np.testing.assert_array_equal(read_pixels(tmp_path / "one.tif", size=(40, 40), channels=1), drawn(40, 40))


def test_another_band_count_is_refused_and_bands_can_be_chosen(many, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(40, 40, 5), photometric="minisblack")
    with pytest.raises(ValueError, match=r"sheet.tif has 5 bands, but this network takes 3.*\(1, 2, 3\)"):
        predict_sheet(many, path, tmp_path / "out")
    with open_sheet(path, channels=3, bands=(4, 2, 5)) as sheet:
        np.testing.assert_array_equal(sheet.read(slice(0, 40), slice(0, 40))[0], drawn(40, 40, 5)[..., [3, 1, 4]])
    with pytest.raises(ValueError, match="bands") as wrong, open_sheet(path, channels=3, bands=(1, 2, 6)):
        pass
    assert not isinstance(wrong.value, ImageError)  # the arguments are wrong, not the file


def test_floating_point_pixels_are_refused(tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", np.zeros((8, 8, 1), np.float32))
    with pytest.raises(ValueError, match="holds float32 pixels"), open_sheet(path, channels=1):
        pass


def test_a_truncated_tiff_leaves_no_result(network, tmp_path):
    path = write_tiff(tmp_path / "sheet.tif", drawn(400, 300), tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[:60_000])
    with pytest.raises(ValueError, match=r"sheet.tif"):
        predict_sheet(network, path, tmp_path / "out", tile=128)
    assert not list((tmp_path / "out").glob("*.tif"))


@pytest.mark.parametrize("name", ["sheet.png", "sheet.tif", "sheet.npy"])
def test_a_file_that_is_none_is_named(network, tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} is no file"):
        predict_sheet(network, tmp_path / name, tmp_path)
    (tmp_path / name).write_bytes(b"no sheet")
    with pytest.raises(ValueError, match=f"cannot read .*{name}"):
        predict_sheet(network, tmp_path / name, tmp_path)


def test_a_full_disk_is_told_before_the_work_begins(network, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda path: type("Disk", (), {"free": 100}))
    with pytest.raises(ValueError, match="MB free, and the maps of the sheet need"):
        predict_sheet(network, drawn(70, 70), tmp_path, tile=64)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_disk_that_fills_at_the_end_keeps_old_results_and_the_work(network, tmp_path, monkeypatch):
    predict_sheet(network, drawn(70, 70, seed=1), tmp_path, tile=64)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}

    def full(path, *arguments):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_png", full)
    with pytest.raises(ValueError, match=r"No space left.*call again"):
        predict_sheet(network, drawn(70, 70), tmp_path, tile=64)
    assert old == {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    monkeypatch.undo()
    monkeypatch.setattr("cnnlab.sheets.predict._predict_row", None)  # nothing is left to predict
    predict_sheet(network, drawn(70, 70), tmp_path, tile=64)
    assert (tmp_path / "mask.png").read_bytes() != old["mask.png"]


def test_files_that_no_prediction_left_are_not_replaced(network, tmp_path):
    (tmp_path / "mask.png").write_text("drawn by hand")
    with pytest.raises(ValueError, match=r"holds mask.png, which no prediction wrote"):
        predict_sheet(network, drawn(70, 70), tmp_path, tile=64)
    assert (tmp_path / "mask.png").read_text() == "drawn by hand"


def test_a_kill_at_the_very_end_hinders_no_other_prediction(network, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "cnnlab.sheets.predict.shutil.rmtree", lambda *_, **__: None
    )  # as if the process stopped before it
    first = predict_sheet(network, drawn(70, 70), tmp_path, tile=64, mc_samples=2)
    monkeypatch.undo()
    assert (tmp_path / ".partial").is_dir()
    assert "variance" in first
    assert "variance" not in predict_sheet(network, drawn(70, 70), tmp_path, tile=64)


def test_what_a_gis_wrote_beside_an_earlier_result_goes_with_it(network, tmp_path):
    predict_sheet(network, drawn(70, 70), tmp_path, tile=64)
    (tmp_path / "mask.png.aux.xml").write_text("statistics")
    predict_sheet(network, drawn(70, 70, seed=1), tmp_path, tile=64)
    assert not (tmp_path / "mask.png.aux.xml").exists()


@pytest.fixture
def masks(network, monkeypatch):
    """Returns the name of a run directory that `cnnlab.load` pretends to load."""
    monkeypatch.setattr(cnnlab, "load", lambda path: network)
    monkeypatch.setattr("cnnlab.commands.predict_outputs.load_appearance", lambda run: None)
    return "masks"


def test_the_command_takes_a_large_picture_as_a_sheet_and_a_small_one_in_one_piece(masks, tmp_path, capsys):
    Image.fromarray(drawn(90, 70)[..., 0]).save(tmp_path / "large.png")
    Image.fromarray(drawn(40, 60)[..., 0]).save(tmp_path / "small.png")
    paths = [str(tmp_path / name) for name in ("large.png", "small.png")]
    assert main(["predict", masks, *paths, "--output", str(tmp_path / "out"), "--mc", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "predictions.json")
    large, small = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert large["mutual_information"] == str(tmp_path / "out" / "large" / "mutual_information.npy")
    assert small["mask"] == str(tmp_path / "out" / "small" / "mask.png")
    assert Image.open(tmp_path / "out" / "small" / "mask.png").mode == "P"
    assert main(["predict", masks, *paths, "--output", str(tmp_path / "out"), "--mc", "auto"]) == 2
    assert "whose windows share their passes" in capsys.readouterr().err


@pytest.mark.parametrize("resized", [False, True])
def test_a_photo_of_another_size_is_answered_at_its_own_scale_unless_images_had_been_resized(
    network, resized, tmp_path
):
    trained = network.replace(spec=dataclasses.replace(network.spec, resized=resized))
    pixels = {name: drawn(*size) for name, size in {"a": (32, 32), "b": (48, 40), "c": (33, 41), "d": (32, 32)}.items()}
    for name, one in pixels.items():
        Image.fromarray(one[..., 0]).save(tmp_path / f"{name}.png")
    predictions = {
        path.stem: prediction for path, prediction in predict_files(trained, find_images([tmp_path]), batch_size=2)
    }
    assert predictions["a"].mask.shape == predictions["d"].mask.shape == (32, 32)
    assert predictions["c"].mask.shape == (32, 32)  # its size is no multiple of the network's stride
    assert predictions["b"].mask.shape == ((32, 32) if resized else (48, 40))
    for name in "abd" if not resized else "ad":
        want = cnnlab.predict(trained, pixels[name][None]).probs[0]
        np.testing.assert_allclose(predictions[name].probs, want, atol=1e-6)


def test_a_network_of_resized_images_asks_for_the_scale_of_a_large_picture(network, tmp_path, capsys, monkeypatch):
    resized = network.replace(spec=dataclasses.replace(network.spec, resized=True))
    monkeypatch.setattr(cnnlab, "load", lambda path: resized)
    monkeypatch.setattr("cnnlab.commands.predict_outputs.load_appearance", lambda run: None)
    Image.fromarray(drawn(90, 70)[..., 0]).save(tmp_path / "large.png")
    Image.fromarray(drawn(40, 60)[..., 0]).save(tmp_path / "small.png")
    options = ["predict", "masks", str(tmp_path / "small.png"), "--output", str(tmp_path / "small")]
    assert main(options) == 0
    assert np.load(tmp_path / "small" / "mask.npy").shape == (40, 60)  # of a photo that was resized to 32x32
    options = ["predict", "masks", str(tmp_path / "large.png"), "--output", str(tmp_path / "out")]
    assert main(options) == 2
    assert "add --tile 0 to shrink it to 32x32, or --tile 512" in capsys.readouterr().err
    assert main([*options, "--skip-unreadable"]) == 2
    assert main([*options, "--tile", "0", "--skip-unreadable"]) == 0
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]) == 1


def test_options_of_sheets_are_not_passed_over_for_a_picture_in_one_piece(masks, tmp_path, capsys):
    Image.fromarray(drawn(40, 60)[..., 0]).save(tmp_path / "small.png")
    options = ["predict", masks, str(tmp_path / "small.png"), "--output", str(tmp_path / "out")]
    assert main([*options, "--smallest", "5", "--overlap", "8", "--bands", "1"]) == 2
    message = capsys.readouterr().err
    assert "predicted in one piece, without --overlap, --bands: leave them out, or add --tile 512" in message
    assert main([*options, "--smallest", "5", "--vectors", "none"]) == 0
    assert not list((tmp_path / "out").glob("polygons*"))


def files_of(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in ("predictions.json", ".done.json"))


@pytest.mark.parametrize("classes", ["two", "many"])
@pytest.mark.parametrize("mc", [[], ["--mc", "4"]])
def test_a_photo_has_the_same_maps_and_polygons_in_one_piece_and_in_a_window(
    classes, mc, network, many, masks, tmp_path, monkeypatch
):
    monkeypatch.setattr(cnnlab, "load", lambda path: many if classes == "many" else network)
    channels = 3 if classes == "many" else 1
    Image.fromarray(drawn(40, 60, channels).squeeze()).save(tmp_path / "photo.png")
    for name, tile in {"piece": "0", "window": "64"}.items():
        options = ["--tile", tile, "--output", str(tmp_path / name), "--smallest", "1", *mc]
        assert main(["predict", masks, str(tmp_path / "photo.png"), *options]) == 0
    piece, window = tmp_path / "piece", tmp_path / "window"
    assert files_of(piece) == files_of(window)
    assert ("mean_1.png" in files_of(piece)) == (classes == "many")
    for path in piece.glob("*.npy"):
        np.testing.assert_allclose(np.load(path), np.load(window / path.name), atol=1e-5)
    shapes = [json.loads((folder / "polygons.geojson").read_text())["features"] for folder in (piece, window)]
    assert len(shapes[0]) == len(shapes[1]) > 0


def test_a_georeferenced_photo_in_one_piece_keeps_its_place(masks, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    path = write_tiff(tmp_path / "photo.tif", drawn(40, 60), transform=rasterio.Affine(2, 0, 100, 0, -2, 500))
    assert main(["predict", masks, str(path), "--tile", "0", "--output", str(tmp_path / "out")]) == 0
    with rasterio.open(tmp_path / "out" / "mean.tif") as file:
        assert tuple(file.transform)[:6] == (2, 0, 100, 0, -2, 500)
    assert (tmp_path / "out" / "polygons.gpkg").exists()


def test_the_command_tells_how_many_shapes_are_too_small_over_all_files(masks, tmp_path, capsys):
    for name, size in {"a": (40, 60), "b": (32, 32), "c": (90, 70)}.items():
        Image.fromarray(drawn(*size)[..., 0]).save(tmp_path / f"{name}.png")
    numbers = []
    for smallest in ("1", "30"):
        out = tmp_path / f"out{smallest}"
        files = [str(tmp_path / f"{name}.png") for name in "abc"]
        assert main(["predict", masks, *files, "--output", str(out), "--smallest", smallest]) == 0
        numbers.append(
            sum(len(json.loads((out / name / "polygons.geojson").read_text())["features"]) for name in "abc")
        )
    missing = numbers[0] - numbers[1]
    assert missing > 1
    assert f"{missing} shapes of fewer than 30 pixels got no polygon" in capsys.readouterr().err


def test_written_outlines_follow_the_options_of_polygons(masks, tmp_path):
    Image.fromarray(drawn(40, 60)[..., 0]).save(tmp_path / "a.png")
    found = {}
    for name, options in {"all": ["1"], "large": ["30"], "smooth": ["1", "--simplify", "2"]}.items():
        arguments = ["--format", "coco", "--output", str(tmp_path / name), "--smallest", *options]
        assert main(["predict", masks, str(tmp_path / "a.png"), *arguments]) == 0
        found[name] = json.loads((tmp_path / name / "annotations.json").read_text())["annotations"]
    corners = {name: sum(len(each["segmentation"][0]) for each in own) for name, own in found.items()}
    assert min(each["area"] for each in found["large"]) >= 30 > min(each["area"] for each in found["all"])
    assert corners["smooth"] < 0.7 * corners["all"]


def test_simplified_polygons_have_fewer_corners_and_the_same_measures(network, tmp_path):
    def features(**options):
        files = predict_sheet(network, drawn(90, 70), tmp_path, tile=64, smallest=1, **options)
        return json.loads(files["polygons"].read_text())["features"]

    stairs, smooth = features(), features(simplify=2.0)
    corners = [sum(len(ring) for f in each for ring in f["geometry"]["coordinates"]) for each in (stairs, smooth)]
    assert corners[1] < 0.7 * corners[0]
    assert [f["properties"] for f in stairs] == [f["properties"] for f in smooth]


def test_the_command_leaves_unreadable_files_out_if_asked(masks, tmp_path, capsys):
    Image.fromarray(drawn(40, 60)[..., 0]).save(tmp_path / "small.png")
    (tmp_path / "damaged.png").write_bytes(b"none")
    options = ["--output", str(tmp_path / "out"), "--skip-unreadable"]
    assert main(["predict", masks, str(tmp_path), *options]) == 0
    (one,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert one["file"].endswith("small.png")
    assert "left out: cannot read" in capsys.readouterr().err


def test_a_damaged_sheet_that_is_left_out_takes_no_room(masks, tmp_path, capsys):
    whole = write_tiff(tmp_path / "whole.tif", drawn(200, 200))
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(whole.read_bytes()[:-20_000])
    options = ["--tile", "64", "--output", str(tmp_path / "out"), "--skip-unreadable"]
    assert main(["predict", masks, str(whole), str(damaged), *options]) == 0
    assert "damaged or cut off" in capsys.readouterr().err
    assert (tmp_path / "out" / "whole" / "mean.tif").exists()
    assert not (tmp_path / "out" / "damaged" / ".partial").exists()


@pytest.mark.parametrize("text", ["", "[]", "{bro", "{}"])
def test_a_damaged_note_of_what_was_done_is_named(network, tmp_path, text):
    (tmp_path / ".done.json").write_text(text)
    with pytest.raises(ValueError, match=r"\.done\.json is damaged; delete it with the maps beside it"):
        predict_sheet(network, drawn(40, 40), tmp_path, tile=64)
    (tmp_path / ".done.json").unlink()
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "journal.json").write_text(text)
    with pytest.raises(ValueError, match=r"journal\.json is damaged; delete .*\.partial"):
        predict_sheet(network, drawn(40, 40), tmp_path, tile=64)


def test_a_sheet_that_does_not_fit_keeps_no_other_from_being_predicted(masks, tmp_path, capsys):
    folder = tmp_path / "sheets"
    folder.mkdir()
    for name, bands in (("a.tif", 1), ("b.tif", 2), ("c.tif", 1)):
        write_tiff(folder / name, drawn(40, 40, bands))
    options = ["predict", masks, str(folder), "--output", str(tmp_path / "out")]
    assert main([*options, "--skip-unreadable"]) == 0
    predictions = json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"]
    assert [row["file"][-5:] for row in predictions] == ["a.tif", "c.tif"]
    assert "left out: " in (message := capsys.readouterr().err)
    assert "b.tif has 2 bands" in message
    (tmp_path / "out" / "predictions.json").unlink()
    assert main(options) == 1
    assert "b.tif has 2 bands" in (message := capsys.readouterr().err)
    assert "all other files are predicted (--skip-unreadable leaves out what cannot be read)" in message
    assert json.loads((tmp_path / "out" / "predictions.json").read_text())["predictions"] == predictions
    for name in ("a.tif", "c.tif"):
        (folder / name).unlink()
    assert main([*options, "--skip-unreadable"]) == 1
    assert "none of the files can be read" in capsys.readouterr().err


def test_the_command_writes_one_sheet_into_the_directory_itself(masks, network, tmp_path):
    Image.fromarray(drawn(90, 70)[..., 0]).save(tmp_path / "sheet.png")
    options = ["--tile", "64", "--mc", "3", "--seed", "5", "--smallest", "4"]
    assert main(["predict", masks, str(tmp_path / "sheet.png"), "--output", str(tmp_path / "out"), *options]) == 0
    first = jax.random.fold_in(jax.random.key(5), 0)
    expected = predict_sheet(network, drawn(90, 70), tmp_path / "own", tile=64, mc_samples=3, key=first)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "variance.npy"), np.load(expected["variance"]))


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "add --output DIR"),
        (["--tile", "30", "--output", "out"], 1, "cannot take tiles of 30x30"),
        (["--mc", "auto", "--output", "out"], 2, "give --mc a number"),
    ],
)
def test_the_command_reports_what_does_not_fit(masks, tmp_path, capsys, monkeypatch, options, code, message):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(drawn(90, 70)[..., 0]).save("sheet.png")
    assert main(["predict", masks, "sheet.png", *options]) == code
    assert message in capsys.readouterr().err


def test_tiles_are_for_segmentation(tmp_path, capsys, monkeypatch):
    network, spec = create_model("linear", num_classes=2), cnnlab.InputSpec((8, 8), classes="ab")
    monkeypatch.setattr(
        cnnlab, "load", lambda path: cnnlab.Trained({}, network, cnnlab.tasks.TASKS["classification"](), spec)
    )
    Image.fromarray(drawn(90, 70)[..., 0]).save(tmp_path / "sheet.png")
    assert main(["predict", "digits", str(tmp_path / "sheet.png"), "--tile", "64"]) == 1
    assert "this run is classification" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sheet.tif", "sheet.png", "sheet.vrt"])
def test_a_file_that_names_other_files_is_not_followed(tmp_path, name):
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(tmp_path / "secret.png")
    source = f'<SourceFilename relativeToVRT="0">{tmp_path / "secret.png"}</SourceFilename><SourceBand>1</SourceBand>'
    band = f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    (tmp_path / name).write_text(f'<VRTDataset rasterXSize="32" rasterYSize="32">{band}</VRTDataset>')
    with pytest.raises(ImageError, match=name), open_sheet(tmp_path / name, channels=1):
        pass


@pytest.mark.parametrize(
    ("suffix", "content"),
    [(".ovr", "<VRTDataset/>"), (".msk", "<GDAL_WMS/>"), (".aux.xml", "<MDI>OVERVIEW_FILE</MDI>")],
)
def test_a_file_beside_a_sheet_that_names_others_is_refused(tmp_path, suffix, content):
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(tmp_path / "a.tif")
    (tmp_path / f"a.tif{suffix}").write_text(content)
    with pytest.raises(ImageError, match=rf"a\.tif\{suffix}"), open_sheet(tmp_path / "a.tif", channels=1):
        pass


@pytest.mark.parametrize("name", ["", "journal.json"])
def test_links_among_the_arrays_of_a_sheet_are_not_written_through(tmp_path, name):
    from cnnlab.sheets.scratch import FOLDER, open_scratch

    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / FOLDER
    if name:
        folder.mkdir()
    (folder / name if name else folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link, through which nothing is written"):
        open_scratch(tmp_path, {"sheet": "a"}, {"mean": ((1, 4, 4), np.float32)})


def test_a_link_in_the_place_of_a_sheets_folder_is_not_written_through(masks, tmp_path, capsys):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out/a").symlink_to(tmp_path / "elsewhere")
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    assert main(["predict", "run", *files, "--tile", "8", "--output", str(tmp_path / "out")]) == 1
    assert "is a link, through which nothing is written" in capsys.readouterr().err
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_list_of_results_deletes_nothing_outside_its_folder(tmp_path):
    from cnnlab.sheets.scratch import DONE, published

    (tmp_path / DONE).write_text(json.dumps({"published": ["../precious"]}))
    with pytest.raises(ValueError, match=r"\.done\.json is damaged"):
        published(tmp_path)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"width": 8, "height": 8, "count": 1025}, "a.tif has 1,025 bands"),
        (
            {"width": 200_000, "height": 200_000, "tiled": True, "blockxsize": 16384, "blockysize": 16384},
            "a.tif claims 200000x200000 pixels",
        ),
    ],
)
def test_a_raster_that_claims_more_than_it_can_hold_is_refused(tmp_path, claim, message):
    rasterio = pytest.importorskip("rasterio")
    options = {"driver": "GTiff", "dtype": "uint8", "count": 1, "SPARSE_OK": True} | claim
    rasterio.open(tmp_path / "a.tif", "w", **options).close()
    with pytest.raises(ImageError, match=message), open_sheet(tmp_path / "a.tif", channels=1):
        pass


@pytest.mark.parametrize("name", ["a.tif", "a.wld", "a.IMD"])
def test_a_pipe_beside_a_raster_is_named_and_not_waited_for(tmp_path, name):
    pytest.importorskip("rasterio")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.tif")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ImageError, match=f"{name} is a pipe"):
        is_sheet(tmp_path / "a.tif", (8, 8))
