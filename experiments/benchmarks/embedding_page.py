"""Frames a second of the page of an embedding while it pans, measured in Chromium.

    python experiments/benchmarks/embedding_page.py [--points 10000 50000] [--browser PATH] [--json] [--record]

It needs the extra `browser`. The points are sixteen normal clouds with enlarged digits of scikit-learn as thumbnails of
28x28 pixels. The window has 1200x800 pixels. A pointer that a script moves by 3 pixels a frame drags the map, once
while it shows all images and once zoomed in, where it shows thumbnails; the row `change` counts while the page goes
from one projection to another. `script` is the median time in which the page draws a frame while it pans; the browser
needs more to show it. A frame is a call of `requestAnimationFrame`, so 60 is the most. Headless Chromium draws
in software, on the processor.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from timing import OFF, Options, device, record_rows

from cnnlab.embeddings.page import write_page
from cnnlab.embeddings.points import Points

BROWSER = "/usr/bin/chromium"
SECONDS = 3
_TIMED = """(() => {
  const ask = requestAnimationFrame.bind(window);
  window.spent = [];
  window.requestAnimationFrame = (call) => ask((now) => {
    const started = performance.now();
    call(now);
    spent.push(performance.now() - started);
  });
})()"""
"""Notes the milliseconds of every call before a frame; those of the benchmark's own calls are near 0."""

_COUNT = """([seconds, dragged]) => new Promise((resolve) => {
  const canvas = document.getElementById("marks");
  const box = canvas.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const send = (type, left, top) => canvas.dispatchEvent(new PointerEvent(type, {
    bubbles: true, pointerId: 1, clientX: left, clientY: top }));
  canvas.setPointerCapture = () => {};
  if (dragged) send("pointerdown", x, y);
  let frames = 0;
  const started = performance.now();
  const frame = (now) => {
    const angle = frames * 0.03;
    if (dragged) send("pointermove", x + 100 * Math.sin(angle), y + 100 * Math.cos(angle));
    if (performance.now() - started < 1000 * seconds) {
      frames += 1;
      requestAnimationFrame(frame);
    } else {
      if (dragged) send("pointerup", x, y);
      resolve(1000 * frames / (performance.now() - started));
    }
  };
  requestAnimationFrame(frame);
})"""
"""Drags the map for some seconds and resolves to the frames a second."""


def main(
    points: Sequence[int] = (10_000, 50_000),
    browser: str = BROWSER,
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    recording: Annotated[Options, tyro.conf.arg(name="")] = OFF,
) -> dict:
    """Prints a row for each number of points: the size of the file and the frames a second.

    Args:
        points: numbers of points.
        browser: path of Chromium.
        json_only: print one JSON object.
        recording: whether the results are stored.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = [_measure(Path(folder), number, browser) for number in points]
    record_rows(rows, "page of an embedding", recording)
    report = {"rows": rows, "device": device(), "load": round(os.getloadavg()[0], 1)}
    if json_only:
        print(json.dumps(report))
        return report
    print(f"{'':16}{'MB':>8}{'ready s':>9}{'script ms':>11}{'pan':>8}{'zoomed':>8}{'change':>8}   frames/s")
    for row in rows:
        rates = "".join(f"{value:8.1f}" for value in row["frames_per_second"].values())
        print(f"{row['name']:16}{row['megabytes']:8.2f}{row['ready_s']:9.2f}{row['ms']['script']:11.1f}{rates}")
    return report


def _measure(folder: Path, number: int, browser: str) -> dict:
    from playwright.sync_api import sync_playwright

    file = write_page(folder / f"{number}.html", clouds(number))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1200, "height": 800})
        page.add_init_script(_TIMED)
        page.goto(file.resolve().as_uri())
        page.wait_for_selector("main:not([hidden])")
        ready = page.evaluate("performance.now() / 1000")
        page.wait_for_timeout(3000)  # the picture of the thumbnails is decoded meanwhile
        page.evaluate("spent.length = 0")
        rates = {"pan": page.evaluate(_COUNT, [SECONDS, True])}
        script = page.evaluate("spent.filter((each) => each > 0.3)")
        for _ in range(8):
            page.click("#closer")
        rates["zoomed"] = page.evaluate(_COUNT, [SECONDS, True])
        page.click("#fit")
        page.evaluate("document.getElementById('plane').selectedIndex = 1")
        page.dispatch_event("#plane", "change")
        rates["change"] = page.evaluate(_COUNT, [0.7, False])
        version = chromium.version
        chromium.close()
    fields = {"name": f"{number:,} points", "megabytes": round(file.stat().st_size / 1e6, 2)}
    rates = {name: round(rate, 1) for name, rate in rates.items()}
    fields |= {
        "ready_s": round(ready, 2),
        "frames_per_second": rates,
        "ms": {"script": round(float(np.median(script)), 1)},
    }
    return fields | {"browser": f"Chromium {version}, headless"}


def clouds(number: int) -> Points:
    """Returns points of sixteen normal clouds, with digits as thumbnails."""
    from PIL import Image
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    digits = load_digits()
    which = rng.integers(len(digits.images), size=number)
    large = [
        Image.fromarray(np.uint8(image * 255 / 16)).resize((28, 28), Image.Resampling.BICUBIC)
        for image in digits.images
    ]
    thumbnails = np.stack([np.asarray(image) for image in large])[which, ..., None]
    cloud = rng.integers(16, size=number)
    planes = {name: (rng.uniform(0, 12, (16, 2))[cloud] + rng.normal(size=(number, 2))) for name in ("first", "second")}
    labels = [str(label) for label in digits.target[which]]
    probs = rng.dirichlet(np.ones(10), number)
    columns = {"class": labels, "confidence": probs.max(1)}
    neighbours = rng.integers(number, size=(number, 10))
    names = [f"test {i}" for i in range(number)]
    classes = [str(k) for k in range(10)]
    return Points(planes, thumbnails, names, columns, neighbours, probs, classes, "Sixteen clouds", ())


if __name__ == "__main__":
    tyro.cli(main)
