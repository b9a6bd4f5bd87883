"""The page of an embedding as a file: what it holds, its size, and that nothing leaves it."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from cnnlab.embeddings import atlas
from cnnlab.embeddings.inline import bundle
from cnnlab.embeddings.page import column, write_page
from cnnlab.embeddings.points import Points

ARRAYS = {"Float32Array": "<f4", "Uint16Array": "<u2", "Uint32Array": "<u4"}


def some(number=5, **fields):
    """Returns points with random thumbnails; the fields given replace others."""
    rng = np.random.default_rng(0)
    values = {
        "planes": {"PCA": rng.normal(size=(number, 2)).astype(np.float32)},
        "thumbnails": rng.integers(0, 256, (number, 6, 4, 1), np.uint8),
        "names": [f"{i}.png" for i in range(number)],
        "colours": {
            "class": ["ant", "bee"] * (number // 2) + ["ant"] * (number % 2),
            "sure": np.linspace(0, 1, number),
        },
        "neighbours": rng.integers(number, size=(number, 3)),
        "probs": np.tile([0.25, 0.75], (number, 1)),
        "classes": ("ant", "bee"),
        "title": "Insects",
        "notes": ("Two kinds.",),
    }
    return Points(**{**values, **fields})


def written(tmp_path, points):
    return write_page(tmp_path / "page.html", points).read_text(encoding="utf-8")


def data_of(text):
    return json.loads(re.search(r'id="data">(.*?)</script>', text)[1])


def unpacked(packed):
    return np.frombuffer(base64.b64decode(packed["data"]), ARRAYS[packed["type"]])


def pieces_of(text, number):
    """Cuts the picture in a page into its thumbnails `[N, h, w]`."""
    about = data_of(text)["thumbnails"]
    picture = Image.open(io.BytesIO(base64.b64decode(re.search(r'id="thumbnails">(.*?)<', text)[1])))
    assert picture.get_format_mimetype() == about["type"]
    pixels, h, w, columns = np.asarray(picture), about["height"], about["width"], about["columns"]
    corners = [(i // columns * h, i % columns * w) for i in range(number)]
    return np.stack([pixels[y : y + h, x : x + w] for y, x in corners])


def test_the_picture_holds_every_thumbnail_pixel_by_pixel(tmp_path):
    points = some(11)
    assert (pieces_of(written(tmp_path, points), 11) == points.thumbnails[..., 0]).all()


def test_colour_thumbnails_are_in_the_picture_too(tmp_path):
    points = some(thumbnails=np.random.default_rng(1).integers(0, 256, (5, 7, 7, 3), np.uint8))
    assert (pieces_of(written(tmp_path, points), 5) == points.thumbnails).all()


def test_a_large_picture_has_losses_of_a_few_grey_values(monkeypatch):
    monkeypatch.setattr(atlas, "LOSSLESS_BYTES", 100)
    ramps = np.broadcast_to(np.linspace(0, 255, 28).astype(np.uint8), (9, 28, 28))[..., None]
    picture = atlas.pack(ramps)
    assert picture.media_type == "image/webp"
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)).convert("L"), float)
    assert abs(pixels[:28, 3:25] - ramps[0, :, 3:25, 0]).mean() < 5


@pytest.mark.parametrize(
    ("number", "size"), [(50_000, (28, 28)), (10_000, (64, 48)), (3, (5000, 20)), (16, (1024, 1024))]
)
def test_all_thumbnails_fit_into_one_picture_of_4096_pixels(number, size):
    height, width, columns = atlas.layout(number, *size)
    assert columns * width <= 4096
    assert -(-number // columns) * height <= 4096
    assert height <= size[0]
    assert width <= size[1]


def test_thumbnails_that_do_not_fit_are_shrunk_by_averages(monkeypatch):
    monkeypatch.setattr(atlas, "SIDE", 16)
    halves = np.zeros((4, 16, 16, 1), np.uint8)
    halves[:, :, 8:] = 200
    picture = atlas.pack(halves)
    assert picture[2:] == (2, 8, 8)
    assert np.asarray(Image.open(io.BytesIO(picture.data)))[0, :8].tolist() == [0] * 4 + [200] * 4


def test_places_neighbours_and_probabilities_come_back_from_the_file(tmp_path):
    points = some(planes={"PCA": np.array([[0, 0], [4, 0], [4, 2], [0, 2], [2, 1]], np.float32)})
    data = data_of(written(tmp_path, points))
    places = unpacked(data["planes"][0]["places"]).reshape(-1, 2)
    assert places.tolist() == [[0, 0.25], [1, 0.25], [1, 0.75], [0, 0.75], [0.5, 0.5]]
    assert (unpacked(data["neighbours"]).reshape(5, 3) == points.neighbours).all()
    assert unpacked(data["probs"]["classes"]).tolist() == [1, 0] * 5
    assert unpacked(data["probs"]["values"]) / 65535 == pytest.approx([0.75, 0.25] * 5, abs=1e-5)


def test_categories_stand_in_the_order_of_the_classes_and_unknown_ones_last():
    found = column("label", ["b", "", "a10", "a9", "b"], classes=("b",))
    assert found["labels"] == ["b", "a9", "a10"]
    assert unpacked(found["values"]).tolist() == [0, 3, 2, 1, 0]


def test_unknown_numbers_stay_unknown():
    assert np.isnan(unpacked(column("sure", np.array([0.5, np.nan]))["values"])).tolist() == [False, True]


def test_names_labels_and_titles_that_hold_html_end_no_element(tmp_path):
    bad = "</script><img src=x onerror=alert(1)><!--"
    colours = {bad: [bad, "b", "b", "b", "b"]}
    points = some(names=[bad, *"abcd"], colours=colours, classes=(bad, "b"), title=bad, notes=(bad,))
    text = written(tmp_path, points)
    assert "<img" not in text
    assert text.count("</script>") == 3
    data = data_of(text)
    assert data["names"][0] == data["title"] == data["notes"][0] == data["columns"][0]["labels"][0] == bad


def test_a_name_that_is_no_text_and_one_with_controls_show_their_escapes(tmp_path):
    data = data_of(written(tmp_path, some(names=["\udcff", "\u202egnp", "a\nb", "c", "d"])))
    assert data["names"][:3] == ["\\udcff", "\\u202egnp", "a\\nb"]


def test_nothing_in_the_file_can_be_loaded_or_run_from_elsewhere(tmp_path):
    text = written(tmp_path, some())
    assert not re.search(r"https?:|url\(|@import|src=|innerHTML|eval\(|fetch\(|XMLHttpRequest|WebSocket", text)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_ten_thousand_points_with_noisy_thumbnails_of_28_pixels_take_at_most_6_mb(tmp_path):
    n, rng = 10_000, np.random.default_rng(0)
    noise = rng.integers(0, 256, (n, 28, 28, 1), np.uint8)
    noise[:, :7] = noise[:, -7:] = 0  # half of the pixels are noise, more than in Fashion-MNIST
    planes = {name: rng.normal(size=(n, 2)) for name in ("PCA", "t-SNE", "UMAP")}
    columns = {"class": rng.choice(list("abcdefghij"), n), "confidence": rng.random(n), "entropy": rng.random(n)}
    probs = rng.dirichlet(np.ones(10), n)
    points = Points(
        planes,
        noise,
        [f"test {i}" for i in range(n)],
        columns,
        rng.integers(n, size=(n, 10)),
        probs,
        "abcdefghij",
        "",
        (),
    )
    assert write_page(tmp_path / "page.html", points).stat().st_size <= 6e6


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("thumbnails", np.zeros((5, 6, 4, 1)), "thumbnails must be uint8"),
        ("thumbnails", np.zeros((5, 6, 4, 2), np.uint8), "1 or 3"),
        ("thumbnails", np.zeros((0, 6, 4, 1), np.uint8), "N of 1 or more"),
        ("planes", {}, "planes must hold one projection"),
        ("planes", {"PCA": np.zeros((4, 2))}, r"planes\['PCA'\] must be \[N, 2\] with N = 5"),
        ("planes", {"PCA": np.full((5, 2), np.nan)}, "must be finite"),
        ("names", ["a"], "names must hold one entry for each of the 5"),
        ("colours", {"class": ["a"]}, r"colours\['class'\] must hold"),
        ("neighbours", np.zeros((5, 3)), "neighbours must be integers"),
        ("neighbours", np.full((5, 3), 5), "neighbours must be in 0..4, found 5..5"),
        ("probs", np.ones((5, 3)), r"probs must be \[N, K\] = \(5, 2\)"),
        ("probs", np.full((5, 2), 1.5), "probs must be in 0..1"),
        ("probs", np.full((5, 2), np.nan), "probs must be in 0..1"),
    ],
)
def test_a_field_that_does_not_fit_is_named(field, value, words):
    with pytest.raises(ValueError, match=words):
        some(**{field: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('import { a } from "./later.js";\n', "imports later.js, which must come before it"),
        ('import * as a from "./a.js";\n', "must import and export as"),
        ("export default 1;\n", "must import and export as"),
    ],
)
def test_a_module_that_cannot_be_joined_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        bundle({"one": text, "later": ""})
