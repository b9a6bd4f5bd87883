"""The experiments and benchmarks, shrunk to seconds."""

import dataclasses
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import cnnlab

ROOT = Path(__file__).parents[2]


def script(name):
    sys.path.insert(0, str((ROOT / "experiments" / name).parent))  # as `python experiments/...` does
    spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / "experiments" / name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gradients_of_networks_with_and_without_skips_are_drawn(tmp_path, capsys):
    tables = script("skips.py").main(seeds=2, steps=2, output=tmp_path, networks=("U-Net",))
    assert set(tables) == {("U-Net", "with skips"), ("U-Net", "without")}
    assert all((values > 0).all() for table in tables.values() for values in table.values())
    assert (tmp_path / "skips.png").exists()


@pytest.mark.parametrize("splits", [False, True])
def test_digits_lenet5_tabulates_every_seed(splits, tmp_path, capsys):
    table = script("digits_lenet5.py").main(seeds=2, splits=splits, runs=tmp_path, epochs=1)
    assert len(table["accuracy"]) == 2
    assert "mean ± standard deviation" in capsys.readouterr().out


def test_dropout_kinds_compares_three(tmp_path, capsys):
    tables = script("dropout_kinds.py").main(seeds=1, runs=tmp_path, number=64, epochs=1, data="digits")
    assert list(tables) == ["none", "element", "spatial"]


def test_retrieval_compares_spaces_on_classes_that_training_has_not_seen(tmp_path, monkeypatch, capsys):
    module = script("retrieval.py")
    monkeypatch.setattr(module, "TASKS", dict(list(module.TASKS.items())[1:2]))
    monkeypatch.setattr(
        module, "EXPERIMENT", dataclasses.replace(module.EXPERIMENT, training=cnnlab.Training(epochs=1))
    )
    tables = module.main(("digits",), seeds=1, output=tmp_path, number=200)
    assert [space for _, space in tables] == ["all triplets", "all triplets, first dense layer", "pixels"]
    assert tables["digits", "pixels"]["recall_at_1"][0] > 0.9
    assert (tmp_path / "digits.png").exists()


def test_scores_of_digits_are_learnt_from_pairs_and_compared_with_their_values(tmp_path, monkeypatch, capsys):
    module = script("score_digits.py")
    linear = dataclasses.replace(module.EXPERIMENT, model=cnnlab.Choice("linear"))
    monkeypatch.setattr(module, "EXPERIMENT", linear)
    monkeypatch.setattr(module, "CASES", dict(list(module.CASES.items())[1:]))
    tables = module.main(seeds=1, runs=tmp_path, numbers=(40,), steps=40, data="digits")
    assert [case for _, case in tables] == ["pairs, a fifth turned round", "values of the same digits"]
    assert module.accuracy(np.array([1.0, 2, 2, 0]), np.array([1, 2, 1, 3])) == pytest.approx(1.5 / 5)  # of five pairs
    examples = module.draw_pairs(cnnlab.data.digits()["train"], 10, 0.2, np.random.default_rng(0))
    value, above = (examples.column(name).reshape(-1, 2) for name in ("target", "above"))
    assert ((value[:, 0] > value[:, 1]) == above[:, 0]).tolist() == [False, False, *[True] * 8]


@pytest.mark.parametrize("name", ["mnist_dense", "mnist_lenet5", "mnist_keras", "mnist_tiny", "fashion_small"])
def test_the_mnist_experiments_tabulate_their_seeds(name, tmp_path, monkeypatch, capsys):
    few = {split: examples[np.arange(128)] for split, examples in cnnlab.data.digits().splits.items()}
    for source in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(cnnlab.data.SOURCES, source, cnnlab.data.Source(lambda: cnnlab.data.from_arrays(few)))
    table = script(f"{name}.py").main(seeds=1, runs=tmp_path, epochs=1)
    others = {"mnist_tiny": set(), "fashion_small": {"flips accuracy"}}
    assert set(table) >= {"accuracy", "nll"} | others.get(name, {"MC accuracy", "MC mutual_information"})


