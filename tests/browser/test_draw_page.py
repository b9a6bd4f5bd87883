"""The page of `cnnlab draw` in Chromium; without Chromium or playwright these tests are skipped."""

import gc
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from serving import serving

import cnnlab
from cnnlab.app.draw import application
from cnnlab.app.photos import viewer
from cnnlab.app.reading import reader
from cnnlab.training.restore import load_data

api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

SEVEN = [(80, 70), (200, 66), (170, 140), (130, 230)]
SCRIBBLE = [
    (60, 60),
    (220, 90),
    (70, 120),
    (230, 150),
    (80, 190),
    (200, 220),
    (140, 50),
    (60, 210),
    (240, 60),
    (150, 240),
]


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """Trains a small network that reads drawn digits."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("lenet5", dropout=0.3),
        data=cnnlab.Choice("strokes", drawn=2500, widths=1),
        optimizer=cnnlab.Optimizer(learning_rate=3e-3, schedule="cosine"),
        training=cnnlab.Training(epochs=4, batch_size=32),
    )
    cnnlab.train(experiment, path, quiet=True)
    return path


@pytest.fixture(scope="module")
def port(digits_run):
    own = reader(cnnlab.load(digits_run), load_data(digits_run))
    own.warm()
    with serving(application(own, name="digits")) as port:
        yield port


@pytest.fixture(scope="module")
def chromium():
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, port):
    """Opens the page; at the end it must have asked no other server and thrown no error."""
    page, errors, foreign = chromium.new_page(), [], []
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security Policy" in message.text else 0)
    page.on("request", lambda request: foreign.append(request.url) if f"127.0.0.1:{port}/" not in request.url else 0)
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
    yield page
    page.close()
    assert errors == []
    assert foreign == []


def stroke(page, points):
    """Draws a stroke through points in 280 units of the paper, with the mouse."""
    box = page.locator("#paper").bounding_box()
    scale = box["width"] / 280
    places = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def state_of(page, *kinds):
    """Waits until the state is one of some kinds, and returns its words."""
    page.wait_for_selector(", ".join(f"#state[data-kind={kind}]" for kind in kinds))
    return page.inner_text("#state")


@pytest.mark.quick
def test_strokes_that_draw_a_7_give_7(page):
    stroke(page, SEVEN)
    assert "7" in state_of(page, "sure", "probably")
    assert page.inner_text("#first") == "7"
    assert "±" in page.inner_text("#bars tr.best .number")


@pytest.mark.quick
def test_a_scribble_gives_never_seen_the_like(page):
    stroke(page, SCRIBBLE)
    assert state_of(page, "strange").startswith("never seen the like")


@pytest.mark.quick
def test_clear_empties_the_paper_and_undo_takes_the_last_stroke_back(page):
    stroke(page, SEVEN)
    state_of(page, "sure", "probably")
    stroke(page, SCRIBBLE)
    state_of(page, "strange")
    page.click("#undo")
    state_of(page, "sure", "probably")
    page.click("#clear")
    assert state_of(page, "blank") == "Draw a number."


def test_the_eraser_takes_ink_away(page):
    stroke(page, SEVEN)
    state_of(page, "sure", "probably")
    page.check("input[name=tool][value=eraser]", force=True)
    page.check("input[name=width][value='30']", force=True)
    for y in range(50, 250, 18):
        stroke(page, [(40, y), (250, y)])
    state_of(page, "blank")


def test_turning_a_7_changes_confidence_and_the_picture_that_the_network_sees(page):
    stroke(page, SEVEN)
    state_of(page, "sure", "probably")
    before, picture = page.inner_text("#bars"), page.evaluate("seen.toDataURL()")
    page.evaluate("turn.value = 80; turn.dispatchEvent(new Event('input'))")
    page.wait_for_function("before => bars.innerText !== before", arg=before)
    assert page.inner_text("#turn-value") == "80°"
    assert page.evaluate("seen.toDataURL()") != picture
    page.click("#upright")
    page.wait_for_function("before => bars.innerText === before", arg=before)


@pytest.mark.quick
def test_layers_follow_the_drawing_and_a_unit_shows_filter_patches_and_frame(page):
    stroke(page, SEVEN)
    page.wait_for_selector(".maps button")
    assert page.locator(".maps button").count() == 6 + 16 + 64 + 64
    page.click("[aria-label='conv2, unit 3']")
    page.wait_for_selector("#unit:not([hidden])")
    assert "9 training patches" in page.inner_text("#unit-patches figcaption")
    assert page.evaluate("document.querySelector('#unit-filter canvas').width") == 3 * 6 - 1
    page.click("#unit-close")
    assert page.locator("#unit").is_hidden()


def test_the_map_of_the_first_guess_lies_over_the_drawing(page):
    stroke(page, SEVEN)
    state_of(page, "sure", "probably")
    before = page.evaluate("paper.toDataURL()")
    page.check("input[name=why][value='0']", force=True)
    page.wait_for_function("before => paper.toDataURL() !== before", arg=before)
    shown = page.evaluate("paper.toDataURL()")
    page.evaluate("opacity.value = 20; opacity.dispatchEvent(new Event('input'))")
    assert page.evaluate("paper.toDataURL()") != shown


def test_the_keyboard_alone_draws_a_7_and_reaches_everything(page):
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"paper", "tool", "width", "undo", "clear", "turn", "right", "down", "upright", "why", "opacity"} <= reached
    page.focus("#paper")
    keys = ["ArrowLeft"] * 8 + ["ArrowUp"] * 10 + [" "] + ["ArrowRight"] * 15
    keys += ["ArrowDown", "ArrowDown", "ArrowLeft"] * 11 + [" "]
    for key in keys:
        page.keyboard.press(key)
    state_of(page, "sure", "probably")
    assert page.inner_text("#first") == "7"
    page.focus(".maps button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#unit:not([hidden])")
    assert page.inner_text("#unit-title") == "conv1, unit 1"
    page.focus("#paper")
    page.keyboard.press("Delete")
    state_of(page, "blank")


def test_a_finger_draws(chromium, port):
    page = chromium.new_page(has_touch=True, viewport={"width": 320, "height": 700})
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
    box = page.locator("#paper").bounding_box()
    session = page.context.new_cdp_session(page)
    for kind, points in [("touchStart", SEVEN[:1]), *[("touchMove", [point]) for point in SEVEN[1:]], ("touchEnd", [])]:
        places = [{"x": box["x"] + x * box["width"] / 280, "y": box["y"] + y * box["width"] / 280} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    assert "7" in state_of(page, "sure", "probably")
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.close()


def test_500_strokes_leave_memory_flat_on_both_sides(page):
    rng = np.random.default_rng(0)
    session = page.context.new_cdp_session(page)

    def memory():
        gc.collect()
        session.send("HeapProfiler.collectGarbage")
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return session.send("Runtime.getHeapUsage")["usedSize"] / 2**20, pages * 4 / 1024

    draw = """async (strokes) => {
      const box = paper.getBoundingClientRect();
      for (const stroke of strokes) {
        stroke.forEach(([x, y], i) => paper.dispatchEvent(new PointerEvent(i ? "pointermove" : "pointerdown", {
          clientX: box.left + x * box.width / 280, clientY: box.top + y * box.width / 280, pointerId: 1,
          button: i ? -1 : 0, buttons: 1 })));
        paper.dispatchEvent(new PointerEvent("pointerup", { pointerId: 1 }));
        await new Promise((done) => setTimeout(done, 4));
      }
    }"""
    sizes = []
    for _ in range(5):
        page.evaluate(draw, rng.uniform(30, 250, (100, 6, 2)).tolist())
        page.wait_for_timeout(300)
        sizes.append(memory())
    browser, server = np.array(sizes).T
    assert browser[-1] - browser[1] < 2
    assert server[-1] - server[1] < 30


def test_a_server_that_stops_is_told_in_words(chromium, digits_run):
    with serving(application(reader(cnnlab.load(digits_run)))) as port:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
    stroke(page, SEVEN)
    page.wait_for_selector("#error:not([hidden])")
    assert "does not answer" in page.inner_text("#error")
    page.close()


@pytest.mark.quick
def test_without_scripts_a_sentence_says_what_to_do(chromium, port):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(f"http://127.0.0.1:{port}")
    assert "needs JavaScript" in page.inner_text("noscript")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page, scheme):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    stroke(page, SEVEN)
    page.click("[aria-label='conv2, unit 3']")
    page.wait_for_selector("#unit:not([hidden])")
    page.evaluate((files(axe) / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_a_photo_is_shown_with_its_boxes(chromium, tmp_path):
    import jax
    from PIL import Image

    task = cnnlab.tasks.Detection(image_size=(16, 16), score_threshold=0.0, max_boxes=3)
    spec = cnnlab.InputSpec((16, 16), 3, classes=("ant", "bee"))
    network = cnnlab.create_model("grid_detector", num_classes=task.head(spec), features=(4, 4))
    variables = cnnlab.nn.init(network, np.zeros((1, 16, 16, 3), np.float32), jax.random.key(0))
    own = viewer(cnnlab.Trained(variables, network, task, spec))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "ants.png")
    (tmp_path / "text.png").write_text("no image")
    with serving(application(own)) as port:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.set_input_files("#file", tmp_path / "ants.png")
        page.wait_for_selector("#photo-figure:not([hidden])")
        assert "object" in page.inner_text("#photo-state")
        assert page.evaluate("document.getElementById('photo-canvas').width") == 60
        page.set_input_files("#file", tmp_path / "text.png")
        page.wait_for_selector("#error:not([hidden])")
        assert "none of PNG" in page.inner_text("#error")
        page.close()
