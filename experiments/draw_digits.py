"""How well the page of `cnnlab draw` reads MNIST's digits, drawn again with its own pen.

    python experiments/draw_digits.py RUN --mnist DIR [--limit 10000] [--browser /usr/bin/chromium] [--record]

RUN is a run that reads drawings, such as those of `cnnlab train strokes-lenet5` and `cnnlab train --data.name mnist`.
DIR holds MNIST's published files. Each test digit is thinned to a line of one pixel, which is followed from end to end
and replayed in a browser as pointer events, in three pen widths. So its pixels pass through the page's pen and through
all that the server does before the network. Thinning itself changes some digits: small loops close.

It also measures the state in words: how often a digit counts as never seen, how often scribbles and letters do, and how
often the answer is right where it is `sure`. It needs the extras `app`, `browser` and `shapes`,
and Chromium.
"""

import base64
import gzip
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro
from results import OFF, Options
from study import show

import cnnlab
from cnnlab.app.chromium import PATH, page_of
from cnnlab.app.doubt import fit_familiar, image_features, state, strangeness
from cnnlab.app.draw import application
from cnnlab.app.drawing import PAGE, Lie, measure, to_input
from cnnlab.app.reading import reader
from cnnlab.training.restore import load_data
from cnnlab.uncertainty.dropout import has_dropout

WIDTHS = {"thin": 10, "medium": 18, "thick": 30}  # of 280 units of the paper
LETTERS = "ACEFGHJKMNPRTUVWXYabdefhkmnprtuwxy&%#@?"
_BATCH = 100

_REPLAY = """async ([digits, width, page]) => {
  const [{ createDrawing }, { listen }] = await Promise.all([import("/page/drawing.js"), import("/page/canvas.js")]);
  const canvas = document.createElement("canvas");
  Object.assign(canvas.style, { position: "fixed", left: 0, top: 0, width: "280px", height: "280px" });
  document.body.append(canvas);
  const drawing = createDrawing(page);
  const nothing = () => {};
  listen(canvas, drawing, { pen: () => ({ width, erase: false }), toDrawing: (point) => point, changed: nothing,
    moved: nothing, lifted: nothing, clear: nothing });
  const all = new Uint8Array(digits.length * page * page);
  digits.forEach((strokes, i) => {
    drawing.clear();
    for (const stroke of strokes) {
      stroke.forEach(([clientX, clientY], j) => canvas.dispatchEvent(new PointerEvent(
        j ? "pointermove" : "pointerdown", { clientX, clientY, pointerId: 1, button: j ? -1 : 0, buttons: 1 })));
      canvas.dispatchEvent(new PointerEvent("pointerup", { pointerId: 1 }));
    }
    all.set(drawing.pixels(), i * page * page);
  });
  canvas.remove();
  const parts = [];
  for (let i = 0; i < all.length; i += 32768) parts.push(String.fromCharCode(...all.subarray(i, i + 32768)));
  return btoa(parts.join(""));
}"""


def read_idx(path: Path) -> np.ndarray:
    """Reads an array of bytes in the format of MNIST's files, packed by gzip."""
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def strokes_of(image: np.ndarray) -> list[list[list[float]]]:
    """Thins a digit `[28, 28]` uint8 and follows its lines; returns strokes of points in 280 units of the paper."""
    from scipy.ndimage import zoom
    from skimage.morphology import skeletonize

    fine = 4
    thin = skeletonize(zoom(image.astype(np.float32), fine, order=1, grid_mode=True, mode="grid-constant") > 127)
    left = set(map(tuple, np.argwhere(thin).tolist()))

    def near(point: tuple[int, int]) -> list[tuple[int, int]]:
        row, column = point
        straight = [(row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column)]
        diagonal = [(row + 1, column + 1), (row + 1, column - 1), (row - 1, column + 1), (row - 1, column - 1)]
        return [each for each in straight + diagonal if each in left]

    lines = []
    while left:
        point = min([each for each in left if len(near(each)) <= 1] or left)
        line = [point]
        left.discard(point)
        while following := near(line[-1]):
            if len(line) > 3:  # straight on at a crossing
                ahead = np.subtract(line[-1], line[-4])
                steps = [np.subtract(each, line[-1]) for each in following]
                best = int(np.argmax([ahead @ step / np.linalg.norm(step) for step in steps]))
            else:
                best = 0
            line.append(following[best])
            left.discard(following[best])
        lines.append(line)
    long = [line for line in lines if len(line) > 3] or lines
    scale = 10 / fine
    return [[[(column + 0.5) * scale, (row + 0.5) * scale] for row, column in line] for line in long]