def test_the_wrong_digits_are_drawn_and_the_maps_counted(tmp_path, monkeypatch, capsys):
    few = {split: examples[np.arange(128)] for split, examples in cnnlab.data.digits().splits.items()}
    monkeypatch.setitem(cnnlab.data.SOURCES, "mnist", cnnlab.data.Source(lambda: cnnlab.data.from_arrays(few)))
    module = script("mnist_explain.py")
    options = {"methods": ("grad_cam",), "scores": ("deletion", "randomisation"), "method": "saliency"}
    table = module.main(tmp_path, images=8, shown=3, passes=2, **options)
    assert set(table["grad_cam"]) == {"deletion", "randomisation", "flagged", "empty"}
    assert json.loads((tmp_path / "tests.json").read_text())["share"] == table
    monkeypatch.setattr(module, "count", lambda *arguments: {**table["grad_cam"], "empty": 1.0})  # what is left to do
    again = module.main(tmp_path, images=8, shown=1, passes=2, **options | {"methods": ("grad_cam", "saliency")})
    assert again == {**table, "saliency": {**table["grad_cam"], "empty": 1.0}}
    assert (tmp_path / "wrong.png").exists()


def test_the_maps_of_mnist_are_scored_and_drawn(tmp_path, monkeypatch, capsys):
    digits = cnnlab.data.digits()["train"]
    few = {split: digits[np.arange(start, start + 200)] for split, start in (("train", 0), ("test", 200))}
    monkeypatch.setitem(cnnlab.data.SOURCES, "mnist", cnnlab.data.Source(lambda: cnnlab.data.from_arrays(few)))
    tables = script("embed_mnist.py").main(tmp_path, epochs=1, images=190, methods=("pca",))
    assert 0.5 < tables["pixels", "pca"]["trustworthiness"] < 1
    assert tables["pixels", "arithmetic"]["mean of 10: right"] > 0.5
    assert (tmp_path / "embed_mnist.png").exists()


@pytest.mark.parametrize("name", ["mnist_mc_dropout", "fashion_mc_dropout"])
def test_the_mc_dropout_experiments_compare_one_pass_with_many(name, tmp_path, monkeypatch, capsys):
    few = {split: examples[np.arange(128)] for split, examples in cnnlab.data.digits().splits.items()}
    for source in ("mnist", "fashion_mnist"):
        monkeypatch.setitem(cnnlab.data.SOURCES, source, cnnlab.data.Source(lambda: cnnlab.data.from_arrays(few)))
    tables = script(f"{name}.py").main(seeds=1, runs=tmp_path, epochs=2, samples=2)
    assert all({"nll", "MC nll", "MC nll calibrated"} <= set(table) for table in tables.values())


@pytest.mark.parametrize("name", ["rotated_digits", "passes_and_quality"])
def test_a_run_is_measured_by_angle_and_by_passes(name, run, tmp_path, capsys):
    options = {"rotated_digits": {"angles": 2, "samples": 2}, "passes_and_quality": {"passes": (1, 3)}}[name]
    script(f"{name}.py").main((run,), **options, output=tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 1
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize(("name", "limit"), [("mnist_tiny", 1_936), ("fashion_small", 113_001)])
def test_the_small_networks_stay_below_their_limits(name, limit):
    model = script(f"{name}.py").EXPERIMENT.model
    network = cnnlab.models.create_model(model.name, num_classes=10, **model.options)
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), "float32")
    params = jax.eval_shape(lambda x: cnnlab.nn.init(network, x, jax.random.key(0)), images)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) < limit


@pytest.fixture
def bccd(tmp_path):
    """A folder like BCCD's: 36 photos in three splits, each with four cells, one of them without area."""
    bccd = tmp_path / "BCCD"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (bccd / folder).mkdir(parents=True)
    box = "<xmin>{0}</xmin><ymin>5</ymin><xmax>{1}</xmax><ymax>25</ymax>"
    cells = [("WBC", 5, 25), ("RBC", 30, 40), ("Platelets", 50, 60), ("RBC", 70, 70)]
    objects = [f"<object><name>{k}</name><bndbox>{box.format(a, b)}</bndbox></object>" for k, a, b in cells]
    for i in range(36):
        split = ("train", "val", "test")[i % 3]
        Image.new("RGB", (80, 60), (i, 9, 200)).save(bccd / "JPEGImages" / f"{i}.jpg")
        (bccd / "Annotations" / f"{i}.xml").write_text(
            f"<annotation><filename>{i}.jpg</filename>{''.join(objects)}</annotation>"
        )
        with (bccd / "ImageSets/Main" / f"{split}.txt").open("a") as listed:
            listed.write(f"{i}\n")
    return bccd


