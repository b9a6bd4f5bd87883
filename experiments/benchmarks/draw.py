"""Milliseconds from a stroke to the bars on the page of `cnnlab draw`, measured in Chromium.

    python experiments/benchmarks/draw.py RUN [--strokes 60] [--browser PATH] [--json]

RUN is a run that reads drawings. The script needs the extras `app` and `browser`. The mouse draws strokes as a person
does, sixty moves a second. For each answer the page notes the time from the pointer's event to the bars that show it.
While an answer is computed, newer events wait for the next one, so a time may hold two computations. The page also
shows the feature maps of every layer meanwhile.
"""

import json
import os
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import cnnlab
from cnnlab.app.chromium import PAPER, PATH, page_of, stroke
from cnnlab.app.draw import application
from cnnlab.app.reading import PASSES, reader
from cnnlab.training.restore import load_data

FRAME = 1000 / 60  # milliseconds between two moves


def main(
    run: tyro.conf.Positional[Path],
    /,
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    strokes: int = 60,
    passes: int = PASSES,
    browser: str = PATH,
) -> dict:
    """Draws strokes and prints the quantiles of the times.

    Args:
        run: run directory.
        json_only: print one JSON object.
        strokes: number of strokes.
        passes: number of MC-Dropout passes.
        browser: path of Chromium.
    """
    own = reader(cnnlab.load(run), load_data(run), passes=passes)
    own.warm()
    with page_of(application(own), browser=browser, viewport={"width": 1200, "height": 900}) as page:
        page.wait_for_selector("#state[data-kind=blank]:not(:empty)")
        times = _draw(page, strokes)
    report = {f"p{q}_ms": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)}
    report |= {"answers": len(times), "passes": passes, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    if json_only:
        print(json.dumps(report))
    else:
        print("\n".join(f"{name:10} {value}" for name, value in report.items()))
    return report


def _draw(page, strokes: int) -> list[float]:
    rng, along = np.random.default_rng(0), np.linspace(0, 3, 28)
    for i in range(strokes):
        if i % 4 == 0:
            page.click("#clear")
        corners = rng.uniform(0.15, 0.85, (4, 2)) * PAPER
        points = [tuple(np.interp(at, range(4), axis) for axis in corners.T) for at in along]
        stroke(page, points, steps=1, wait=FRAME)
        page.wait_for_timeout(100)
    return page.evaluate("performance.getEntriesByName('stroke to bars').map((entry) => entry.duration)")


if __name__ == "__main__":
    tyro.cli(main)
