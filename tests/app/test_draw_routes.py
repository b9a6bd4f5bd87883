import base64
import http.client
import io
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import jax
import numpy as np
import pytest
from PIL import Image
from serving import serving

import cnnlab
from cnnlab.app.draw import STATIC, application
from cnnlab.app.drawing import PAGE
from cnnlab.app.photos import _in_words, viewer
from cnnlab.app.reading import Drawing, Unit, reader, reads_drawings
from cnnlab.cli import main
from cnnlab.training.restore import load_data
from cnnlab.training.run import EXPERIMENT, read_history

GREY = {"content-type": "application/octet-stream"}


def page(seed=0):
    drawing = np.zeros((PAGE, PAGE), np.uint8)
    drawing[30:100, 40 + seed : 52 + seed] = 255
    return drawing


@pytest.fixture(scope="module")
def own(run):
    return reader(cnnlab.load(run), load_data(run), passes=4)


@pytest.fixture(scope="module")
def port(own):
    with serving(application(own, name="small"), max_bytes=100_000, seconds=2) as port:
        yield port


def ask(port, path, body=None, headers=GREY, **parameters):
    """Returns status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    query = f"?{urlencode(parameters)}" if parameters else ""
    connection.request("GET" if body is None else "POST", path + query, body, headers if body is not None else {})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def said(port, path, drawing, **parameters):
    status, _, text = ask(port, path, drawing.tobytes(), **parameters)
    assert status == 200, text
    return json.loads(text)


def untrained(task, classes, model="lenet5", size=(16, 16), channels=1, **options):
    spec = cnnlab.InputSpec(size, channels, classes=classes)
    network = cnnlab.create_model(model, num_classes=task.head(spec), **options)
    variables = cnnlab.nn.init(network, np.zeros((1, *spec.shape), np.float32), jax.random.key(0))
    return cnnlab.Trained(variables, network, task, spec)


def test_a_guess_has_the_probabilities_of_mc_predict_for_the_picture_that_it_shows(port, run):
    answer = said(port, "/api/guess", page())
    seen = np.frombuffer(base64.b64decode(answer["seen"]["pixels"]), np.uint8).reshape(1, 16, 16, 1)
    mc = cnnlab.mc_predict(cnnlab.load(run), seen, key=jax.random.key(0), num_samples=4)
    np.testing.assert_allclose(answer["mean"], mc.mean[0], atol=2e-5)
    np.testing.assert_allclose(np.square(answer["deviation"]), mc.variance[0], atol=1e-5)
    assert answer["guesses"][0] == ("disc", "square", "triangle")[int(mc.label[0])]


def test_turn_and_shift_change_what_the_network_sees(port):
    plain, moved = (said(port, "/api/guess", page(), **each) for each in ({}, {"turn": 40, "right": 2, "down": -1.5}))
    assert plain["seen"] != moved["seen"]
    assert moved["matrix"] != plain["matrix"]


def test_layers_hold_the_positive_part_of_the_activations(port, run):
    drawing = page(3)
    answer = said(port, "/api/layers", drawing)
    seen = np.frombuffer(base64.b64decode(said(port, "/api/guess", drawing)["seen"]["pixels"]), np.uint8)
    expected = np.maximum(
        cnnlab.features.activations(cnnlab.load(run), seen.reshape(1, 16, 16, 1), "conv1")["conv1"], 0
    )
    first = answer["layers"][0]
    maps = np.frombuffer(base64.b64decode(first["pixels"]), np.uint8).reshape(6, 16, 16) * first["largest"] / 255
    assert [layer["name"] for layer in answer["layers"]] == ["conv1", "conv2", "dense1", "dense2"]
    np.testing.assert_allclose(maps, np.moveaxis(expected[0], -1, 0), atol=first["largest"] / 255)


def test_maps_are_grad_cam_of_both_guesses(port, run):
    drawing = page(5)
    guess, answer = (said(port, path, drawing) for path in ("/api/guess", "/api/maps"))
    seen = np.frombuffer(base64.b64decode(guess["seen"]["pixels"]), np.uint8).reshape(1, 16, 16, 1)
    for each, name in zip(answer["maps"], guess["guesses"], strict=True):
        expected = np.asarray(cnnlab.explain.grad_cam(cnnlab.load(run), seen, name).map[0])
        assert each["class"] == name
        assert each["largest"] == pytest.approx(expected.max(), rel=1e-3, abs=1e-6)


def test_a_unit_shows_its_filter_nine_patches_and_what_it_sees(port, run):
    answer = said(port, "/api/unit", page(), layer="conv2", unit=5)
    assert (answer["filter"]["height"], answer["filter"]["slices"], answer["patches"]["number"]) == (5, 6, 9)
    left, top, right, bottom = answer["box"]
    assert (right - left, bottom - top) == (14, 14)
    kernel = np.asarray(cnnlab.load(run).variables["params"]["conv2"]["kernel"])[..., 5]
    assert answer["filter"]["largest"] == pytest.approx(np.abs(kernel).max(), rel=1e-6)
    assert "filter" not in said(port, "/api/unit", page(), layer="dense1", unit=119)


def test_an_empty_paper_is_blank(port):
    assert said(port, "/api/guess", np.zeros((PAGE, PAGE), np.uint8))["state"] == "blank"


@pytest.mark.parametrize(
    ("path", "body", "parameters", "headers", "status", "words"),
    [
        ("/api/guess", b"", {}, GREY, 422, "must have 140x140 bytes"),
        ("/api/guess", bytes(PAGE * PAGE + 1), {}, GREY, 422, "19,601"),
        ("/api/guess", bytes(100_001), {}, GREY, 413, "more than 100,000 bytes"),
        ("/api/guess", bytes(PAGE * PAGE), {}, {"content-type": "image/png"}, 415, "application/octet-stream"),
        ("/api/guess", bytes(PAGE * PAGE), {}, {}, 415, "application/octet-stream"),
        ("/api/guess", bytes(PAGE * PAGE), {"turn": "nan"}, GREY, 422, "turn must be a number in -180..180"),
        ("/api/guess", bytes(PAGE * PAGE), {"right": "1e9"}, GREY, 422, "right must be a number"),
        ("/api/guess", bytes(PAGE * PAGE), {"layer": "x"}, GREY, 422, "unknown parameter 'layer'"),
        ("/api/unit", bytes(PAGE * PAGE), {"layer": "conv3", "unit": 0}, GREY, 422, "did you mean"),
        ("/api/unit", bytes(PAGE * PAGE), {"layer": "conv1", "unit": 6}, GREY, 422, "0..5"),
        ("/api/unit", bytes(PAGE * PAGE), {"layer": "conv1", "unit": "-1"}, GREY, 422, "unit must be a number"),
        ("/api/photo", b"x", {}, GREY, 404, "no page"),
        ("/page/../draw.py", None, {}, GREY, 404, "no page"),
        ("/page/secrets.js", None, {}, GREY, 404, "no page"),
        ("/api/guess", None, {}, GREY, 405, "does not take GET"),
    ],
)
def test_what_is_malformed_gets_a_reason(port, path, body, parameters, headers, status, words):
    answer, _, text = ask(port, path, body, headers, **parameters)
    assert answer == status
    assert words in json.loads(text)["error"]


def test_the_page_is_a_fixed_list_of_files_and_asks_no_other_server(port):
    for file, kind in STATIC.items():
        status, headers, text = ask(port, "/" if file == "index.html" else f"/page/{file}")
        assert (status, headers["content-type"]) == (200, kind)
        assert "default-src 'self'" in headers["content-security-policy"]
        addresses = text.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"http://" not in addresses
        assert b"https://" not in addresses


def test_every_string_that_the_page_names_exists():
    import re
    from importlib.resources import files

    folder = files("cnnlab.app") / "page"
    strings = (folder / "strings.js").read_text()
    for name in re.findall(r'data-(?:text|label)="(\w+)"', (folder / "index.html").read_text()):
        assert re.search(rf"^  {name}:", strings, re.MULTILINE), name


def test_thirty_requests_at_once_are_all_answered(port):
    alone = [said(port, "/api/guess", page(i))["mean"] for i in range(3)]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda i: said(port, "/api/guess", page(i % 3)), range(30)))
    assert [answer["mean"] for answer in answers] == alone * 10


def test_a_network_without_dropout_has_no_error_bars():
    own = reader(untrained(cnnlab.tasks.Classification(), "abc"))
    answer = own.guess(Drawing(page()))
    assert own.about["passes"] == 0
    assert answer["deviation"] is None
    assert answer["strangeness"] is None
    assert sum(answer["mean"]) == pytest.approx(1, abs=1e-4)


def test_a_network_without_feature_maps_says_so():
    own = reader(untrained(cnnlab.tasks.Classification(), "abc", "dense"))
    assert own.maps(Drawing(page()))["maps"] == []
    assert "filter" not in own.unit(Unit(Drawing(page()), "dense1", 0))


def test_photos_and_other_tasks_are_not_drawn():
    colour = untrained(cnnlab.tasks.Classification(), "abc", channels=3)
    number = untrained(cnnlab.tasks.Regression(), ("x",))
    assert not reads_drawings(colour)
    with pytest.raises(ValueError, match="regression of 16x16x1"):
        reader(number)


def photo(size=(20, 24), kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("task", "classes", "model", "options", "parts"),
    [
        (cnnlab.tasks.Classification(), "ab", "lenet5", {"dropout": 0.5}, {"label", "probs", "variance"}),
        (cnnlab.tasks.Regression(), ("x", "y"), "lenet5", {"dropout": 0.5}, {"value", "low", "high"}),
        (cnnlab.tasks.Segmentation(), "ab", "encoder_decoder", {"features": 2, "spatial_dropout": 0.5}, {"file"}),
    ],
)
def test_photos_are_answered_for_each_task(task, classes, model, options, parts):
    own = viewer(untrained(task, classes, model, channels=3, **options), passes=3)
    with serving(application(own), max_bytes=100_000) as port:
        status, _, text = ask(port, "/api/photo", photo(), {"content-type": "image/png"})
        answer = json.loads(text)
        assert status == 200
        assert answer["size"] == [20, 24]
        assert parts <= set(answer["records"][0])
        assert ("words" in answer) == isinstance(task, cnnlab.tasks.Classification)
        if model == "encoder_decoder":
            assert {"mask", "mean", "variance"} <= set(answer["images"])
            mask = Image.open(io.BytesIO(base64.b64decode(answer["images"]["mask"])))
            assert mask.size == (24, 20)
            assert answer["shares"]["b"] == pytest.approx(np.asarray(mask).mean())
            shown = mask.convert("RGB").getpixel((0, 0))
            assert answer["colours"]["ab"[mask.getpixel((0, 0))]] == "#{:02x}{:02x}{:02x}".format(*shown)
            assert answer["white"]["mean"] == 1
        assert ask(port, "/api/photo", b"text", {"content-type": "text/plain"})[0] == 415
        assert ask(port, "/api/photo", b"\x89PNG\r\n\x1a\nbroken", {"content-type": "image/png"})[0] == 422


def test_the_state_before_a_photo_follows_probabilities_and_their_spread():
    record = {"probs": {"ant": 0.9, "bee": 0.1}, "variance": {"ant": 0.01, "bee": 0.01}}
    assert _in_words(record, ("ant", "bee")) == {"state": "sure", "words": "sure: ant"}
    torn = record | {"variance": {"ant": 0.25, "bee": 0.25}}
    assert _in_words(torn, ("ant", "bee"))["words"] == "torn between ant and bee"


def test_an_image_larger_than_the_limit_is_refused():
    own = viewer(untrained(cnnlab.tasks.Classification(), "ab", channels=3), max_pixels=100)
    with serving(application(own), max_bytes=100_000) as port:
        status, _, text = ask(port, "/api/photo", photo(), {"content-type": "image/png"})
        assert status == 422
        assert "pixels" in json.loads(text)["error"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--port", "80"), "port 80 belongs to the system"), (("--mc", "0"), "--mc must lie in 1..1000")],
)
def test_bad_options_end_the_command_with_2(arguments, words, run, capsys):
    assert main(["draw", str(run), "--no-browser", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_newest_finished_run_is_taken(tmp_path):
    from cnnlab.commands.draw import _newest

    assert _newest(tmp_path) is None
    for i, name in enumerate(("older", "newer", "unfinished")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.json").write_text("{}")
        if name != "unfinished":
            (tmp_path / name / "checkpoints").mkdir()
            os.utime(tmp_path / name / "checkpoints", (i, i))
    assert _newest(tmp_path) == str(tmp_path / "newer")


def test_a_default_network_whose_training_was_stopped_is_trained_on(run, tmp_path, monkeypatch):
    from cnnlab.commands import draw

    monkeypatch.setattr(draw, "RUNS", tmp_path)
    path = Path(shutil.copytree(run, tmp_path / draw.DEFAULT))
    assert draw._newest(tmp_path) == str(path)
    stored = json.loads((path / EXPERIMENT).read_text())
    stored["training"]["epochs"] = 2  # as if it had been stopped after the first one
    (path / EXPERIMENT).write_text(json.dumps(stored))
    assert draw._newest(tmp_path) is None
    assert draw._train() == str(path)
    assert [row["epoch"] for row in read_history(path)] == [1, 2]
    assert draw._newest(tmp_path) == str(path)


def test_a_run_whose_data_moved_says_what_the_page_cannot_show(run, monkeypatch):
    from cnnlab.commands import draw
    from cnnlab.training import restore

    def moved(*_):
        raise ValueError("no data in old/")

    monkeypatch.setattr(restore, "load_data", moved)
    own, remark = draw._own(str(run), draw.Request(str(run), 0, False, 3, 0, None))
    assert "no data in old/" in remark
    assert own.about["familiar"] is False
    assert "patches" not in own.unit(Unit(Drawing(page()), "conv1", 0))
