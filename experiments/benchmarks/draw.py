"""Milliseconds from a stroke to the bars on the page of `cnnlab draw`, measured in Chromium.

    python experiments/benchmarks/draw.py RUN [--strokes 60] [--browser PATH] [--json]

RUN is a run that reads drawings. The script needs the extras `app` and `browser`. The mouse draws strokes as a person
does, sixty moves a second. For each answer the page notes the time from the pointer's event to the bars that show it.
While an answer is computed, newer events wait for the next one, so a time may hold two computations. The page also
shows the feature maps of every layer meanwhile.
"""

import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import cnnlab
from cnnlab.app import server
from cnnlab.app.draw import application
from cnnlab.app.reading import PASSES, reader
from cnnlab.training.restore import load_data

FRAME = 1 / 60  # seconds between two moves


def main(
    run: tyro.conf.Positional[Path],
    /,
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    strokes: int = 60,
    passes: int = PASSES,
    browser: str = "/usr/bin/chromium",
) -> dict:
    """Draws strokes and prints the quantiles of the times.

    Args:
        run: run directory.
        json_only: print one JSON object.
        strokes: number of strokes.
        passes: number of MC-Dropout passes.
        browser: path of Chromium.
    """
    from playwright.sync_api import sync_playwright

    own = reader(cnnlab.load(run), load_data(run), passes=passes)
    own.warm()
    ready, listener = threading.Event(), server.bind(port=0)
    running = server.create_server(application(own), listener, ready=lambda _: ready.set())
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    ready.wait()
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            page = chromium.new_page(viewport={"width": 1200, "height": 900})
            page.goto(server.address(listener))
            page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
            times = _draw(page, strokes)
            chromium.close()
    finally:
        running.should_exit = True
        thread.join()
    report = {f"p{q}_ms": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)}
    report |= {"answers": len(times), "passes": passes, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    if json_only:
        print(json.dumps(report))
    else:
        print("\n".join(f"{name:10} {value}" for name, value in report.items()))
    return report


def _draw(page, strokes: int) -> list[float]:
    rng = np.random.default_rng(0)
    box = page.locator("#paper").bounding_box()
    for i in range(strokes):
        if i % 4 == 0:
            page.click("#clear")
        points = box["x"] + rng.uniform(0.15, 0.85, (4, 2)) * box["width"]
        points[:, 1] += box["y"] - box["x"]
        page.mouse.move(*points[0])
        page.mouse.down()
        for start, end in itertools.pairwise(points):
            for share in np.linspace(0, 1, 10)[1:]:
                page.mouse.move(*(start + share * (end - start)))
                time.sleep(FRAME)
        page.mouse.up()
        page.wait_for_timeout(100)
    return page.evaluate("performance.getEntriesByName('stroke to bars').map((entry) => entry.duration)")


if __name__ == "__main__":
    tyro.cli(main)
