import dataclasses
import struct
import time

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import data
from cnnlab.cli import main
from cnnlab.commands.options import parse_experiment
from cnnlab.data import masks
from cnnlab.data.windows import drawn_places, tiled_places, windows
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.nodata import known_pixels
from cnnlab.training.run import read_history


def save(path, pixels, mode=None, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels, np.uint8), mode)
    if palette:
        image = Image.fromarray(np.asarray(pixels, np.uint8), "L").convert("P")
        image.putdata(np.asarray(pixels).ravel().tolist())
        image.putpalette(palette)
    image.save(path)


@pytest.fixture
def plots(tmp_path):
    """Writes ten images of a bright square on grey, each with its mask."""
    rng = np.random.default_rng(0)
    for i in range(10):
        mask = np.zeros((16, 16), np.uint8)
        top, left = rng.integers(1, 8, 2)
        mask[top : top + 7, left : left + 7] = 255
        save(tmp_path / "plots" / "images" / f"{i}.jpg", np.where(mask, 200, 60))
        save(tmp_path / "plots" / "masks" / f"{i}.png", mask)
    return tmp_path / "plots"


def values(dataset):
    return sorted({int(v) for examples in dataset.splits.values() for v in np.unique(examples.column("mask"))})


def test_pairs_are_matched_by_stem_and_split(plots):
    dataset = data.pairs(str(plots))
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 7,
        "validation": 1,
        "test": 2,
    }
    assert dataset.spec.shape == (16, 16, 3)
    assert dataset.spec.classes == ("background", "foreground")
    batch = dataset["test"][np.arange(2)]
    assert ((batch["image"][..., 0] > 130) == (batch["mask"] == 1)).mean() > 0.95  # except for the JPEG's blur


@pytest.mark.parametrize("window", [None, 8])
def test_gaps_between_shapes_weigh_more_where_that_is_asked_for(tmp_path, window):
    mask = np.zeros((16, 16), np.uint8)
    mask[:, :7] = mask[:, 9:] = 255  # a gap of two columns: its pixels lie 1 and 2 from the shapes
    for i in range(10):
        save(tmp_path / "images" / f"{i}.png", mask)
        save(tmp_path / "masks" / f"{i}.png", mask)
    dataset = data.pairs(str(tmp_path), border_weight=10, window=window, crops=4)
    for examples in dataset.splits.values():
        weight, label = (examples.column(name)[:] for name in ("pixel_weight", "mask"))
        np.testing.assert_allclose(weight[label == 0], 1 + 10 * np.exp(-(3**2) / 50), rtol=1e-6)
        assert (weight[label == 1] == 1).all()


def test_a_path_alone_trains_a_unet_on_pairs(plots, tmp_path, capsys):
    options = "--model.width 2 --model.depth 1 --training.epochs 1 --training.batch-size 2 --json"
    names = ["--data.path", str(plots), "--model.name", "unet", "--task.name", "segmentation"]
    assert main(["train", *names, "--run-dir", str(tmp_path / "run"), *options.split()]) == 0
    assert '"mean_iou"' in capsys.readouterr().out
    assert cnnlab.load(tmp_path / "run").spec.classes == ("background", "foreground")


@pytest.mark.parametrize("kind", ["values", "palette", "colours"])
def test_masks_of_values_palettes_and_colours_read_the_same_by_a_table(plots, kind):
    table = {"values": "class,value\nstreet,0\nhouse,7\nignore,9\n", "colours": "class,colour\nstreet,#000000\n"}
    table["palette"] = table["values"]
    table["colours"] += "house,#00ff00\nignore,#ff0000\n"
    (plots / "classes.csv").write_text(table[kind])
    for i in range(10):
        index = np.zeros((16, 16), int)
        index[2:8, 2:8], index[0] = 7, 9
        coloured = np.zeros((16, 16, 3), int)
        coloured[index == 7], coloured[index == 9] = (0, 255, 0), (255, 0, 0)
        palette = [0] * 768 if kind == "palette" else None
        save(plots / "masks" / f"{i}.png", coloured if kind == "colours" else index, palette=palette)
    dataset = data.pairs(str(plots))
    assert dataset.spec.classes == ("street", "house")
    assert (dataset["test"].column("mask")[0, 2:8, 2:8] == 1).all()
    assert values(dataset) == [-1, 0, 1]


