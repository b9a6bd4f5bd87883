"""The page of `cnnlab draw` in Chromium; without Chromium or playwright these tests are skipped."""

import gc
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from serving import serving

import cnnlab
from cnnlab.app.chromium import stroke
from cnnlab.app.draw import application
from cnnlab.app.reading import reader
from cnnlab.training.restore import load_data

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


def state_of(page, *kinds):
    """Waits until the state is one of some kinds, and returns its words."""
    page.wait_for_selector(", ".join(f"#state[data-kind={kind}]" for kind in kinds))
    return page.inner_text("#state")


def settled(page, before=""):
    """Waits until the text of the bars differs from an earlier one and no newer answer comes, and returns it."""
    page.wait_for_function("before => bars.innerText !== before", arg=before)
    text = None
    while text != (text := page.inner_text("#bars")):
        page.wait_for_timeout(500)
    return text


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
    before, picture = settled(page), page.evaluate("seen.toDataURL()")
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


def middle(page, name):
    box = page.locator(name).bounding_box()
    return np.array([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])


def drag(page, name, to):
    page.mouse.move(*middle(page, name))
    page.mouse.down()
    page.mouse.move(*to, steps=6)
    page.mouse.up()


def test_the_handles_turn_and_shift_the_drawing_and_doubt_follows(page):
    page.set_viewport_size({"width": 1200, "height": 1200})  # so that nothing scrolls
    stroke(page, [(110, 90), (170, 88), (155, 125), (135, 170)])  # small, so that the handles lie within the paper
    state_of(page, "sure", "probably")
    before = settled(page)
    top, bottom = middle(page, "#turn-handle"), middle(page, "#shift-handle")
    centre, reach = (top + bottom) / 2, (bottom - top)[1] / 2
    pixel = (reach - 16) / 14  # half of the input's 28 pixels lie between the centre and the edge of a handle
    drag(page, "#turn-handle", centre + np.array([reach, 0]))  # a quarter turn, clockwise
    turned = settled(page, before)
    assert page.inner_text("#turn-value") == "-90°"
    page.click("#upright")
    assert settled(page, turned) == before
    moved = bottom + np.array([3, -2]) * pixel
    drag(page, "#shift-handle", moved)
    settled(page, before)
    assert [page.inner_text(f"#{name}-value") for name in ("right", "down")] == ["3 px", "-2 px"]
    np.testing.assert_allclose(middle(page, "#shift-handle"), moved, atol=2)


def test_arrow_keys_move_the_handles_which_vanish_with_the_drawing(page):
    assert page.locator("#turn-handle").is_hidden()
    stroke(page, SEVEN)
    page.focus("#turn-handle")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Tab", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert page.inner_text("#turn-value") == "-5°"
    assert [page.inner_text(f"#{name}-value") for name in ("right", "down")] == ["2 px", "1 px"]
    page.click("#clear")
    state_of(page, "blank")
    assert page.locator("#shift-handle").is_hidden()


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
    paper = page.locator("#paper").bounding_box()
    for handle in ("#turn-handle", "#shift-handle"):
        box = page.locator(handle).bounding_box()
        assert box["width"] == box["height"] == 44  # WCAG 2.5.5
        assert paper["x"] <= box["x"] <= paper["x"] + paper["width"] - 44
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


def test_a_file_that_is_dropped_on_the_drawing_is_refused_in_words(page):
    stroke(page, SEVEN)
    allowed = page.evaluate("document.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true }))")
    assert not allowed  # the browser does not open the file
    assert "reads drawings" in page.inner_text("#error")
    assert "7" in state_of(page, "sure", "probably")


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


def test_without_a_canvas_a_sentence_says_what_to_do(chromium, port):
    page = chromium.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"http://127.0.0.1:{port}")
    page.wait_for_selector("#error:not([hidden])")
    assert "no canvas to draw on; use a newer one, or cnnlab predict" in page.inner_text("#error")
    assert page.locator("main").evaluate_all("all => all.every((each) => each.hidden)")
    page.close()


def test_a_network_without_dropout_has_bars_without_error_bars_and_says_so(chromium):
    import jax

    network, spec = cnnlab.create_model("lenet5", num_classes=3), cnnlab.InputSpec((28, 28), 1, classes="abc")
    variables = cnnlab.nn.init(network, np.zeros((1, *spec.shape), np.float32), jax.random.key(0))
    own = reader(cnnlab.Trained(variables, network, cnnlab.tasks.Classification(), spec))
    with serving(application(own)) as port:
        page = chromium.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
        stroke(page, SEVEN)
        state_of(page, "sure", "probably", "torn")
        assert "This network has no dropout, so there are no error bars" in page.inner_text("#bars-caption")
        assert page.locator(".whisker:visible").count() == 0
        assert "±" not in page.inner_text("#bars")
        assert page.inner_text("#strange") == "not measured"
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
