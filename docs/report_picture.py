"""Draws docs/report.png, the beginning of a report: python docs/report_picture.py RUN [--browser PATH].

It needs the extra `browser`, and Chromium. The picture on the page is of the run of
`cnnlab train digits-lenet5 --training.epochs 4`.
"""

import tempfile
from pathlib import Path

import tyro
from playwright.sync_api import sync_playwright

from cnnlab.app.chromium import PATH
from cnnlab.reports import write_report


def main(
    run: tyro.conf.Positional[Path],
    /,
    output: Path = Path(__file__).parent / "report.png",
    browser: str = PATH,
    height: int = 1250,
) -> None:
    """Writes the report of a run and stores a picture of its beginning.

    Args:
        run: run directory.
        output: file of the picture.
        browser: path of Chromium.
        height: pixels of the page that are shown.
    """
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        page = play.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page(
            viewport={"width": 1000, "height": height}
        )
        page.goto(write_report(run, Path(folder) / "report.html").resolve().as_uri())
        page.screenshot(path=output)


if __name__ == "__main__":
    tyro.cli(main)
