"""What a network says of a drawing: its guesses, feature maps, units and class activation maps, as JSON types."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab.anatomy.views import views
from cnnlab.app.doubt import Familiar, State, fit_familiar, image_features, state, strangeness
from cnnlab.app.drawing import MNIST, PAGE, Seen, measure, to_input
from cnnlab.app.refusals import Refusal
from cnnlab.data import Dataset, Examples, normalise
from cnnlab.errors import unknown
from cnnlab.explain.cam import grad_cam_map
from cnnlab.explain.compute import explain_by
from cnnlab.explain.taps import Layer, find_layers, is_spatial, logits_shape, run_all
from cnnlab.features.layers import convolutions
from cnnlab.features.patches import TopPatches, top_patches_by_layer
from cnnlab.runtime.compile import jit
from cnnlab.tasks.task import complete, task_name
from cnnlab.trained import Trained, outputs
from cnnlab.uncertainty.dropout import has_dropout
from cnnlab.uncertainty.monte_carlo import mc_moments

PASSES = 30

_LARGEST_INPUT = 64  # pixels of a side, above which the page takes photos and no drawings
_MOST_LAYERS, _MOST_UNITS, _MOST_SLICES = 8, 64, 16  # that the page shows
_PATCHES, _SCANNED = 9, 5000  # top patches of each unit, among this many training images


class Drawing(NamedTuple):
    """A drawing on the page.

    Attributes:
      pixels: `[PAGE, PAGE]` uint8, white ink on black.
      turn: rotation in degrees, counter-clockwise.
      shift: shift to the right and down in pixels of the network's input.
    """

    pixels: np.ndarray
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)


class Unit(NamedTuple):
    """A unit of a layer and the drawing at which it is looked at."""

    drawing: Drawing
    layer: str
    number: int


class Reader(NamedTuple):
    """The functions that read drawings; each returns JSON types.

    Attributes:
      about: what a page must know before the first drawing.
      guess: function of a drawing: input, guesses, probabilities with their spread, and the state in words.
      layers: function of a drawing: the feature maps of the layers.
      maps: function of a drawing: Grad-CAM of the first and the second guess.
      unit: function of a unit: its filter, its top patches and its receptive field.
      warm: function that compiles all programs.
    """

    about: dict[str, Any]
    guess: Callable[[Drawing], dict[str, Any]]
    layers: Callable[[Drawing], dict[str, Any]]
    maps: Callable[[Drawing], dict[str, Any]]
    unit: Callable[[Unit], dict[str, Any]]
    warm: Callable[[], None]


def reads_drawings(trained: Trained) -> bool:
    """Returns whether a network can read drawings: it chooses one class for a small image of one channel."""
    spec, task = trained.spec, complete(trained.task)
    return task.decides and spec.channels == 1 and max(spec.size) <= _LARGEST_INPUT


def reader(trained: Trained, dataset: Dataset | None = None, *, passes: int = PASSES, seed: int = 0) -> Reader:
    """Returns the functions that read drawings by a network.

    Args:
      trained: network of a task that `reads_drawings`.
      dataset: data of its training. Without them drawings lie as MNIST's digits, and neither strangeness nor top
        patches are known.
      passes: number of MC-Dropout passes; a network without dropout takes one pass.
      seed: seed of the dropout masks, which are the same for every drawing.

    Raises:
      ValueError: the network cannot read drawings.
    """
    if not reads_drawings(trained):
        raise ValueError(
            f"drawings need a network that chooses one class for a grey image of at most {_LARGEST_INPUT} pixels, this "
            f"one is for {task_name(trained.task)} of {'x'.join(map(str, trained.spec.shape))}"
        )
    spec, key = trained.spec, jax.random.key(seed)
    passes = passes if has_dropout(trained) else 0
    lie, familiar, patches = MNIST, None, {}
    shown = _shown_layers(trained)
    if dataset is not None:
        train = dataset["train"]
        lie = measure(_some(train, 300)["image"])
        familiar = fit_familiar(trained, train, dataset["validation"])
        scanned = Examples(_some(train, _SCANNED))
        patches = top_patches_by_layer(trained, scanned, [layer.name for layer in shown], count=_PATCHES)
    kernels = _kernels(trained)
    fields = views(trained.network, spec.shape, {layer.name for layer in shown})

    def see(drawing: Drawing) -> Seen:
        return to_input(drawing.pixels, lie, spec, turn=drawing.turn, shift=drawing.shift)

    def judged(drawing: Drawing, seen: Seen) -> tuple[np.ndarray, np.ndarray | None, float | None, State]:
        mean, variance, far = jax.device_get(_guess(trained, familiar, seen.image[None], key, passes))
        deviation = None if variance is None else np.sqrt(np.maximum(variance[0], 0))
        far = None if far is None else float(far[0])
        if not (drawing.pixels >= 128).any():
            return mean[0], deviation, far, State("blank", "")
        return mean[0], deviation, far, state(mean[0], deviation, far, spec.classes)

    def guess(drawing: Drawing) -> dict[str, Any]:
        seen = see(drawing)
        mean, deviation, far, own = judged(drawing, seen)
        order = np.argsort(-mean, kind="stable")[:2]
        return {
            "seen": _picture(seen.image),
            "matrix": np.round(seen.matrix, 4).tolist(),
            "guesses": [spec.classes[i] for i in order],
            "mean": _rounded(mean),
            "deviation": None if deviation is None else _rounded(deviation),
            "strangeness": None if far is None else round(far, 4),
            "state": own.kind,
            "words": own.words,
        }

    def layers(drawing: Drawing) -> dict[str, Any]:
        values = jax.device_get(_outputs(trained, see(drawing).image[None], shown))
        return {"layers": [_maps_of(layer, each[0]) for layer, each in zip(shown, values, strict=True)]}

    def maps(drawing: Drawing) -> dict[str, Any]:
        seen = see(drawing)
        order = np.argsort(-judged(drawing, seen)[0], kind="stable")[:2]
        if not any(map(is_spatial, find_layers(trained))):
            return {"maps": [], "remark": "this network has no feature maps that a map could show"}
        images = np.repeat(seen.image[None], len(order), 0)
        made = np.asarray(explain_by(grad_cam_map, trained, images, order, reads_layer=True, remark=False).map)
        names = [spec.classes[i] for i in order]
        return {"maps": [{"class": name} | _grey(each) for name, each in zip(names, made, strict=True)]}

    def unit(asked: Unit) -> dict[str, Any]:
        layer = _layer_of(shown, asked)
        values = jax.device_get(_outputs(trained, see(asked.drawing).image[None], (layer,)))[0][0]
        own = values[..., asked.number]
        place = np.array(np.unravel_index(own.argmax(), own.shape)) if own.ndim else np.zeros(2, int)
        out = {"layer": layer.name, "unit": asked.number, "activation": round(float(own.max()), 4)}
        out |= {"box": fields[layer.name].boxes(place).tolist()}
        if layer.name in kernels:
            out["filter"] = _filter(kernels[layer.name][..., asked.number])
        if layer.name in patches:
            out["patches"] = _patches(patches[layer.name], asked.number)
        return out

    blank = Drawing(np.zeros((PAGE, PAGE), np.uint8))

    def warm() -> None:
        drawing = Drawing(np.pad(np.full((PAGE // 2, 9), 255, np.uint8), ((35, 35), (60, PAGE - 69))))
        for each in (blank, drawing):
            guess(each), layers(each), maps(each)
        for layer in shown:
            unit(Unit(drawing, layer.name, 0))

    about = {
        "kind": "drawing",
        "classes": list(spec.classes),
        "size": list(spec.size),
        "page": PAGE,
        "passes": passes,
        "familiar": familiar is not None,
        "lie": lie._asdict(),
        "layers": [{"name": layer.name, "units": layer.shape[-1]} for layer in shown],
    }
    return Reader(about, guess, layers, maps, unit, warm)


@jit(static_argnames="passes")
def _guess(
    trained: Trained, familiar: Familiar | None, images: jax.Array, key: jax.Array, passes: int
) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """Returns mean and variance of the probabilities `[B, k]`, and the strangeness `[B]`."""
    far = None if familiar is None else strangeness(familiar, image_features(trained, images))
    if not passes:
        return outputs(trained, images)["probs"], None, far
    stats = mc_moments(trained, images, key, num_samples=passes)
    return stats.mean["probs"], stats.variance["probs"], far


@jit(static_argnames="layers")
def _outputs(trained: Trained, images: jax.Array, layers: tuple[Layer, ...]) -> list[jax.Array]:
    values = run_all(trained, normalise(images, trained.spec), layers)[1]
    return [jnp.asarray(each, jnp.float32) for each in values]


def _shown_layers(trained: Trained) -> tuple[Layer, ...]:
    """Returns the layers that a page shows, evenly spaced among many: feature maps and vectors, without the logits."""
    known = {layer.name: layer for layer in find_layers(trained)}
    maps = {convolution.maps for convolution in convolutions(trained)}
    shape = logits_shape(trained)
    chosen = [
        layer for name, layer in known.items() if name in maps or (len(layer.shape) == 2 and layer.shape != shape)
    ]
    some = np.unique(np.linspace(0, len(chosen) - 1, min(len(chosen), _MOST_LAYERS)).astype(int))
    return tuple(chosen[i] for i in some)


def _kernels(trained: Trained) -> dict[str, np.ndarray]:
    """Returns the kernel `[h, w, c, C]` of each convolution by the name of the layer that holds its feature maps."""
    out = {}
    for convolution in convolutions(trained):
        params: Mapping[str, Any] = trained.variables["params"]
        for part in convolution.name.split("/"):
            params = params.get(part, {})
        if "kernel" in params:
            out[convolution.maps] = np.asarray(params["kernel"])
    return out


def _layer_of(shown: tuple[Layer, ...], asked: Unit) -> Layer:
    layer = next((layer for layer in shown if layer.name == asked.layer), None)
    if layer is None:
        raise Refusal(422, str(unknown("layer", asked.layer, [layer.name for layer in shown])))
    if not 0 <= asked.number < layer.shape[-1]:
        raise Refusal(422, f"unit must lie in 0..{layer.shape[-1] - 1} for {layer.name}, found {asked.number}")
    return layer


def _some(examples: Examples, number: int) -> dict[str, np.ndarray]:
    return examples[np.unique(np.linspace(0, len(examples) - 1, min(number, len(examples))).astype(int))]


def _maps_of(layer: Layer, values: np.ndarray) -> dict[str, Any]:
    """Returns the first units of a layer one below the other, what is not positive as black."""
    positive = np.maximum(values[..., :_MOST_UNITS], 0)
    maps = np.moveaxis(positive, -1, 0) if values.ndim == 3 else positive[:, None, None]
    return {"name": layer.name, "of": layer.shape[-1], "units": len(maps)} | _grey(maps)


def _grey(values: np.ndarray) -> dict[str, Any]:
    """Returns values of 0 or more `[..., h, w]` as grey pixels, the largest one white."""
    largest = float(values.max(initial=0))
    return _picture(np.round(values * (255 / max(largest, 1e-12))).astype(np.uint8)[..., None]) | {"largest": largest}


def _filter(kernel: np.ndarray) -> dict[str, Any]:
    """Returns a kernel `[h, w, c]` as grey pixels, one channel below the other; 128 stands for 0."""
    largest = float(np.abs(kernel).max(initial=1e-12))
    grey = np.round(128 + 127 / largest * np.moveaxis(kernel[..., :_MOST_SLICES], -1, 0)).astype(np.uint8)
    return _picture(grey[..., None]) | {"largest": largest, "slices": len(grey), "of": kernel.shape[-1]}


def _patches(best: TopPatches, unit: int) -> dict[str, Any]:
    """Returns the top patches of a unit, one below the other."""
    patches = best.patches([unit])[0]
    if patches.dtype != np.uint8:
        patches = np.round(255 * patches).astype(np.uint8)
    return _picture(patches) | {"number": len(patches), "values": _rounded(best.values[unit])}


def _picture(pixels: np.ndarray) -> dict[str, Any]:
    """Returns pixels `[..., h, w, 1]` uint8 as width and base64 of the bytes, row by row."""
    grey = np.ascontiguousarray(pixels[..., 0])
    return {"width": grey.shape[-1], "height": grey.shape[-2], "pixels": base64.b64encode(grey.data).decode()}


def _rounded(values: np.ndarray) -> list[float]:
    return np.round(values.astype(float), 5).tolist()