def test_the_cells_experiment_cuts_its_pictures_and_trains(bccd, tmp_path, capsys):
    table = script("cells_keras_vgg.py").main(bccd, seeds=1, runs=tmp_path, epochs=1)
    assert len(list((tmp_path / "crops").rglob("*.png"))) == 3 * 36  # the box without area is left out
    assert "balanced_accuracy" in table


def test_the_cells_are_explained_by_their_boxes(bccd, tmp_path, monkeypatch, capsys):
    module = script("cells_explain.py")
    model = module.EXPERIMENT.model.replace(stage_sizes=(1, 1, 1))
    training = dataclasses.replace(module.EXPERIMENT.training, batch_size=6)
    monkeypatch.setattr(module, "EXPERIMENT", dataclasses.replace(module.EXPERIMENT, model=model, training=training))
    options = {
        "photos": 2,
        "size": 32,
        "width": 4,
        "epochs": 1,
        "least": 0.0,
        "methods": ("hires_cam",),
        "values": ("right",),
    }
    table = module.main(bccd, tmp_path, **options)
    assert set(table) == {(name, "right") for name in ("hires_cam", *module.BASELINES)}
    assert all(0 <= share <= 1 for row in table.values() for share in row.values())
    assert (tmp_path / "boxes.png").exists()


def test_the_mass_inside_a_box_counts_the_pixels_whose_centre_is_inside():
    maps = np.zeros((2, 4, 4))
    maps[0, 1, 1], maps[0, 3, 3] = -3, 1  # the sign does not matter
    maps[1, 0, 0] = 1
    boxes = np.tile([1.0, 1.0, 2.4, 3.0], (2, 1))  # columns 1 and rows 1 to 2
    inside, hit = script("cells_explain.py").share_inside(maps, boxes)
    assert inside.tolist() == [0.75, 0]
    assert hit.tolist() == [True, False]


def test_the_bccd_experiment_compares_heads(bccd, tmp_path, monkeypatch, capsys):
    module = script("bccd_yolo.py")
    training = dataclasses.replace(module.EXPERIMENT.training, batch_size=6)
    monkeypatch.setattr(module, "EXPERIMENT", dataclasses.replace(module.EXPERIMENT, training=training))
    tables = module.main(bccd, stride=(16,), size=64, width=4, seeds=1, epochs=1, mc=2, runs=tmp_path)
    assert list(tables) == ["cells-S4", "anchors-S4"]
    assert {"map50", "MC map50", "crowded_out"} <= set(tables["cells-S4"])


def test_the_voc_experiment_scores_the_photos_that_it_learnt(bccd, tmp_path, capsys):
    report = script("voc_overfit.py").main(bccd, number=4, size=64, width=4, epochs=1, runs=tmp_path)
    assert report["examples"] == 4
    assert (tmp_path / "figures" / "boxes.png").exists()


def test_the_shapes_experiment_compares_both_heads(tmp_path, monkeypatch, capsys):
    module = script("shapes_yolo.py")
    data = module.EXPERIMENT.data.replace(validation=32, test=32)
    monkeypatch.setattr(module, "EXPERIMENT", dataclasses.replace(module.EXPERIMENT, data=data))
    tables = module.main(seeds=1, runs=tmp_path, epochs=1, train=32)
    assert list(tables) == ["cells", "anchors"]


def test_an_image_is_learnt_from_coordinates_with_and_without_encoding(tmp_path, capsys):
    table = script("image_from_coordinates.py").main(steps=2, seeds=1, side=16, output=tmp_path)
    assert list(table) == ["coordinates", "positional encoding"]
    assert (tmp_path / "images.png").exists()


def save_mask(path, mask):
    """Where it is, in white on black, and an image in which it can be seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(255 * np.asarray(mask, np.uint8)).save(path)


@pytest.fixture
def blobs():
    """Twelve masks of two squares each."""
    masks = np.zeros((12, 32, 32), np.uint8)
    for i, mask in enumerate(masks):
        mask[2 + i : 12 + i, 3:13] = mask[4:14, 16 + i : 26 + i] = 1
    return masks


@pytest.fixture
def atlas(tmp_path):
    """A folder like the atlas's: a drawn sheet of outlines, 48 x 96 pixels."""
    y, x = np.mgrid[:48, :96]
    edges = (y % 16 == 0) | (x % 12 == 0)
    for name, mask in {"edges": edges, "content": y < 44, "shapes": ~edges, "sheet": ~edges}.items():
        save_mask(tmp_path / f"{name}.png", mask)
    Image.open(tmp_path / "sheet.png").save(tmp_path / "sheet.jpg")
    return tmp_path