def replayed(page: Any, digits: list[list], width: float) -> np.ndarray:
    """Draws digits on the page and returns what it would send, `[n, PAGE, PAGE]` uint8."""
    parts = [
        base64.b64decode(page.evaluate(_REPLAY, [digits[i : i + _BATCH], width, PAGE]))
        for i in range(0, len(digits), _BATCH)
    ]
    return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, PAGE, PAGE)


def scribbles(number: int, seed: int = 0) -> list[list]:
    """Returns zigzags over the paper as strokes."""
    rng = np.random.default_rng(seed)
    return [[rng.uniform(40, 240, (rng.integers(10, 25), 2)).tolist()] for _ in range(number)]


def letters() -> np.ndarray:
    """Returns printed letters and signs in three fonts as drawings `[n, PAGE, PAGE]` uint8."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    drawings = []
    for font in ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif"):
        face = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf", 96)
        for letter in LETTERS:
            image = Image.new("L", (PAGE, PAGE))
            ImageDraw.Draw(image).text((PAGE / 2, PAGE / 2), letter, fill=255, font=face, anchor="mm")
            drawings.append(np.asarray(image))
    return np.stack(drawings)


def main(
    run: tyro.conf.Positional[Path],
    /,
    mnist: Path,
    limit: int = 10_000,
    passes: int = 30,
    browser: str = PATH,
    split: str = "t10k",
    title: str = "MNIST",
    recording: Options = OFF,
) -> dict[str, dict[str, float]]:
    """Draws MNIST's digits on the page and prints how they are read.

    Args:
        run: run directory.
        mnist: directory of MNIST's published files.
        limit: number of digits.
        passes: number of MC-Dropout passes.
        browser: path of Chromium.
        split: t10k for the test digits, train for the training digits.
        title: name of the network's data among the results.
        recording: whether the results are stored.
    """
    trained, data = cnnlab.load(run), load_data(run)
    lie = measure(data["train"].column("image"))
    familiar = fit_familiar(trained, data["train"], data["validation"])
    features = cnnlab.jit(image_features)
    key = jax.random.key(0)

    def read(drawings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the label and the kind of state of each drawing."""
        labels, kinds = [], []
        for part in np.array_split(drawings, max(1, len(drawings) // 250)):
            inputs = inputs_of(part, lie, trained)
            if has_dropout(trained):
                prediction = cnnlab.mc_predict(trained, inputs, key=key, num_samples=passes)
                mean, deviation = np.asarray(prediction.mean), np.sqrt(np.asarray(prediction.variance))
            else:
                mean, deviation = np.asarray(cnnlab.predict(trained, inputs).probs), [None] * len(inputs)
            far = np.asarray(strangeness(familiar, features(trained, inputs)))
            labels.append(mean.argmax(-1))
            kinds += [state(*each, trained.spec.classes).kind for each in zip(mean, deviation, far, strict=True)]
        return np.concatenate(labels), np.array(kinds)

    digits = read_idx(mnist / f"{split}-images-idx3-ubyte.gz")[:limit]
    truth = read_idx(mnist / f"{split}-labels-idx1-ubyte.gz")[:limit]
    strokes, tables = [strokes_of(digit) for digit in digits], {}
    with page_of(application(reader(trained)), browser=browser) as page:
        for name, width in WIDTHS.items():
            label, kind = read(replayed(page, strokes, width))
            right = label == truth
            tables[name] = {"accuracy": right.mean(), "never seen": (kind == "strange").mean()}
            tables[name] |= {"sure": (kind == "sure").mean(), "accuracy where sure": right[kind == "sure"].mean()}
            tables[name] |= {"torn": (kind == "torn").mean()}
        others = {"scribbles": replayed(page, scribbles(300), WIDTHS["medium"]), "letters": letters()}
    tables["others"] = {f"never seen, {name}": (read(each)[1] == "strange").mean() for name, each in others.items()}
    for name, table in tables.items():
        what = "scribbles and letters" if name == "others" else f"MNIST's digits drawn again, {name} pen"
        show(f"page of {title}, {what}", table, recording, group="classification")
    return tables


def inputs_of(drawings: np.ndarray, lie: Lie, trained: cnnlab.Trained) -> np.ndarray:
    """Returns drawings as the network sees them, `[n, H, W, C]` uint8."""
    return np.stack([to_input(drawing, lie, trained.spec).image for drawing in drawings])


if __name__ == "__main__":
    tyro.cli(main)
