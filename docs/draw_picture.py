"""Draws docs/draw.png, the picture of the page of `cnnlab draw`: python docs/draw_picture.py RUN [--browser PATH].

RUN is a run that reads drawings, such as that of `cnnlab train strokes-lenet5`. It needs the extras `app` and
`browser`, and Chromium.
"""

from pathlib import Path

import numpy as np
import tyro

import cnnlab
from cnnlab.app.chromium import PATH, page_of, stroke
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
    browser: str = PATH,
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
    own = reader(cnnlab.load(run), load_data(run))
    own.warm()
    scheme = "dark" if dark else "light"
    viewport = {"width": width, "height": 900}
    with page_of(application(own, name=run.name), browser=browser, viewport=viewport, color_scheme=scheme) as page:
        _draw(page)
        page.screenshot(path=output, full_page=True)


def _draw(page) -> None:
    """Draws the 9, lays the map of the first guess over it, and looks at a unit."""
    stroke(page, NINE, steps=2)
    page.click("[aria-label='conv2, unit 3']")
    page.wait_for_selector("#unit:not([hidden])")
    page.check("input[name=why][value='0']", force=True)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(2000)


if __name__ == "__main__":
    tyro.cli(main)