def test_the_pixels_of_the_atlas_are_explained(atlas, capsys):
    module = script("paris_explain.py")
    options = {"width": 2, "depth": 1, "epochs": 1, "crops": 8, "window": 16, "pixels": 2, "methods": ("saliency",)}
    table = module.main(atlas, atlas / "runs", columns=(48, 72, 96), **options)
    assert set(table["saliency"]) == {*module.SCORES, "half of the mass within (px)"}
    assert (atlas / "runs" / "pixels.png").exists()


def test_half_of_a_maps_mass_is_reached_at_the_distance_of_its_larger_part():
    maps = np.zeros((3, 4, 4))
    maps[0, 2, 2] = 1
    maps[1, 2, 2], maps[1, 2, 0] = 1, -3  # in the middle, and two pixels left of it
    assert script("paris_explain.py").reach(maps).tolist() == pytest.approx([0, 2, np.nan], nan_ok=True)


def test_the_paris_atlas_is_tuned_and_scored_in_its_strips(atlas, capsys):
    edges = np.asarray(Image.open(atlas / "edges.png")) > 0
    y = np.mgrid[:48, :96][0]
    options = {"width": 2, "depth": 1, "epochs": 1, "crops": 4, "window": 16, "batch_size": 2, "mc_samples": 2}
    module = script("paris_atlas_unet.py")
    table = module.main(atlas, atlas / "runs", columns=(48, 72, 96), **options)
    assert {"boundary_f1", "panoptic_quality", "error_auroc_variance"} <= set(table)
    picture = Image.open(atlas / "runs" / "picture.png")
    assert (picture.size, picture.mode) == ((1920, 360), "P")
    # the truth itself, its outlines 3 pixels wide, tuned and scored
    wide = ndimage.binary_dilation(edges, np.ones((3, 3)))
    strip = (wide * 1.0, None, wide, edges, ~edges, y < 44)
    perfect = module.scores(strip[0], strip[3:], **module.tune(*strip))
    assert perfect["boundary_f1"] == 1
    assert perfect["panoptic_quality"] > 0.9


def test_a_street_between_the_atlass_shapes_is_spurious_unless_streets_are_true():
    module = script("paris_atlas_unet.py")
    x = np.tile(np.arange(30), (10, 1))
    edges = (x == 9) | (x == 19)  # 90 pixels of a shape, 90 of a street, 100 of a shape
    truth = (edges, (x < 9) | (x > 19), np.ones_like(edges))
    wide = ndimage.binary_dilation(edges, np.ones((3, 3))) * 1.0
    chosen = {"thin": 0.5, "thick": 0.5, "method": "connected parts", "basin": 0.5}
    found = module.scores(wide, truth, **chosen)
    assert found["panoptic_quality"] == 2 / (2 + 1 / 2)
    assert found["panoptic_quality_with_streets"] == 1
    wide[:, 18:21] = 0  # a gap: the street and the second shape are one, 100 of its 200 pixels right, not above 1/2
    found = module.scores(wide, truth, **chosen)
    assert found["panoptic_quality"] == 1 / (1 + (1 + 1) / 2)
    assert found["panoptic_quality_with_streets"] == 1 / (1 + (1 + 2) / 2)


def test_the_atlass_picture_is_small():
    module, rng = script("paris_atlas_unet.py"), np.random.default_rng(0)
    noise, inside = rng.random((700, 650)), np.ones((700, 650), bool)
    image, file = (255 * rng.random((700, 650, 3))).astype(np.uint8), io.BytesIO()
    module.draw(image, noise > 0.5, noise, noise, (inside, inside)).save(file, "PNG")
    assert len(file.getvalue()) < 400_000  # noise is the worst there is