def test_without_a_table_255_beside_other_values_is_ignored(plots):
    mask = np.zeros((16, 16))
    mask[3], mask[5] = 2, 255
    save(plots / "masks" / "0.png", mask)
    for i in range(1, 10):
        save(plots / "masks" / f"{i}.png", np.ones((16, 16)))
    dataset = data.pairs(str(plots))
    assert values(dataset) == [-1, 0, 1, 2]
    assert dataset.spec.classes == ("0", "1", "2")


def test_splits_on_disk_are_kept_and_folders_may_have_other_names(plots):
    for split in ("train", "val", "test"):
        for i in range(3):
            save(plots / "three" / split / "photo" / f"{i}.tif", np.zeros((8, 8)))
            save(plots / "three" / split / "gt" / f"{i}.tif", 255 * np.eye(8))
    dataset = data.pairs(str(plots / "three"), images="photo", masks="gt", channels=1)
    assert {split: len(examples) for split, examples in dataset.splits.items()} == {
        "train": 3,
        "validation": 3,
        "test": 3,
    }
    assert dataset.spec.shape == (8, 8, 1)


def test_resized_masks_take_the_nearest_pixel(plots):
    dataset = data.pairs(str(plots), size=8)
    assert dataset.spec.size == (8, 8)
    assert values(dataset) == [0, 1]


def missing_mask(plots):
    (plots / "masks" / "3.png").unlink()
    (plots / "images" / "4.jpg").unlink()


def other_size(plots):
    save(plots / "masks" / "3.png", np.zeros((16, 15)))


def strange_value(plots):
    (plots / "classes.csv").write_text("class,value\nno,0\nyes,255\n")
    mask = np.zeros((16, 16))
    mask[0, :3] = 77
    save(plots / "masks" / "3.png", mask)


def smoothed(plots):
    mask = np.zeros((16, 16))
    mask[0, :3] = 128
    save(plots / "masks" / "3.png", mask)


def saved_as_jpeg(plots):
    Image.open(plots / "masks" / "3.png").save(plots / "masks" / "3.jpg", quality=30)
    (plots / "masks" / "3.png").unlink()


def colours_without_a_table(plots):
    save(plots / "masks" / "3.png", np.zeros((16, 16, 3)))


def stack(plots):
    (plots / "masks" / "3.png").unlink()
    pages = [Image.fromarray(np.zeros((16, 16), np.uint8))] * 5
    pages[0].save(plots / "masks" / "3.tif", save_all=True, append_images=pages[1:])


def all_ignored(plots):
    (plots / "classes.csv").write_text("class,value\nno,1\nyes,2\nignore,0\nignore,255\n")


def truncated(plots):
    whole = (plots / "images" / "3.jpg").read_bytes()
    (plots / "images" / "3.jpg").write_bytes(whole[: len(whole) // 2])


def bad_table(plots):
    (plots / "classes.csv").write_text("class,value\nno,0\nyes,0\n")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (missing_mask, r"without a partner of the same name.*images.3.jpg.*masks.4.png"),
        (other_size, r"3.jpg has 16x16 pixels, its mask .*3.png 16x15"),
        (strange_value, r"3.png has 3 pixels of 77, which is no class; known are 0, 255"),
        (smoothed, r"3.png is a mask with the values 0, 128: .*--data.classes"),
        (saved_as_jpeg, r"3.jpg is a mask with the values 0, 1, .* more: .*save masks as PNG"),
        (colours_without_a_table, r"^\S*3.png is a mask in the mode RGB.*classes.csv"),
        (stack, r"3.tif is a stack of 5 images"),
        (all_ignored, r"every pixel of the train split's masks in .* is ignored: nothing is left to learn from"),
        (truncated, r"cannot read .*3.jpg as an image"),
        (bad_table, r"row 3: must be a class and a whole number, none of them twice"),
    ],
)
def test_bad_pairs_are_named(plots, harm, message):
    harm(plots)
    with pytest.raises(ValueError, match=message):
        data.pairs(str(plots))


def save_tiff(path, pixels, **tags):
    Image.fromarray(pixels).save(path, tiffinfo={int(name[1:]): value for name, value in tags.items()})


