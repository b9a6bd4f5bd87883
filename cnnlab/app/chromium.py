"""The page of an application in Chromium, for measurements and pictures; it needs the extra `browser`."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cnnlab.app.refusals import App
from cnnlab.app.server import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATH = "/usr/bin/chromium"
PAPER = 280
"""Height and width of the paper, in the units of strokes."""


@contextlib.contextmanager
def page_of(app: App, *, browser: str = PATH, **window: Any) -> Iterator["Page"]:
    """Serves an application and yields its page in Chromium, once the page shows what the server says of itself.

    Args:
      app: application of `draw.py`.
      browser: path of Chromium.
      **window: options of the window, as Playwright's `new_page` takes them.
    """
    from playwright.sync_api import sync_playwright

    with serving(app) as url, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(**window)
        page.goto(url)
        page.wait_for_selector("main:not([hidden])")
        yield page
        chromium.close()


def stroke(page: "Page", points: Sequence[tuple[float, float]], *, steps: int = 6, wait: float = 0) -> None:
    """Draws a stroke on the paper with the mouse.

    Args:
      page: page of `page_of`.
      points: corners `(x, y)` of the stroke, in 0..`PAPER` from the upper left.
      steps: moves of the mouse from corner to corner.
      wait: milliseconds to wait after each corner.
    """
    box = page.locator("#paper").bounding_box()
    places = [(box["x"] + x * box["width"] / PAPER, box["y"] + y * box["height"] / PAPER) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=steps)
        if wait:
            page.wait_for_timeout(wait)
    page.mouse.up()