def test_street_scenes_are_scored_in_one_pass_and_in_many(tmp_path, blobs, capsys):
    for folder, chosen in (("train", slice(0, 8)), ("val", slice(8, 10)), ("test", slice(10, 12))):
        for i, mask in enumerate(blobs[chosen]):
            labels = np.where(np.arange(32) == 31, 11, np.where(mask, 4, np.arange(32)[:, None] % 11))
            save_mask(tmp_path / folder / f"{i}.png", mask)
            (tmp_path / f"{folder}annot").mkdir(exist_ok=True)
            Image.fromarray(labels.astype(np.uint8)).save(tmp_path / f"{folder}annot" / f"{i}.png")
    module = script("camvid_bayesian.py")
    options = {"rates": (0.2,), "central": (0.3,), "epochs": 1, "width": 2, "depth": 1, "mc_samples": 2}
    tables = module.main(tmp_path, runs=tmp_path / "runs", **options)
    assert set(tables) == {("spatial", 0.2), ("central", 0.3)}
    for table in tables.values():
        assert table["MC gain in mean_iou"] == table["MC mean_iou"] - table["mean_iou"]
        assert 0 < table["MC mean_iou"] < 1
    assert module.camvid(str(tmp_path))["test"].column("mask")[0, 0, 31] == -1


def test_buildings_are_learnt_from_their_own_splits(tmp_path, blobs, capsys):
    for split, chosen in (("train", slice(0, 6)), ("val", slice(6, 9)), ("test", slice(9, 12))):
        for i, mask in enumerate(blobs[chosen]):
            save_mask(tmp_path / split / "images" / f"{i}.tif", mask)
            save_mask(tmp_path / split / "gt" / f"{i}.tif", mask)
    module = script("buildings_aerial.py")
    table = module.main(tmp_path, seeds=1, runs=tmp_path / "runs", epochs=1, width=2, depth=1, side=16, answered=16)
    assert table["IoU"] == table["together IoU"]
    assert module.iou(np.array([True, True, False]), np.array([True, False, False])) == 0.5


def test_membranes_are_cross_validated_over_fewer_sections(tmp_path, blobs, capsys):
    for i, mask in enumerate(blobs):
        save_mask(tmp_path / "train" / "image" / f"{i}.png", mask)
        save_mask(tmp_path / "train" / "label" / f"{i}.png", mask)
    module = script("isbi_membrane_unet.py")
    tables = module.main(tmp_path, folds=2, sections=(2,), runs=tmp_path / "runs", epochs=1, width=2, depth=1)
    assert tables[2]["rand"].shape == (2,)
    parts = [module.fold(12, place, 3, 4) for place in range(3)]
    assert sorted(np.concatenate([part["test"] for part in parts])) == [*range(12)]
    assert all(len({*part["train"], *part["validation"], *part["test"]}) == 4 + 2 + 4 for part in parts)
    assert module.agreement(1 - blobs, blobs, 0.5).rand == 1


def test_the_ratios_of_two_benchmarks_become_bars_beside_the_best_of_torch(tmp_path):
    row = {"name": "lenet5", "ms": {"cnnlab": 5.0, "flax": 20.0, "torch eager": 12.0, "torch channels-last": 10.0}}
    for name in ("train_step", "inference"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"rows": [row]}))
    module = script("benchmarks/ratios.py")
    module.main((tmp_path / "train_step.json", tmp_path / "inference.json"), output=tmp_path / "speed.png")
    panel = module.draw(["train step"], [[row]]).axes[0]
    assert [text.get_text() for text in panel.texts] == ["2.00", "0.50"]
    assert (tmp_path / "speed.png").exists()


def test_the_network_benchmarks_print_rows_with_a_share_of_the_matrix_rate(capsys):
    for name in ("train_step", "inference"):
        module = script(f"benchmarks/{name}.py")
        module.main(module.Comparison(("lenet5",), json=True, rounds=1, seconds=0, peers=False))
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        assert set(row["ms"]) == {"cnnlab", "flax"}
        assert 0 < row["matrix_share"] < 1
        assert 0 < row["peak_mb"]["cnnlab"] < 500
        assert row["compile_s"]["cnnlab"] > row["ms"]["cnnlab"] / 1000


def test_two_installations_take_turns_and_must_differ():
    module = script("benchmarks/versions.py")
    pythons = {"this": sys.executable, "other": sys.executable}
    row = module.measured("lenet5", pythons, rounds=1, seconds=0)
    assert row["ratio"] == pytest.approx(row["ms"]["other"] / row["ms"]["this"], abs=0.001)
    with pytest.raises(SystemExit, match="name the interpreter of another one"):
        module.main(sys.executable)


