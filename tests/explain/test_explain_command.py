import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.commands import explain_outputs as outputs


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)).save(name)


def explain(run, *arguments):
    return main(["explain", str(run), "--output", "out", *arguments])


def records(folder="out"):
    return json.loads(Path(folder, "explanations.json").read_text())["explanations"]


def test_a_photo_alone_gives_both_guesses_with_error_bars_and_a_verdict(run, tmp_path, capsys):
    assert explain(run, "a.png", "--mc", "3") == 0
    first, second = records()
    assert capsys.readouterr().out.split() == ["out/a.png"]
    assert first["probability"] >= second["probability"]
    assert first["target"] != second["target"]
    for record in (first, second):
        assert np.load(record["map"]).shape == np.load(record["spread"]).shape == (16, 16)
        for name in ("deletion", "random/deletion", "edges/insertion"):
            assert np.isfinite(record["verdict"][name])
        assert isinstance(record["flagged"], bool)
        assert record["figure"] == "out/a.png"
    assert Image.open("out/a.png").width > 400


def test_methods_targets_layers_and_classes_can_be_chosen(run, capsys):
    options = ["--method", "grad_cam", "saliency", "--target", "1", "--layer", "conv1", "--mc", "0", "--no-verdict"]
    assert explain(run, "a.png", *options, "--classes", "2") == 0
    assert [(r["method"], r["rank"], "verdict" in r, "spread" in r) for r in records()] == [
        ("grad_cam", 1, False, False),
        ("saliency", 1, False, False),
    ]
    assert capsys.readouterr().out.split() == ["out/a.png", "out/a_classes.png"]


def test_the_stored_map_is_that_of_the_library(run):
    assert explain(run, "a.png", "--target", "2", "--mc", "0", "--no-verdict") == 0
    trained = cnnlab.load(run)
    image = np.asarray(Image.open("a.png").convert("L").resize((16, 16), Image.Resampling.BILINEAR))[None, ..., None]
    expected = cnnlab.explain.grad_cam(trained, image, target=2).map[0]
    np.testing.assert_allclose(np.load(records()[0]["map"]), expected, atol=1e-5)


def test_a_damaged_photo_is_named_and_the_others_are_explained(run, capsys):
    Path("broken.png").write_text("no image")
    assert explain(run, "broken.png", "b.png", "--no-verdict", "--mc", "0", "--json") == 1
    captured = capsys.readouterr()
    assert [r["file"] for r in json.loads(captured.out)["explanations"]] == ["b.png", "b.png"]
    assert "cannot read broken.png" in captured.err
    assert "all other files are explained" in captured.err


def test_an_ensemble_of_runs_has_error_bars_over_its_members(run, small, tmp_path, capsys):
    cnnlab.train(dataclasses.replace(small, seed=1), tmp_path / "other", quiet=True)
    assert explain(run, str(tmp_path / "other"), "a.png", "--no-verdict") == 0
    assert all("spread" in record for record in records())
    assert explain(run, str(tmp_path / "other"), "a.png", "--mc", "5") == 2
    assert "the error bars of 2 runs are over the runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], 2, "no PATH given"),
        (["a.png", "--method", "gradcam"], 1, "unknown method 'gradcam'; did you mean 'grad_cam'"),
        (["a.png", "--scores", "rank"], 1, "unknown score 'rank'"),
        (["a.png", "--target", "9"], 1, "target must lie in 0..2 for 3 classes, found 9"),
        (["a.png", "--layer", "conv9"], 1, "unknown layer 'conv9'; did you mean"),
        (["a.png", "--method", "saliency", "--layer", "conv1"], 2, "--layer is for class activation maps"),
        (["a.png", "--classes", "-1"], 2, "--classes must be 0 or more, found -1"),
        (["a.png", "--mc", "-1"], 2, "--mc must be 0 or more, found -1"),
        (["a.png", "--output", "a.png"], 1, "--output a.png cannot be created (File exists); choose another"),
        (["nothing.png"], 1, "nothing.png does not exist"),
        (["a.png", "--window", "9", "9"], 1, r"--window must lie in 0..8 and 0..4 for a.png, found 9 and 9"),
    ],
)
def test_wrong_arguments_are_named(run, capsys, options, code, message):
    assert explain(run, *options) == code
    assert message in capsys.readouterr().err


def test_the_window_of_a_sheet_and_the_frame_of_a_video_are_explained(run):
    av = pytest.importorskip("av")
    with av.open("clip.mp4", "w") as clip:
        stream = clip.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for i in range(3):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), 80 * i, np.uint8))))
        clip.mux(stream.encode())
    assert explain(run, "clip.mp4", "a.png", "--window", "1", "2", "--frames", "2", "--no-verdict", "--mc", "0") == 0
    assert [record["part"] for record in records()[::2]] == ["frame 2", "window 1 2"]


