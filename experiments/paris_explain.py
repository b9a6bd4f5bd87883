"""Why is this pixel an outline? Maps of single pixels that a U-Net takes for outlines of a historical map.

    python experiments/paris_explain.py --atlas DIR [--pixels 6] [--runs runs/paris_explain] [--record]

DIR is the atlas of paris_atlas_unet.py. The network is smaller and shorter than there. All pixels lie in its scoring
strip, and are drawn with a seed from three kinds: outlines that are found, false alarms away from every outline, and
outlines that are missed. A map explains the outline's mean logit over a pixel and its eight neighbours, in a window of
the sheet around them.

`RUNS/pixels.png` shows the first pixel of each kind and its maps. Orange raises the outline's logit, blue lowers it.

The table has for each method the share of maps that are better than a random map and than the window's edges under
deletion, insertion and ROAD, and the distance from the pixel within which half of the map's mass lies, the sum of its
absolute values.

On 2 cores, 2026-11-28, for 18 pixels: of integrated gradients and of occlusion 83 % or more pass each test, and half of
their mass lies within 8 pixels. So this network follows the nearest line and hardly its surroundings, also where it is
wrong. Of Grad-CAM, which reads the bottleneck here, 44 % pass: its weights are means over the window, so it marks all
that looks alike, and half of its mass lies farther away than 48 pixels.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import tyro
from paris_atlas_unet import make_experiment, read
from PIL import Image
from results import OFF, Options
from scipy import ndimage

import cnnlab
from cnnlab import explain
from cnnlab.plots.canvas import new_figure, outline, show
from cnnlab.plots.explanations import overlay_map

METHODS = ("grad_cam", "integrated_gradients", "occlusion")
SCORES = ("deletion", "insertion", "road")
KINDS = ("found", "false alarm", "missed")
GREEN = "#009e73"
APART = 6  # pixels between a false alarm and the next outline


class Pixels(NamedTuple):
    """Pixels in the middle of windows of the sheet.

    Attributes:
      images: `[n, side, side, 3]` uint8.
      kind: `[n]`, index in `KINDS`.
      probability: `[n, side, side]`, of an outline.
    """

    images: np.ndarray
    kind: np.ndarray
    probability: np.ndarray


def main(
    atlas: Path,
    runs: Path = Path("runs/paris_explain"),
    pixels: int = 6,
    seed: int = 0,
    methods: tuple[str, ...] = METHODS,
    layer: str | None = None,
    width: int = 8,
    depth: int = 3,
    epochs: int = 3,
    crops: int = 800,
    window: int = 128,
    columns: tuple[int, int, int] = (4800, 5400, 6288),
    recording: Options = OFF,
) -> dict[str, dict[str, float]]:
    """Trains a U-Net, explains pixels of its scoring strip, judges the maps and draws some of them.

    Args:
        atlas: directory of the data.
        runs: folder of the run and the figure.
        pixels: number of pixels of each kind.
        seed: seed by which they are drawn.
        methods: methods of explanation.
        layer: layer of class activation maps; by default the bottleneck.
        width: channels of the first block.
        depth: number of poolings.
        epochs: number of epochs of `crops` windows.
        crops: windows an epoch.
        window: height and width of a window in pixels, in training and around an explained pixel.
        columns: first column of the choosing strip and of the scoring strip, and the end of the latter.
        recording: whether the results are stored.
    """
    runs.mkdir(parents=True, exist_ok=True)
    edges, content = read(atlas / "edges.png"), read(atlas / "content.png")
    wide = ndimage.binary_dilation(edges, np.ones((3, 3)))
    Image.fromarray(255 * wide.astype(np.uint8)).save(runs / "outlines.png")
    options = {"width": width, "depth": depth, "epochs": epochs, "crops": crops, "window": window, "columns": columns}
    trained = cnnlab.train(
        make_experiment(atlas, runs / "outlines.png", dropout=0.1, batch_size=8, **options), runs / "unet"
    )
    sheet = np.asarray(Image.open(atlas / "sheet.jpg").convert("RGB"))
    found = choose_pixels(trained, sheet, edges, content, columns=columns, side=window, number=pixels, seed=seed)
    print("pixels: " + ", ".join(f"{np.sum(found.kind == k)} {kind}" for k, kind in enumerate(KINDS)))
    middle = np.zeros((window, window), bool)
    middle[window // 2 - 1 :, window // 2 - 1 :][:3, :3] = True
    target = explain.targets.region(1, middle)
    maps, passed, table = {}, {}, {}
    print(f"{'':24}{''.join(f'{score:>12}' for score in SCORES)}  half within (px)")
    for method in methods:
        maps[method] = make_maps(trained, found.images, target, method, layer)
        passed[method] = judge(trained, found.images, maps[method], target)
        table[method] = {score: float(each.mean()) for score, each in passed[method].items()}
        table[method]["half of the mass within (px)"] = float(np.nanmean(reach(maps[method])))
        *shares, pixels_away = table[method].values()
        print(f"{method:24}{''.join(f'{100 * share:11.0f}%' for share in shares)}{pixels_away:18.1f}", flush=True)
        title = f"Paris, atlas of 1926, maps of {len(found.kind)} pixels by {method}"
        recording.add(title, table[method], group="explanations")
    draw(found, maps, passed).savefig(runs / "pixels.png")
    print(runs / "pixels.png")
    return table


def choose_pixels(
    trained: cnnlab.Trained,
    sheet: np.ndarray,
    edges: np.ndarray,
    content: np.ndarray,
    *,
    columns: tuple[int, int, int],
    side: int,
    number: int,
    seed: int,
) -> Pixels:
    """Draws pixels of each kind in the scoring strip, and cuts their windows; a rare kind may have fewer."""
    _, score, end = columns
    left, half = score - side, side // 2
    predicted = cnnlab.predict(trained, sheet[None, :, left:end])
    probability = np.zeros(edges.shape, np.float32)
    probability[:, left:end] = predicted.probs[0, ..., 1]
    usable = np.zeros_like(content)
    usable[half:-half, score : end - half] = content[half:-half, score : end - half]
    far, positive = ndimage.distance_transform_edt(~edges) > APART, probability > 0.5
    rng, cut, kinds = np.random.default_rng(seed), [], []
    for kind, where in enumerate((edges & positive, far & positive, edges & ~positive)):
        for y, x in rng.permutation(np.argwhere(where & usable))[:number]:
            cut.append((slice(y - half, y + half), slice(x - half, x + half)))
            kinds.append(kind)
    return Pixels(
        np.stack([sheet[part] for part in cut]), np.array(kinds), np.stack([probability[part] for part in cut])
    )


def make_maps(
    trained: cnnlab.Trained, images: np.ndarray, target: explain.targets.Target, method: str, layer: str | None
) -> np.ndarray:
    """Computes the maps `[n, side, side]`, by occlusion with windows as small as a line is wide."""
    function = explain.METHODS[method].explain
    if method == "occlusion":
        function = functools.partial(function, window=max(images.shape[1] // 14, 1))
    if explain.METHODS[method].reads_layer:
        function = functools.partial(function, layer=layer or "bottleneck")
    return np.asarray(function(trained, images, target).map)


def judge(
    trained: cnnlab.Trained, images: np.ndarray, maps: np.ndarray, target: explain.targets.Target
) -> dict[str, np.ndarray]:
    """Returns for each test whether each map passes it, `[n]`, by the probability of the outline."""
    value = explain.targets.as_probability(trained, target)
    options = {"key": jax.random.key(0), "scores": SCORES, "explain": lambda *_: maps}  # these scores need no new maps
    return jax.device_get(explain.beats(explain.judge(trained, images, maps, value, **options)))


def reach(maps: np.ndarray) -> np.ndarray:
    """Returns the distance from the middle within which half of each map's mass lies, `[n]`; NaN if there is none."""
    side = maps.shape[1]
    away = np.hypot(*(np.mgrid[:side, :side] - side // 2)).ravel()
    order = away.argsort()
    mass = np.abs(maps).reshape(len(maps), -1)[:, order].cumsum(1)
    half = (mass < mass[:, -1:] / 2).sum(1)
    return np.where(mass[:, -1] > 0, away[order][half], np.nan)


def draw(found: Pixels, maps: dict[str, np.ndarray], passed: dict[str, dict[str, np.ndarray]]):
    """Draws the first pixel of each kind: its window, the probability of an outline, and its maps."""
    shown = [int(np.flatnonzero(found.kind == k)[0]) for k in sorted(set(found.kind))]
    figure, axes = new_figure(len(shown), 2 + len(maps), size=(2.1 * (2 + len(maps)), 2.5 * len(shown) + 0.4))
    figure.suptitle(
        "Why is the pixel in the ring an outline, or why not? Orange raises the outline's logit, blue lowers it",
        fontsize=10,
    )
    half, near = found.images.shape[1] // 2, found.images.shape[1] // 6
    for row, i in zip(axes, shown, strict=True):
        show(row[0], found.images[i])
        outline(row[0], np.array([half - near, half - near, half + near, half + near]), "", GREEN)
        row[0].set_title(KINDS[found.kind[i]], fontsize=9, fontweight="bold")
        show(row[1], 1 - found.probability[i, ..., None])
        row[1].set_title(f"outlines; here p = {found.probability[i, half, half]:.2f}", fontsize=8)
        for axis, (method, each) in zip(row[2:], maps.items(), strict=True):
            axis.imshow(overlay_map(found.images[i], each[i]))
            won = ", ".join(score for score in SCORES if passed[method][score][i])
            part = "" if explain.METHODS[method].reads_layer else ", in the square"
            axis.set_title(f"{method.replace('_', ' ')}{part}\npasses {won or 'no test'}", fontsize=8)
            if part:  # these maps end near the pixel
                axis.set(xlim=(half - near - 0.5, half + near - 0.5), ylim=(half + near - 0.5, half - near - 0.5))
        for axis in row:
            axis.plot(half, half, "o", markersize=12, markerfacecolor="none", markeredgecolor=GREEN)
            axis.axis("off")
    return figure


if __name__ == "__main__":
    tyro.cli(main)