def test_the_growth_page_tells_time_and_memory_of_each_sweep(tmp_path, capsys):
    script("benchmarks/growth.py").main(("depth", "passes"), json_only=True, points=2, rounds=1, output=tmp_path)
    depth, passes = json.loads(capsys.readouterr().out)["rows"]
    assert list(depth["ms"]) == ["2", "4"]
    assert depth["megabytes"]["4"] > depth["megabytes"]["2"] > 0
    assert passes["megabytes"]["5"] == pytest.approx(passes["megabytes"]["1"], rel=0.5)
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_points_on_a_line_are_not_off_it_and_those_of_a_parabola_by_two_thirds():
    off_line = script("benchmarks/growth.py").off_line
    assert off_line([1, 2, 3], [5, 7, 9]) == pytest.approx(0, abs=1e-12)
    assert off_line([-1, 0, 1], [1, 0, 1]) == pytest.approx(2 / 3)


def test_the_layer_benchmark_has_a_row_a_part(capsys):
    script("benchmarks/layers.py").main(("1x1, 256 to 64",), json_only=True, rounds=1, seconds=0, peers=False)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [one["name"].split(": ")[1] for one in rows] == ["forward", "image gradient", "kernel gradient"]


def test_every_benchmarked_network_has_the_parameters_of_its_twin_in_torch():
    pytest.importorskip("torch", reason="the twins need torch, of the extra peers")
    module = script("benchmarks/networks.py")
    for row in (module.ROWS | module.LARGE).values():
        twin = sum(leaf.numel() for leaf in row.torch_network().parameters())
        made = jax.eval_shape(row.network.init, jax.random.key(0), np.zeros((1, *row.size), np.float32))["params"]
        assert sum(leaf.size for leaf in jax.tree.leaves(made)) == twin


def test_the_mc_dropout_benchmark_prints_its_passes(capsys):
    script("benchmarks/mc_dropout.py").main(json_only=True, rounds=1, repeats=1, peers=False)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert all(one["passes"] > 0 and set(one["ms"]) == {"cnnlab", "one pass"} for one in rows)


def test_the_suppression_benchmark_prints_rows(capsys):
    script("benchmarks/suppression.py").main(json_only=True, batch=2, boxes=8, rounds=1, repeats=1)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["ms"]["cnnlab"] > 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("yolo", {"layers": (((7, 4, 2), (3, 6, 1)), ((1, 4, 1), (3, 5, 2))), "cells": 4, "hidden": 8}),
        ("yolo_small", {"width": 4, "stage_sizes": (1, 2), "stride": 8}),
    ],
)
def test_the_detectors_find_what_their_twins_in_torch_find(name, options):
    pytest.importorskip("torch", reason="the twins need torch, of the extra peers")
    module = script("benchmarks/yolo.py")
    twins = importlib.import_module("torch_yolo")
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    trained = module.make(name, 32, images, **options)
    found = cnnlab.predict(trained, images)
    theirs = twins.detector(twins.twin(trained.network, trained.variables, (32, 32)), trained.task)(images)
    kept = np.asarray(found.classes[0]) >= 0
    assert 2 <= kept.sum() == len(theirs["classes"]) <= module.CANDIDATES
    assert np.asarray(found.classes[0])[kept].tolist() == theirs["classes"].tolist()
    np.testing.assert_allclose(np.asarray(found.boxes[0])[kept], theirs["boxes"], atol=1e-3)
    np.testing.assert_allclose(np.asarray(found.score[0])[kept], theirs["score"], rtol=1e-4)


def test_the_average_precision_benchmark_prints_rows(capsys):
    script("benchmarks/average_precision.py").main(json_only=True, images=3, classes=2, rounds=1, repeats=1)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["ms"]["cnnlab"] > 0
    assert row.get("largest_difference", 0) < 1e-6


def test_the_cost_of_passes_is_tabulated_and_drawn(tmp_path, capsys):
    options = {"passes": (1, 3), "batches": (2,), "rounds": 1, "seconds": 0.0, "peers": False, "output": tmp_path}
    module = script("benchmarks/mc_cost.py")
    module.main(json_only=True, **options)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(one["network"], one["T"]) for one in rows] == [(name, t) for name in module.NETWORKS for t in (1, 3)]
    assert (tmp_path / "cost.png").exists()


def test_the_augmentation_benchmark_prints_rows_with_a_ratio(capsys):
    script("benchmarks/augmentation.py").main(json_only=True, rounds=1, repeats=1, batch=2, size=32)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert "cnnlab" in row["ms"]
    assert ("albumentations" in row["ms"]) == (row["ratio"] is not None)


