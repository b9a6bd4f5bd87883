"""The page of `cnnlab draw` for photos in Chromium; without Chromium or playwright these tests are skipped."""

import base64
import contextlib
import io
from importlib.resources import files

import jax
import numpy as np
import pytest
from PIL import Image
from serving import serving

import cnnlab
from cnnlab.app.draw import application
from cnnlab.app.photos import viewer


@contextlib.contextmanager
def showing(chromium, task, classes, model, **options):
    """Opens the page of an untrained network for colour photos of 16x16 pixels."""
    spec = cnnlab.InputSpec((16, 16), 3, classes=classes)
    network = cnnlab.create_model(model, num_classes=task.head(spec), **options)
    variables = cnnlab.nn.init(network, np.zeros((1, *spec.shape), np.float32), jax.random.key(0))
    with serving(application(viewer(cnnlab.Trained(variables, network, task, spec), passes=3))) as port:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("main#photo:not([hidden])")
        yield page
        page.close()


@pytest.fixture(scope="module")
def insects(chromium):
    """Opens the page of a network that classifies photos."""
    with showing(chromium, cnnlab.tasks.Classification(), ("ant", "bee"), "lenet5", dropout=0.5) as page:
        yield page


def photo(name="ants.png", size=(20, 30), content=None):
    """Returns a photo as a browser takes it."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(file, "png")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue() if content is None else content}


def give(page, event, file):
    """Drops or pastes a file."""
    page.evaluate(
        """([kind, name, type, text]) => {
          const content = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
          const data = new DataTransfer();
          data.items.add(new File([content], name, { type }));
          const [Kind, key] = kind === "drop" ? [DragEvent, "dataTransfer"] : [ClipboardEvent, "clipboardData"];
          document.dispatchEvent(new Kind(kind, { [key]: data, bubbles: true, cancelable: true }));
        }""",
        [event, file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()],
    )


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photo_that_is_dropped_or_pasted_is_answered_in_words_with_error_bars(insects, event):
    insects.reload()
    insects.wait_for_selector("main#photo:not([hidden])")
    assert insects.inner_text("#photo-state") == "Show it a photo."
    give(insects, event, photo(f"{event}.png"))
    insects.wait_for_selector("#photo-figure:not([hidden])")
    assert insects.inner_text("#photo-caption") == f"{event}.png"
    assert any(name in insects.inner_text("#photo-state") for name in ("ant", "bee"))
    assert insects.locator("#photo-bars th").all_inner_texts() == ["ant", "bee"]
    assert insects.inner_text("#photo-bars").count("±") == 2


def test_what_is_no_image_is_refused_in_words_and_the_next_photo_is_answered(insects):
    give(insects, "drop", photo("text.png", content=b"no image"))
    insects.wait_for_selector("#error:not([hidden])")
    assert "none of PNG" in insects.inner_text("#error")
    give(insects, "drop", photo("narrow.png", size=(2, 3000)))
    insects.wait_for_selector("#photo-caption:text-is('narrow.png')")
    assert insects.locator("#error").is_hidden()


def test_a_segmentation_has_a_legend_of_the_colours_that_its_mask_shows(chromium):
    task, classes = cnnlab.tasks.Segmentation(), ("road", "tree", "sky")
    with showing(chromium, task, classes, "encoder_decoder", features=2, spatial_dropout=0.5) as page:
        page.set_input_files("#file", photo())
        page.wait_for_selector("#photo-legend:not([hidden])")
        page.fill("#photo-opacity", "100")
        canvas = "document.getElementById('photo-canvas')"
        pixels = page.evaluate(f"[...{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, 1).data]")
        shown = {"rgb({}, {}, {})".format(*pixel) for pixel in np.array(pixels).reshape(-1, 4)[:, :3].tolist()}
        swatches = page.locator("#photo-legend .swatch")
        swatches = swatches.evaluate_all("all => all.map((each) => each.style.backgroundColor)")
        assert shown <= set(swatches)
        assert set(page.locator("#photo-legend li").all_inner_texts()) <= set(classes)
        page.check("input[name=map][value=variance]", force=True)
        assert page.locator("#photo-legend").is_hidden()
        assert page.inner_text("#photo-scale").startswith("Black is 0, white is ")


def test_boxes_are_drawn_on_the_photo_and_listed_beside_it(chromium):
    task = cnnlab.tasks.Detection(image_size=(16, 16), score_threshold=0.0, max_boxes=3)
    with showing(chromium, task, ("ant", "bee"), "grid_detector", features=(4, 4)) as page:
        page.set_input_files("#file", photo())
        page.wait_for_selector("#photo-figure:not([hidden])")
        number = page.locator("#photo-bars tr").count()
        assert page.inner_text("#photo-state") == ("1 object" if number == 1 else f"{number} objects")
        size = page.locator("#photo-canvas").evaluate("({ width, height }) => [width, height]")
        assert size == [1200, 800]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_beside_a_photo(chromium, scheme):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    with showing(chromium, cnnlab.tasks.Segmentation(), ("road", "sky"), "encoder_decoder", features=2) as page:
        page.set_viewport_size({"width": 320, "height": 700})
        page.emulate_media(color_scheme=scheme)
        page.set_input_files("#file", photo())
        page.wait_for_selector("#photo-legend:not([hidden])")
        assert page.evaluate("document.documentElement.scrollWidth") == 320
        page.evaluate((files(axe) / "axe.min.js").read_text())
        found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")[
            "violations"
        ]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