@pytest.mark.parametrize("kind", ["nodata", "16 bits", "alpha", "all bands"])
def test_pixels_without_data_are_ignored_and_black(tmp_path, kind):
    pixels, known = np.full((6, 8, 3), 200, np.uint8), np.ones((6, 8), bool)
    known[:2], known[:, 7] = False, False
    if kind == "16 bits":
        stored = np.where(known, 200 * 257, 65535).astype(np.uint16)
    elif kind == "alpha":
        stored = np.dstack([pixels, 255 * known.astype(np.uint8)])
    else:
        stored = np.where(known[..., None], pixels, 9).astype(np.uint8)
        stored[3, 3] = (9, 9, 200) if kind == "all bands" else 200  # nodata in one band only is data
    nodata = {"nodata": "9", "all bands": "9", "16 bits": "65535"}
    save_tiff(tmp_path / "sheet.tif", stored, **({"t42113": nodata[kind]} if kind in nodata else {}))
    save(tmp_path / "mask.png", np.eye(6, 8) > 0)
    one = data.sheet(
        str(tmp_path / "sheet.tif"), str(tmp_path / "mask.png"), window=2, crops=4, validation=(2, 4), test=(4, 8)
    )
    image, mask = (one["test"].column(name).images[0] for name in ("image", "mask"))
    np.testing.assert_array_equal(mask, np.where(known, np.eye(6, 8), -1))
    np.testing.assert_array_equal(image[..., 2], np.where(known, 200, 0))


def write_colours(path, **profile):
    rasterio = pytest.importorskip("rasterio")
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(1, 0, 0, 0, -1, 0)}
    with rasterio.open(path, "w", "GTiff", width=8, height=6, count=3, dtype="uint16", **place, **profile) as file:
        file.write(np.full((3, 6, 8), 9, np.uint16))


def test_colours_of_16_bits_with_unrecognisable_nodata_are_refused(tmp_path):
    write_colours(tmp_path / "sheet.tif", photometric="RGB", nodata=65535)
    with pytest.raises(ValueError, match=r"sheet.tif holds colours of 16 bits, where pixels without data \(65535\)"):
        known_pixels(tmp_path / "sheet.tif")


def test_three_bands_that_are_not_marked_as_colours_are_refused_with_advice(tmp_path):
    write_colours(tmp_path / "sheet.tif", photometric="MINISBLACK")
    with pytest.raises(ValueError, match="sheet.tif as an image .* gdal_translate -co PHOTOMETRIC=RGB"):
        read_pixels(tmp_path / "sheet.tif", size=(6, 8), channels=3)


def test_a_value_without_data_that_no_pixel_can_have_changes_nothing(plots):
    for i, text in enumerate(("nan", "-9999", "none of them")):
        (plots / "images" / f"{i}.jpg").unlink()
        save_tiff(plots / "images" / f"{i}.tif", np.zeros((16, 16), np.uint8), t42113=text)
    assert values(data.pairs(str(plots))) == [0, 1]


@pytest.mark.parametrize("count", [2, 4])
def test_a_tiff_with_other_bands_than_the_others_is_named(plots, count):
    for i in range(3):
        (plots / "images" / f"{i}.jpg").unlink()
        pixels = np.zeros((16, 16, count if i == 2 else 3), np.uint8)
        # An alpha band does not count, so the fourth band must be of no meaning.
        Image.fromarray(pixels, "LA" if pixels.shape[-1] == 2 else None).save(plots / "images" / f"{i}.tif")
    (plots / "images" / "2.tif").write_bytes(without_alpha((plots / "images" / "2.tif").read_bytes()))
    with pytest.raises(ValueError, match=rf"2.tif has {count} bands, 2 of 3 TIFFs have 3; keep .*gdal_translate"):
        data.pairs(str(plots))


def test_bands_of_a_tiff_without_a_suffix_are_counted_too(plots):
    (plots / "images/0.jpg").unlink()
    Image.new("CMYK", (16, 16)).save(plots / "images/0", "TIFF")
    with pytest.raises(ValueError, match="images/0 has 4 bands, an image has 1 or 3"):
        data.pairs(str(plots))


def without_alpha(tiff):
    """Returns the file with its alpha band (ExtraSamples 2 or 1) declared as a band of no meaning (0)."""
    at = next(i for i in range(len(tiff)) if tiff[i : i + 8] == struct.pack("<HHI", 338, 3, 1))
    return tiff[: at + 8] + bytes(4) + tiff[at + 12 :]