def test_evaluate_draws_the_maps_of_guess_and_truth_beside_wrong_answers(run, capsys):
    assert main(["evaluate", str(run), "--explain", "saliency", "--figures", "figures"]) == 0
    assert Image.open("figures/wrong.png").width > 900
    assert main(["evaluate", str(run), "--explain", "lime"]) == 1
    assert "unknown method 'lime'" in capsys.readouterr().err


def test_evaluate_says_for_which_networks_it_draws_no_maps(tmp_path, small, capsys):
    labels = dataclasses.replace(
        small,
        data=cnnlab.Choice("shapes", annotation="labels", size=16, train=32, validation=8, test=8),
        task=cnnlab.Choice("classification", kind="multilabel"),
    )
    cnnlab.train(labels, tmp_path / "labels", quiet=True)
    assert main(["evaluate", str(tmp_path / "labels"), "--explain", "saliency"]) == 1
    assert "this network learns labels: use cnnlab explain" in capsys.readouterr().err


def test_list_names_the_methods_with_a_line_each(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in cnnlab.explain.METHODS:
        assert f"  {name} " in out
    assert "Selvaraju et al., ICCV 2017; 1 gradient; passes)" in out
    assert "Springenberg et al., ICLRW 2015; 1 gradient; fails)" in out


def test_the_page_explains_every_method_and_score():
    page = (Path(__file__).parents[2] / "docs" / "explanations.md").read_text()
    for name in (*cnnlab.explain.METHODS, *cnnlab.explain.SCORES):
        assert f"| `{name}` |" in page


def test_an_explanation_shows_itself_in_a_notebook(run):
    trained = cnnlab.load(run)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
    for target in (None, "disc-square", lambda logits: logits.mean(-1)):
        assert cnnlab.explain.saliency(trained, images, target)._repr_png_().startswith(b"\x89PNG")


def test_the_picture_of_a_notebook_says_what_is_explained_and_warns_of_a_bad_map(monkeypatch):
    sheets = []
    monkeypatch.setattr("cnnlab.files.figures.png_bytes", sheets.append)
    verdict = {"road": [0.5, 0.1], "random/road": [0.2, 0.2], "edges/road": [0.3, 0.3]}
    cnnlab.explain.Explanation(
        np.ones((2, 4, 4)),
        None,
        np.array([3.25, -1.0]),
        {name: np.array(score) for name, score in verdict.items()},
        np.zeros((2, 4, 4, 1), np.uint8),
        np.array([1, 0]),
        ("cat", "dog"),
    )._repr_png_()
    titles = [axis.get_title() for axis in sheets[0].axes]
    assert titles == ["", "dog: 3.25", "", "cat: -1\ndo not trust it"]


def test_a_sheet_of_the_classes_of_a_segmentation_has_shares_of_pixels(tmp_path, small, monkeypatch, capsys):
    masks = dataclasses.replace(
        small,
        model=cnnlab.Choice("encoder_decoder"),
        data=cnnlab.Choice("shapes", annotation="mask", size=16, train=32, validation=8, test=8),
        task=cnnlab.Choice("segmentation"),
    )
    trained, titles = cnnlab.train(masks, tmp_path / "masks", quiet=True), []
    draw = outputs.class_sheet
    monkeypatch.setattr(outputs, "class_sheet", lambda *parts: titles.extend(parts[2]) or draw(*parts))
    image = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(image).save("c.png")
    assert explain(tmp_path / "masks", "c.png", "--classes", "4", "--mc", "0", "--no-verdict") == 0
    mask = np.asarray(cnnlab.predict(trained, image[None, ..., None]).probs)[0].argmax(-1)
    shares = {name: 100 * np.mean(mask == i) for i, name in enumerate(trained.spec.classes)}
    assert sorted(titles) == sorted(f"{name}, {share:.0f} % of the pixels" for name, share in shares.items())


def test_a_sheet_of_classes_is_refused_before_anything_is_computed(tmp_path, small, capsys):
    numbers = dataclasses.replace(
        small,
        data=cnnlab.Choice("shapes", annotation="target", size=16, train=32, validation=8, test=8),
        task=cnnlab.Choice("regression"),
    )
    cnnlab.train(numbers, tmp_path / "numbers", quiet=True)
    assert explain(tmp_path / "numbers", "a.png", "--classes", "2") == 1
    assert "is for classification and segmentation, this is regression" in capsys.readouterr().err
    assert not Path("out").exists()
    assert explain(tmp_path / "numbers", "a.png", "--target", "z") == 1
    assert "Numbers from 0 are known too." in capsys.readouterr().err