def test_the_transposed_convolution_benchmark_compares_every_way(capsys):
    script("benchmarks/transposed_convolution.py").main(
        json_only=True, rounds=1, repeats=1, batch=1, size=2, channels=4
    )
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert {"cnnlab", "zeros", "matrix", "matrix, ready"} <= set(row["ms"])
    assert row["ratio"] > 0


def test_the_sheet_benchmark_prints_time_and_memory():
    options = ["--height=70", "--width=90", "--samples=2", "--features=4", "--tile=64", "--no-peers"]
    command = [sys.executable, ROOT / "experiments/benchmarks/sheets.py", "--json", *options]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
    )
    (row,) = json.loads(done.stdout)["rows"]
    assert row["ms"]["cnnlab"] > 0
    assert row["peak_mb"]["cnnlab"] > 50


@pytest.fixture(scope="module")
def unets():
    pytest.importorskip("torch")
    return script("benchmarks/unet.py")


def test_the_unet_benchmark_compares_steps_and_windows(unets, capsys):
    small = {"widths": (2,), "depth": 1, "batch": 1, "size": 16, "sheet": 48, "tile": 32, "passes": 2}
    unets.main(json_only=True, rounds=1, repeats=1, sheet_rounds=1, **small)
    step, windows = json.loads(capsys.readouterr().out)["rows"]
    assert set(step["ms"]) == set(windows["ms"]) == {"cnnlab", "torch eager", "torch channels-last"}
    assert windows["name"] == "U-Net 2, 48x48 in 4 windows of 32x32, 2 passes"
    assert step["ratio"] > 0