def test_a_sheet_of_five_bands_says_what_to_do(atlas):
    header = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 277, 3, 1, 5, 0)  # the only tag is SamplesPerPixel
    (atlas / "sheet.tif").write_bytes(header)
    with pytest.raises(ValueError, match=r"sheet.tif has 5 bands, an image has 1 or 3; keep"):
        data.sheet(str(atlas / "sheet.tif"), str(atlas / "mask.png"), validation=(50, 60), test=(60, 90))


def test_tiled_windows_show_every_pixel_once():
    mask = np.arange(7 * 11, dtype=np.int32).reshape(7, 11)
    places = tiled_places([(0, 2, 7, 11)], (3, 4))
    shown = windows({"mask": [mask]}, places, (3, 4), once=True).column("mask")[:]
    assert sorted(shown[shown >= 0].tolist()) == sorted(mask[:, 2:].ravel().tolist())


def test_drawn_windows_stay_in_their_regions_and_follow_the_seed():
    masks = [np.zeros((20, 30), np.int32), np.full((40, 9), -1, np.int32)]
    masks[1][30:] = 0
    draw = lambda seed: drawn_places([(0, 5, 20, 30), (2, 0, 40, 9)], (8, 8), 200, seed=seed, masks=masks)  # noqa: E731
    places = draw(0)
    assert all((a == b).all() for a, b in zip(places, draw(0), strict=True))
    first = places.image == 0
    assert (places.left[first].min(), places.left[first].max(), places.top[first].max()) == (5, 22, 12)
    assert places.top[~first].min() == 26  # the centre of this window is row 30


@pytest.fixture
def atlas(tmp_path):
    """Writes a sheet of stripes with its mask, and a content image without its first five rows."""
    stripes = np.tile(np.arange(90) % 6 < 3, (24, 1))
    save(tmp_path / "sheet.png", np.where(stripes, 30, 220))
    save(tmp_path / "mask.png", 255 * stripes)
    save(tmp_path / "content.png", 255 * np.tile(np.arange(24) >= 5, (90, 1)).T)
    return tmp_path


def test_a_sheet_is_cut_into_strips_and_nothing_counts_beyond_its_content(atlas):
    options = {
        "content": str(atlas / "content.png"),
        "window": 8,
        "crops": 20,
        "validation": (50, 60),
        "test": (60, 90),
    }
    dataset = data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), **options)
    known = {split: int((examples.column("mask")[:] >= 0).sum()) for split, examples in dataset.splits.items()}
    assert known["test"] == 30 * 19
    assert known["validation"] == 10 * 19
    batch = dataset["train"][np.arange(20)]
    right = (batch["image"][..., 0] < 100) == (batch["mask"] == 1)
    assert right[batch["mask"] >= 0].all()
    assert dataset["train"].column("image").places.left.max() + 8 <= 50


def test_a_named_sheet_may_be_larger_than_the_images_of_a_folder(atlas, monkeypatch):
    monkeypatch.setattr("cnnlab.files.opening.MAX_PIXELS", 2000)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow raises above twice as many
    strips = {"window": 8, "validation": (50, 60), "test": (60, 90)}
    dataset = data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), **strips)
    assert len(dataset["test"].column("image")) == 12
    with pytest.raises(ValueError, match="decompression bomb"):
        read_header(atlas / "sheet.png")
    monkeypatch.setitem(data.sheet.__globals__, "SHEET_PIXELS", 2100)
    with pytest.raises(ValueError, match="mask.png has 90x24 pixels, more than 2,100; shrink it"):
        data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), **strips)


def test_every_epoch_draws_other_crops_and_a_resumed_one_the_same(atlas):
    noise = np.random.default_rng(0).integers(0, 256, (24, 90))
    save(atlas / "sheet.png", noise)
    strips = {"validation": (50, 60), "test": (60, 90)}
    train = data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), window=8, crops=40, **strips)["train"]
    epoch = lambda n, **k: [b["image"] for b in data.training_batches(train, batch_size=10, seed=3, epoch=n, **k)]  # noqa: E731
    first, rest, second = epoch(0), epoch(0, start=2), epoch(1)
    np.testing.assert_array_equal(np.stack(first[2:]), np.stack(rest))
    shown = [{window.tobytes() for batch in batches for window in batch} for batches in (first, second)]
    assert len(shown[0] & shown[1]) < 10
    allowed = np.lib.stride_tricks.sliding_window_view(noise[:, :50].astype(np.uint8), (8, 8)).reshape(-1, 64)
    assert {window[..., 0].tobytes() for window in np.concatenate(second)} <= {one.tobytes() for one in allowed}


