"""Writes docs/embedding_digits.html, an example of the page of `cnnlab embed`, and its picture docs/embedding_page.png.

    python docs/embedding_page.py runs/digits-lenet5 [--browser PATH]

The run is that of `cnnlab train`. The page has 1,300 of its images, so that the file has less than a megabyte. The
script needs the extra `browser`, and Chromium.
"""

import tempfile
from pathlib import Path

import tyro

from cnnlab.app.chromium import PATH
from cnnlab.cli import main as cnnlab

HERE = Path(__file__).parent
COUNT = 1300
IMAGE = "train 1082"
"""An 8, one of whose nearest neighbours is a 1."""


def main(run: tyro.conf.Positional[Path], /, output: Path = HERE, browser: str = PATH, dark: bool = False) -> None:
    """Writes the page and its picture.

    Args:
        run: run directory.
        output: folder of the page and of its picture.
        browser: path of Chromium.
        dark: whether the picture has dark colours.
    """
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "embedding_digits.html"
        splits = ["--split", "train", "validation", "test", "--count", str(COUNT)]
        cnnlab(["embed", str(run), *splits, "--mc", "30", "--output", str(page)])
        (output / page.name).write_bytes(page.read_bytes())
    photograph(output / page.name, output / "embedding_page.png", browser, "dark" if dark else "light")


def photograph(page: Path, picture: Path, browser: str, scheme: str) -> None:
    """Stores a picture of the page, zoomed in around an image."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        window = chromium.new_page(viewport={"width": 1200, "height": 860}, color_scheme=scheme)
        window.goto(page.resolve().as_uri())
        window.wait_for_selector("main:not([hidden])")
        window.select_option("#colour", label="class")
        window.fill("#query", IMAGE)
        window.press("#query", "Enter")
        window.fill("#query", "")
        for _ in range(2):
            window.click("#farther")
        window.wait_for_timeout(1000)  # the thumbnails are decoded meanwhile
        window.evaluate("document.activeElement.blur()")
        window.screenshot(path=picture)
        chromium.close()


if __name__ == "__main__":
    tyro.cli(main)