def test_the_unets_that_are_compared_have_the_same_parameters(unets):
    variables = jax.eval_shape(
        unets.network(8, 3).init, jax.random.key(0), jax.ShapeDtypeStruct((1, 16, 16, 3), np.float32)
    )
    own = sorted(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert own == sorted(one.numel() for one in unets.torch_network(8, 3).parameters())


def test_the_classical_filters_are_drawn_on_a_photo_beside_each_other(tmp_path, capsys):
    from PIL import Image

    photo = tmp_path / "photo.png"
    Image.effect_mandelbrot((60, 40), (-2, -1, 1, 1), 50).save(photo)
    module = script("classical_filters.py")
    assert Image.open(module.main(photo, output=tmp_path / "out" / "filters.png")).size[0] == 1920
    shown = module.panels(module.load_photo(photo))
    assert {name: image.shape[:2] for name, image in shown.items()} == dict.fromkeys(shown, (40, 60))
    assert len(shown) == 8
    assert module.load_photo(None).shape == (320, 480, 3)


def test_every_command_of_the_readme_names_what_exists():
    from cnnlab.training.presets import PRESETS

    text = (ROOT / "README.md").read_text()
    for preset in re.findall(r'presets\.get\("([^"]+)"\)|cnnlab train ([a-z][a-z0-9-]+)', text):
        assert "".join(preset) in PRESETS
    for name in re.findall(r"\bcnnlab\.([a-zA-Z_]+)\(", text):
        assert hasattr(cnnlab, name), name
    for path in re.findall(r"experiments/[a-z_0-9/]+\.py", text):
        assert (ROOT / path).exists(), path


def test_var_y_of_a_unet_that_interpolates_has_no_chequerboard_and_the_papers_has(tmp_path, capsys):
    tables = script("upsampling.py").main(seeds=1, output=tmp_path, samples=8, small=True)
    power = {up: tables["drawn shapes", up]["grid power of Var[y]"].item() for up in ("transposed", "bilinear")}
    assert power["bilinear"] < 2
    assert power["transposed"] > 5
    assert (tmp_path / "upsampling.png").exists()


def test_labels_are_bought_at_random_and_by_choice_from_the_same_start(tmp_path, capsys):
    module = script("fashion_active.py")
    options = {"pool": 100, "labels": (10, 20), "steps": 2, "data": "digits"}
    tables = module.main(seeds=2, output=tmp_path, choices=("random", "diverse"), **options)
    first = [table["accuracy, 10 labels"] for table in tables.values()]
    assert first[0].tolist() == first[1].tolist()
    assert (tmp_path / "active.png").exists()
    assert module.labels_for(0.7, (100, 200, 400), np.array([0.6, 0.8, 0.9])) == pytest.approx(150)


def test_labels_are_flipped_and_looked_for(tmp_path, capsys):
    module = script("label_errors.py")
    truth = np.arange(100) % 10
    given = module.flipped(truth, 0.05, 10, seed=0)
    assert (given != truth).sum() == 5
    table = module.main(seeds=1, output=tmp_path, number=100, folds=2, epochs=1, data="digits")
    assert set(table) >= {"found", "precision", "recall", "precision, first"}


def test_the_strings_experiment_tabulates_its_seeds(tmp_path, monkeypatch, capsys):
    module = script("mnist_strings.py")
    data = cnnlab.Choice("strips", lengths=(1, 2), width=48, train=64, validation=8, test=8)
    model = cnnlab.Choice("reader", features=(4, 4, 8), context=16)
    monkeypatch.setattr(module, "READER", dataclasses.replace(module.READER, data=data, model=model))
    table = module.main(seeds=2, runs=tmp_path, epochs=1)
    assert {f"{of}{score}" for of in ("", "MC ", "mild ") for score in ("cer", "exact at 90 % coverage")} <= set(table)
    assert all(values.shape == (2,) for values in table.values())


def test_the_sequence_benchmark_trains_the_same_network_as_torch(capsys):
    pytest.importorskip("torch", reason="the twin needs torch, of the extra peers")
    module = script("benchmarks/sequence.py")
    module.main(json_only=True, batch=2, width=48, rounds=1, repeats=1)
    step, read = json.loads(capsys.readouterr().out)["rows"]
    assert step["ratio"] > 0
    assert read["strips_per_second"] > 0
    network = cnnlab.create_model("reader", num_classes=11)
    variables = jax.eval_shape(network.init, jax.random.key(0), np.zeros((1, 28, 48, 1)))
    own = sorted(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert own == sorted(one.numel() for one in module.torch_network().parameters())


def test_the_kernel_of_the_lecture_weighs_the_newest_measurement_most():
    module = script("position_sensor.py")
    x = np.array([[1, 1.1, 1.2, 1.4, 1.7, 1.8, 1.9, 2.1, 2.2, 2.4, 2.5]])
    out = module.smoothed(x, np.append(module.LECTURE, 0), 5)
    # .5 * 1.8 + .4 * 1.7 + .04 * 1.4 + .03 * 1.2 + .02 * 1.1 + .01 * 1 = 1.704, and so on
    np.testing.assert_allclose(out[0], [1.704, 1.815, 1.973, 2.118, 2.274, 2.417], atol=6e-4)


def test_least_squares_find_the_kernel_that_made_a_signal():
    module = script("position_sensor.py")
    x, weights = np.random.default_rng(0).normal(size=(4, 50)), np.array([0.1, 0.2, 0.7])
    truth = np.stack([np.convolve(row, weights, "same") for row in x]) + 3
    np.testing.assert_allclose(module.best_kernel(x, truth, 1, 1), [*weights, 3], atol=1e-10)
    np.testing.assert_allclose(module.smoothed(x, np.array([*weights, 3]), 1, 1), truth[:, 1:-1])


def test_simulated_tracks_are_smooth_and_measurements_noisy():
    module = script("position_sensor.py")
    measured, truth = module.simulated(40, 0)
    assert truth.shape == (40, module.STEPS)
    assert np.abs(truth).max() <= 10
    assert np.abs(np.diff(truth)).max() <= 20 * 1.875 / 9  # the speed at the middle of the fastest path of least jerk
    assert np.var(measured - truth) == pytest.approx(0.95 + 0.05 * 25, rel=0.1)


def test_a_sensor_and_an_electrocardiogram_are_smoothed(tmp_path):
    table = script("position_sensor.py").main(seeds=1, output=tmp_path / "a", number=16, epochs=1, samples=2)
    linear = table["best linear kernel, 6 weights, rmse in m"]
    assert linear < table["fixed kernel, rmse in m"] < table["measured, rmse in m"]
    assert (tmp_path / "a" / "sensor.png").stat().st_size > 1000
    pytest.importorskip("pywt", reason="needs PyWavelets")
    table = script("ecg_noise.py").main(seeds=1, output=tmp_path / "b", number=64, epochs=1, samples=2)
    assert table["noise left, best linear kernel"] < table["noise left, wavelets"] < 1