def test_a_run_on_crops_that_was_extended_ends_as_one_in_a_go(atlas, tmp_path):
    strips = {"validation": (50, 60), "test": (60, 90)}
    paths = {"path": str(atlas / "sheet.png"), "mask": str(atlas / "mask.png")}
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("unet", width=2, depth=1),
        data=cnnlab.Choice("sheet", **paths, window=8, crops=8, **strips),
        task=cnnlab.Choice("segmentation"),
        training=cnnlab.Training(epochs=1, batch_size=4),
    )
    longer = dataclasses.replace(experiment, training=cnnlab.Training(epochs=3, batch_size=4))
    cnnlab.train(experiment, tmp_path / "halves", quiet=True)
    cnnlab.train(longer, tmp_path / "halves", quiet=True)
    cnnlab.train(longer, tmp_path / "once", quiet=True)
    losses = [[row["loss"] for row in read_history(tmp_path / name)] for name in ("halves", "once")]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_a_content_mask_may_be_coloured_and_a_split_without_content_is_reported(atlas):
    content = np.zeros((24, 90, 3))
    content[5:, :60] = (0, 0, 9)
    save(atlas / "content.png", content)
    options = {"content": str(atlas / "content.png"), "window": 8, "validation": (50, 60), "test": (60, 90)}
    with pytest.warns(UserWarning, match=r"every pixel of the test split's masks in .*mask.png is ignored"):
        dataset = data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), **options)
    assert (dataset["validation"].column("mask")[:] >= 0).sum() == 10 * 19


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window must be a whole number of at least 1, found 0"),
        ({"crops": 0}, "crops must be a whole number of at least 1, found 0"),
        ({"window": 32}, "windows of 32x32 pixels do not fit in 24x50"),
        ({"validation": (50, 70)}, "strips of the 90 columns"),
        ({"test": (60, 91)}, "strips of the 90 columns"),
    ],
)
def test_a_sheet_that_cannot_be_cut_so_says_why(atlas, options, message):
    options = {"window": 8, "validation": (50, 60), "test": (60, 90)} | options
    with pytest.raises(ValueError, match=message):
        data.sheet(str(atlas / "sheet.png"), str(atlas / "mask.png"), **options)


def test_a_sheet_is_named_on_the_command_line_by_whole_paths(atlas, monkeypatch):
    monkeypatch.chdir(atlas)
    strips = "--data.validation 50 60 --data.test 60 90 --task.name segmentation --model.name unet"
    experiment, _ = parse_experiment(
        ["--data.name", "sheet", "--data.path", "sheet.png", "--data.mask", "mask.png", *strips.split()]
    )
    assert experiment.data.options["mask"] == str((atlas / "mask.png").resolve())
    assert experiment.data.options["test"] == (60, 90)


def test_a_table_beside_a_sheets_mask_explains_its_colours(tmp_path):
    save(tmp_path / "sheet.png", np.zeros((8, 60, 3)))
    colours = np.zeros((8, 60, 3))
    colours[:, ::2] = 255, 128, 0
    save(tmp_path / "mask.png", colours)
    (tmp_path / "classes.csv").write_text("class,colour\npaper,#000000\nhouse,#ff8000\n")
    strips = {"window": 8, "crops": 4, "validation": (20, 40), "test": (40, 60)}
    dataset = data.sheet(str(tmp_path / "sheet.png"), str(tmp_path / "mask.png"), **strips)
    assert dataset.spec.classes == ("paper", "house")
    assert (dataset["test"][np.arange(1)]["mask"][0, :, ::2] == 1).all()


def test_a_sheet_that_was_moved_with_its_mask_is_measured_where_it_is(atlas, tmp_path):
    options = {"window": 8, "crops": 8, "validation": (50, 60), "test": (60, 90)}
    experiment = cnnlab.Experiment(
        data=cnnlab.Choice("sheet", path=str(atlas / "sheet.png"), mask=str(atlas / "mask.png"), **options),
        model=cnnlab.Choice("unet", width=2, depth=1),
        task=cnnlab.Choice("segmentation"),
        training=cnnlab.Training(epochs=1, batch_size=8),
    )
    cnnlab.train(experiment, tmp_path / "run", quiet=True)
    before = cnnlab.evaluate(tmp_path / "run")
    (atlas / "elsewhere").mkdir()
    for name in ("sheet.png", "mask.png"):
        (atlas / name).rename(atlas / "elsewhere" / name)
    assert cnnlab.evaluate(tmp_path / "run", atlas / "elsewhere" / "sheet.png") == before


