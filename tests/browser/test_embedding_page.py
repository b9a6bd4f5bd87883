"""The page of an embedding in Chromium; without Chromium or playwright these tests are skipped."""

import csv
from importlib.resources import files

import numpy as np
import pytest

from cnnlab.embeddings.page import write_page
from cnnlab.embeddings.points import Points

SIDE = 8
"""Images a row and a column of the first projection."""
BAD = "<img src=x onerror=document.title='broken'>"


def grid() -> Points:
    """Returns 64 images on a grid, in four quarters of one class each; the second projection mirrors the first."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    places = np.stack([columns, -rows], 1).astype(np.float32)  # the first row on top
    quarters = ["ant", "bee", "=cat", BAD]
    labels = [quarters[2 * (row >= 4) + (column >= 4)] for row, column in zip(rows, columns, strict=True)]
    names = [f"{row}{column}.png" for row, column in zip(rows, columns, strict=True)]
    names[0], names[1] = BAD, 'a "quoted", name.png'
    confidence = np.linspace(0.5, 1, len(rows))
    confidence[-1] = np.nan
    thumbnails = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None, None], (64, 12, 12, 1))
    neighbours = np.stack([(np.arange(64) + step) % 64 for step in (1, 8, 9)], 1)
    probs = np.full((64, 4), 0.1)
    probs[np.arange(64), [quarters.index(label) for label in labels]] = 0.7
    columns = {"class": labels, "confidence": confidence}
    planes = {"grid": places, "mirrored": places * [-1, 1]}
    return Points(
        planes, thumbnails, names, columns, neighbours, probs, quarters, f"Sixty-four {BAD}", (f"A note {BAD}.",)
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("pages") / "grid.html", grid()).as_uri()


@pytest.fixture
def open_page(chromium, file):
    """Opens the page in a window; at the end it must have requested nothing else and thrown no error."""
    contexts, wrong = [], []

    def opened(width=1200, height=800, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else 0)
        page.on("request", lambda request: wrong.append(request.url) if request.url not in (file, "data:,") else 0)
        page.goto(file)
        page.wait_for_selector("main:not([hidden])")
        page.wait_for_timeout(200)  # until the thumbnails are decoded
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(open_page):
    return open_page()


def spot(page, row, column):
    """Returns the place of an image of the grid in the window while all images are shown."""
    box = page.locator("#marks").bounding_box()
    step = 0.94 * min(box["width"], box["height"]) / (SIDE - 1)
    middle = (SIDE - 1) / 2
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    return x + (column - middle) * step, y + (row - middle) * step


def facts(page):
    """Returns what the panel says of the image in it, by the name of each column."""
    return dict(zip(page.locator("dt").all_inner_texts(), page.locator("dd").all_inner_texts(), strict=True))


def lasso(page, first, last, shift=True):
    """Draws a lasso around a rectangle of the grid with the mouse."""
    (top, left), (bottom, right) = np.subtract(first, 0.2), np.add(last, 0.2)
    if shift:
        page.keyboard.down("Shift")
    page.mouse.move(*spot(page, top, left))
    page.mouse.down()
    for corner in ((top, right), (bottom, right), (bottom, left)):
        page.mouse.move(*spot(page, *corner), steps=5)
    page.mouse.up()
    page.keyboard.up("Shift")


def colour_at(page, row, column):
    """Returns the colour of the dot of an image, as red, green and blue."""
    x, y = spot(page, row, column)
    return page.evaluate(
        """([x, y]) => {
          const canvas = document.getElementById("dots");
          const box = canvas.getBoundingClientRect();
          const image = canvas.getContext("2d").getImageData(x - box.left, y - box.top, 1, 1);
          return [...image.data.slice(0, 3)];
        }""",
        [x, y],
    )


@pytest.mark.quick
def test_pointing_at_an_image_shows_it_with_its_columns_probabilities_and_neighbours(page):
    page.mouse.move(*spot(page, 2, 3))
    page.wait_for_selector("#about:not([hidden])")
    assert facts(page) == {"Name": "23.png", "class": "ant", "confidence": "0.6508"}
    assert page.locator("#probs th").all_inner_texts() == ["ant", "bee", "=cat", BAD]
    assert page.inner_text("#probs tr.best .number") == "70 %"
    near = page.locator("#near button").evaluate_all("all => all.map((each) => each.getAttribute('aria-label'))")
    assert near == ["24.png", "33.png", "34.png"]
    pixel = page.evaluate("[...picture.getContext('2d').getImageData(5, 5, 1, 1).data]")
    assert pixel[:3] == [4 * (2 * SIDE + 3)] * 3


def test_a_neighbour_that_is_pressed_is_shown_and_stays_while_the_pointer_moves(page):
    page.mouse.click(*spot(page, 2, 3))
    page.click("#near button >> nth=1")
    assert facts(page)["Name"] == "33.png"
    page.mouse.move(*spot(page, 5, 5))
    page.wait_for_selector("#tip:not([hidden]) >> text=55.png")
    assert facts(page)["Name"] == "33.png"


@pytest.mark.quick
def test_a_lasso_gives_the_names_inside_it_as_text_and_as_csv(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lasso(page, (0, 0), (1, 1))
    page.wait_for_selector("#selection:not([hidden])")
    assert page.inner_text("#selection-count") == "4 of 64 images (6.3 %)"
    page.click("#copy")
    page.wait_for_selector("#copy:text-is('4 names copied')")
    assert page.evaluate("navigator.clipboard.readText()").split("\n") == [
        BAD,
        'a "quoted", name.png',
        "10.png",
        "11.png",
    ]
    with page.expect_download() as download:
        page.click("#download")
    rows = list(csv.DictReader(download.value.path().read_text(encoding="utf-8-sig").splitlines()))
    assert [row["name"] for row in rows] == [BAD, 'a "quoted", name.png', "10.png", "11.png"]
    assert [row["class"] for row in rows] == ["ant"] * 4
    assert float(rows[0]["confidence"]) == 0.5


def test_the_lasso_counts_classes_and_leaves_hidden_ones_out(page):
    page.check("input[value=lasso]", force=True)
    lasso(page, (3, 3), (4, 4), shift=False)
    assert page.locator("#shares th").all_inner_texts() == ["ant", "bee", "=cat", BAD]
    assert page.locator("#shares .number").all_inner_texts() == ["1 · 25 %"] * 4
    page.click(".legend button >> nth=0")
    lasso(page, (3, 3), (4, 4), shift=False)
    assert page.locator("#shares th").all_inner_texts() == ["bee", "=cat", BAD]
    page.click("#forget")
    assert page.locator("#selection").is_hidden()


def test_no_cell_of_the_csv_is_a_formula_and_an_unknown_number_is_empty(page):
    lasso(page, (7, 0), (7, 0))
    with page.expect_download() as download:
        page.click("#download")
    assert "70.png,'=cat," in download.value.path().read_text(encoding="utf-8-sig")
    lasso(page, (7, 7), (7, 7))
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.path().read_bytes().endswith(f"77.png,{BAD},\r\n".encode())


def test_dots_have_the_colours_of_their_categories_or_numbers_and_the_legend_hides_them(page):
    page.select_option("#images", "never")
    page.wait_for_timeout(100)
    assert colour_at(page, 1, 1) == [0x00, 0x72, 0xB2]
    assert colour_at(page, 1, 6) == [0xE6, 0x9F, 0x00]
    page.click(".legend button >> nth=1")
    page.wait_for_timeout(100)
    ground = colour_at(page, 1.5, 1.5)
    assert colour_at(page, 1, 6) == ground
    page.select_option("#colour", label="confidence")
    page.wait_for_timeout(100)
    assert colour_at(page, 0, 0) == [0x44, 0x01, 0x54]
    assert colour_at(page, 7, 7) == [0x99] * 3
    assert page.locator(".ends span").all_inner_texts() == ["0.5", "0.746", "0.9921"]
    assert "1 unknown, in grey" in page.inner_text("#legend")


def test_thumbnails_appear_with_room_and_give_way_to_dots_if_asked(page):
    assert colour_at(page, 1, 1) == [4 * 9] * 3
    page.select_option("#images", "never")
    page.wait_for_timeout(100)
    assert colour_at(page, 1, 1) == [0x00, 0x72, 0xB2]


def test_another_projection_moves_the_images(page):
    page.select_option("#plane", label="mirrored")
    page.wait_for_timeout(200)
    page.mouse.move(*spot(page, 2, 3))
    page.wait_for_selector("#about:not([hidden])")
    assert facts(page)["Name"] == "24.png"


@pytest.mark.quick
def test_search_counts_names_and_labels_and_enter_goes_from_one_to_the_next(page):
    page.fill("#query", "BEE")
    assert page.inner_text("#hits") == "16 of 64"
    page.fill("#query", "3.png")
    assert page.inner_text("#hits") == "8 of 64"
    page.press("#query", "Enter")
    assert facts(page)["Name"] == "03.png"
    page.press("#query", "Enter")
    assert facts(page)["Name"] == "13.png"
    page.fill("#query", "zebra")
    assert page.inner_text("#hits") == "0 of 64"


def test_wheel_buttons_and_dragging_zoom_and_move_the_map(page):
    place = spot(page, 3, 3)
    page.mouse.move(*place)
    page.mouse.wheel(0, -1000)
    page.wait_for_timeout(100)
    page.mouse.move(place[0] + 2, place[1])
    assert facts(page)["Name"] == "33.png"  # the image under the pointer stays there
    page.mouse.down()
    page.mouse.move(place[0] + 120, place[1] + 80, steps=4)
    page.mouse.up()
    page.mouse.move(place[0] + 121, place[1] + 80)
    page.wait_for_selector("#tip:not([hidden]) >> text=33.png")
    page.click("#fit")
    page.mouse.move(*spot(page, 5, 5))
    page.wait_for_selector("#tip:not([hidden]) >> text=55.png")


def test_the_keyboard_goes_from_image_to_image_zooms_and_lets_go(page):
    page.focus("#marks")
    page.keyboard.press("ArrowRight")
    first = facts(page)["Name"]
    row, column = int(first[0]), int(first[1])
    page.keyboard.press("ArrowRight")
    assert facts(page)["Name"] == f"{row}{column + 1}.png"
    page.keyboard.press("ArrowDown")
    assert facts(page)["Name"] == f"{row + 1}{column + 1}.png"
    assert page.inner_text("#spoken").startswith(f"{row + 1}{column + 1}.png, class ")
    for key in ("+", "+", "Shift+ArrowLeft", "-", "0", "Enter"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    assert page.locator("#about").is_hidden()


def test_names_and_labels_that_hold_html_stay_text(page):
    page.mouse.click(*spot(page, 0, 0))
    lasso(page, (4, 4), (7, 7))
    assert facts(page)["Name"] == BAD
    assert BAD in page.inner_text("#legend")
    assert BAD in page.inner_text("#notes")
    assert page.inner_text("h1") == f"Sixty-four {BAD}"
    assert page.locator("img").count() == 0
    assert page.title() == f"Sixty-four {BAD}"


def test_the_policy_refuses_every_connection(chromium, file):
    page = chromium.new_page()
    page.goto(file)
    refused = page.evaluate(
        """() => new Promise((resolve) => {
          const refused = [];
          document.addEventListener("securitypolicyviolation", (event) => {
            refused.push(event.effectiveDirective);
            if (refused.length === 3) resolve(refused.sort());
          });
          fetch("http://127.0.0.1:9/").catch(() => {});
          new Image().src = "http://127.0.0.1:9/a.png";
          document.body.append(Object.assign(document.createElement("script"), { text: "document.title = 'run'" }));
        })"""
    )
    assert refused == ["connect-src", "img-src", "script-src-elem"]
    assert page.title() != "run"
    page.close()


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width=width)
    lasso(page, (2, 2), (5, 5))
    page.mouse.move(*spot(page, 2, 3))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#marks").bounding_box()
    assert box["width"] >= 0.65 * width - 60 or width > 900
    assert box["height"] >= 300


def test_two_fingers_zoom(open_page):
    page = open_page(width=400, has_touch=True)
    box = page.locator("#marks").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, *spread):
        points = [{"x": x + side * gap, "y": y, "id": side} for gap in spread for side in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = page.evaluate("dots.toDataURL()")
    touch("touchStart", 20)
    for gap in (30, 40, 60):
        touch("touchMove", gap)
    touch("touchEnd")
    page.wait_for_timeout(100)
    assert page.evaluate("dots.toDataURL()") != before
    assert page.locator("#selection").is_hidden()


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(open_page, scheme, width):
    axe = pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python")
    page = open_page(width=width, color_scheme=scheme, bypass_csp=True)
    lasso(page, (2, 2), (5, 5))
    page.mouse.click(*spot(page, 2, 3))
    page.click(".legend button >> nth=0")
    page.click("summary")
    page.evaluate((files(axe) / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_without_scripts_a_sentence_says_what_to_do(chromium, file):
    page = chromium.new_page(java_script_enabled=False)
    page.goto(file)
    assert "needs JavaScript" in page.inner_text("noscript")
    page.close()
