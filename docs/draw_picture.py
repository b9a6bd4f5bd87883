"""Draws docs/draw.png, the picture of the page of `cnnlab draw`: python docs/draw_picture.py RUN [--browser PATH].

RUN is a run that reads drawings, such as that of `cnnlab train strokes-lenet5`. It needs the extras `app` and
`browser`, and Chromium.
"""

import threading
from pathlib import Path

import numpy as np
import tyro

import cnnlab
from cnnlab.app import server
from cnnlab.app.draw import application
from cnnlab.app.reading import reader
from cnnlab.training.restore import load_data

_ANGLES = np.deg2rad(np.linspace(260, 0, 28))  # counter-clockwise on the paper, from the open top to the right
NINE = [(135 + 48 * x, 105 + 44 * y) for x, y in zip(np.cos(_ANGLES), np.sin(_ANGLES), strict=True)]
NINE += [(183, 70), (180, 150), (170, 238)]
"""An open 9 in 280 units of the paper, which could be a 4."""


def main(
    run: tyro.conf.Positional[Path],
    /,
    output: Path = Path(__file__).parent / "draw.png",
    browser: str = "/usr/bin/chromium",
    width: int = 1200,
    dark: bool = False,
) -> None:
    """Draws an open 9 on the page of a run and stores a picture of the page.

    Args:
        run: run directory.
        output: file of the picture.
        browser: path of Chromium.
        width: width of the window in pixels.
        dark: whether the page has dark colours.
    """
    from playwright.sync_api import sync_playwright

    own = reader(cnnlab.load(run), load_data(run))
    own.warm()
    ready, listener = threading.Event(), server.bind(port=0)
    running = server.create_server(application(own, name=run.name), listener, ready=lambda _: ready.set())
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    ready.wait()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            scheme = "dark" if dark else "light"
            page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page.goto(server.address(listener))
            page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
            _draw(page)
            page.screenshot(path=output, full_page=True)
            chromium.close()
    finally:
        running.should_exit = True
        thread.join()


def _draw(page) -> None:
    """Draws the 9, lays the map of the first guess over it, and looks at a unit."""
    box = page.locator("#paper").bounding_box()
    scale = box["width"] / 280
    for i, (x, y) in enumerate(NINE):
        page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=2)
        if i == 0:
            page.mouse.down()
    page.mouse.up()
    page.click("[aria-label='conv2, unit 3']")
    page.wait_for_selector("#unit:not([hidden])")
    page.check("input[name=why][value='0']", force=True)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(2000)


if __name__ == "__main__":
    tyro.cli(main)