@pytest.mark.parametrize(
    ("options", "resized"), [({}, False), ({"size": 16}, True), ({"size": 20}, False), ({"window": 8}, False)]
)
def test_a_dataset_tells_whether_its_images_were_resized(options, resized, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for i in range(10):
            Image.fromarray(np.full((20, 20), i % 2 * 255, np.uint8)).save(tmp_path / folder / f"{i}.png")
    assert data.pairs(str(tmp_path), **options).spec.resized == resized


def test_a_smoothed_mask_of_all_greys_is_no_mask_of_256_classes():
    with pytest.raises(ValueError, match="without a gap. Smoothing"):
        masks.guess_classes({"a.png": set(range(256))})


def test_255_is_ignored_where_more_than_two_classes_are_named():
    assert masks.guess_classes({"a.png": {0, 255}}, ("a", "b", "c")).codes[255] == -1
    assert masks.guess_classes({"a.png": {0, 255}}, ("no", "yes")).codes[255] == 1


def test_a_mask_is_turned_upright_as_its_image_is(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8)).save(tmp_path / "mask.png", exif=turned)
    assert masks.read_codes(tmp_path / "mask.png").tolist() == [[3, 2], [1, 0]]


def binary_masks(folder, *kinds):
    """Ten pairs whose masks are stored in turn as each of the kinds: yes is 255, 1, or white of one bit."""
    for i in range(10):
        yes = np.arange(256).reshape(16, 16) % (i + 2) == 0
        save(folder / "images" / f"{i}.png", yes * 255)
        stored = {"bit": yes, "one": yes.astype(np.uint8), "byte": yes.astype(np.uint8) * 255}[kinds[i % len(kinds)]]
        (folder / "masks").mkdir(exist_ok=True)
        Image.fromarray(stored).save(folder / "masks" / f"{i}.png")


@pytest.mark.parametrize("kinds", [("bit", "byte"), ("bit",), ("byte",)])
def test_white_of_one_bit_is_255_beside_masks_of_0_and_255(tmp_path, kinds):
    binary_masks(tmp_path, *kinds)
    found = data.pairs(str(tmp_path))
    assert found.spec.classes == ("background", "foreground")
    for examples in found.splits.values():
        yes = examples.column("image")[..., 0] == 255
        np.testing.assert_array_equal(examples.column("mask"), yes)


@pytest.mark.parametrize("other", ["bit", "byte"])
def test_masks_of_0_and_1_beside_0_and_255_are_refused_with_a_file_of_each(tmp_path, other):
    binary_masks(tmp_path, "one", other)
    with pytest.raises(ValueError, match=r"0\.png is a mask of 0 and 1, .*1\.png one of 0 and 255"):
        data.pairs(str(tmp_path))
    (tmp_path / "classes.csv").write_text("class,value\nno,0\nyes,1\nyes,255\n")
    found = data.pairs(str(tmp_path))
    assert found.spec.classes == ("no", "yes")
    assert values(found) == [0, 1]


def test_a_table_of_0_and_1_reads_white_of_one_bit_as_1(tmp_path):
    binary_masks(tmp_path, "bit")
    (tmp_path / "classes.csv").write_text("class,value\nno,0\nyes,1\n")
    assert values(data.pairs(str(tmp_path))) == [0, 1]


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
def test_grey_of_few_bits_counts_as_it_is_stored(tmp_path, bits, photometric):
    rasterio = pytest.importorskip("rasterio")
    stored = (np.arange(64).reshape(8, 8) % 2**bits).astype(np.uint8)
    options = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8", "nbits": bits}
    with rasterio.open(tmp_path / "m.tif", "w", photometric=photometric, **options) as file:
        file.write(stored[None])
    np.testing.assert_array_equal(masks.read_codes(tmp_path / "m.tif"), stored)


def test_a_table_of_30_000_classes_is_read_in_linear_time(tmp_path):
    (tmp_path / "classes.csv").write_text("class,value\n" + "".join(f"c{i},{i}\n" for i in range(30_000)))
    started = time.perf_counter()
    assert len(masks.read_classes(tmp_path / "classes.csv").names) == 30_000
    assert time.perf_counter() - started < 2  # 6 s if each name is searched among those before it
