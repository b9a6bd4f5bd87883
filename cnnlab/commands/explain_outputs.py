"""The output of `cnnlab explain`: a figure for each image, the maps as arrays, and one JSON file."""

import io
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnlab.commands.common import Misuse, print_json
from cnnlab.commands.explain_inputs import Input
from cnnlab.commands.explain_request import Request
from cnnlab.errors import check_known
from cnnlab.explain.classes import check_has_classes, dominant_classes
from cnnlab.explain.comparison import flags
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.guesses import Guesses, best_guesses, named_guess
from cnnlab.explain.methods import METHODS, explain
from cnnlab.explain.scores import SCORES
from cnnlab.explain.sentences import empty_sentence, verdict_sentence
from cnnlab.explain.taps import find_layer
from cnnlab.files.atomic import write_bytes, write_text
from cnnlab.files.cache import named
from cnnlab.files.figures import save_figures
from cnnlab.files.opening import ImageError
from cnnlab.files.strict_json import without_nan
from cnnlab.plots.explanations import Panel, class_sheet, meaning_of_colours, panel_sheet, probability_text
from cnnlab.predictions.records import naming
from cnnlab.quoting import for_terminal
from cnnlab.tasks.task import complete
from cnnlab.trained import Trained
from cnnlab.uncertainty.dropout import has_dropout
from cnnlab.uncertainty.ensemble import members_of

_PASSES = 20
_STEPS = 8  # of the curves of deletion and insertion


def explain_images(members: Sequence[Trained], images: Iterable[Input | ImageError], request: Request) -> None:
    """Explains each image by each method, and writes figures, maps and `explanations.json`; prints their names or it.

    Args:
      members: the network, or the members of an ensemble.
      images: the images, and the errors of those that cannot be read.
      request: arguments of the command; with `json` no names are printed.

    Raises:
      ValueError: a method, score, target or layer is unknown, or a file cannot be read; all others are explained first.
    """
    members = members_of(members)
    methods = [_automatic(members, request.layer) if name == "auto" else name for name in request.method]
    for name in methods:
        check_known("method", name, ("auto", *METHODS))
    for name in request.scores:
        check_known("score", name, SCORES)
    if request.classes < 0:
        raise Misuse(f"--classes must be 0 or more, found {request.classes}")
    if request.classes:
        check_has_classes(members[0])
    passes = _passes(members, request.mc)
    if request.layer is not None and not any(METHODS[name].reads_layer for name in methods):
        raise Misuse(f"--layer is for class activation maps, not for {', '.join(methods)}; leave it out")
    folder = _folder(request)
    records, broken, name_of = [], [], naming()
    for image in images:
        if isinstance(image, ImageError):
            broken.append(image)
            continue
        name = name_of(image.path.with_name("_".join([image.path.stem, *image.part.split()]) + image.path.suffix))
        target = request.target
        guesses = best_guesses(members, image.pixels) if target is None else named_guess(members, image.pixels, target)
        panels, first = [], len(records)
        for method in methods:
            options = {"mc_samples": passes, "key": jax.random.key(request.seed), "steps": _STEPS, "quiet": False}
            options["verdict"] = request.scores if request.verdict else False
            options["layer"] = request.layer if METHODS[method].reads_layer else None
            batch = np.repeat(image.pixels[None], len(guesses.names), 0)
            with warnings.catch_warnings(action="ignore"):  # of empty maps, which the figure and the record name
                result = jax.device_get(explain(method, _one_or_all(members), batch, guesses.target, **options))
            panels += _panels(method, guesses, result, f"{passes} dropout passes" if passes else "all networks")
            records += _write_maps(folder, name, image, method, guesses, result)
        title = for_terminal(f"{image.path.name} {image.part}".strip())
        figures = {name: panel_sheet(image.pixels, panels, title=f"{title}: {_legend(panels)}")}
        if request.classes:
            figures[f"{name}_classes"] = _class_sheet(members, image, request, methods)
        [figure, *_] = paths = save_figures(figures, folder, figure_format=request.figure_format)
        for record in records[first:]:
            record["figure"] = str(figure)
        if not request.json:
            print(*map(for_terminal, paths), sep="\n", flush=True)
    if broken and not records:
        raise broken[0]
    report = {"run": request.run, "explanations": records}
    write_text(folder / "explanations.json", json.dumps(named(without_nan(report)), indent=2) + "\n")
    if request.json:
        print_json(report)
    if broken:
        raise ValueError(f"{'; '.join(map(str, broken))}; all other files are explained")


def _automatic(members: Sequence[Trained], layer: str | None) -> str:
    """Returns Grad-CAM, or occlusion if a network has no layer for it."""
    try:
        for member in members:
            find_layer(member, layer)
    except ValueError:
        return "occlusion" if layer is None else "grad_cam"  # which names a layer that is wrong
    return "grad_cam"


def _folder(request: Request) -> Path:
    """Creates the directory of the output, before anything is computed."""
    folder = Path(request.output or Path(request.run) / "explanations")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output {folder} cannot be created ({error.strerror}); choose another directory") from error
    return folder


def _legend(panels: Sequence[Panel]) -> str:
    """Says what the colours of the figure mean."""
    text = meaning_of_colours(np.stack([panel.map for panel in panels]))
    outlined = any(panel.mark is not None and (np.ndim(panel.mark) == 1 or not np.all(panel.mark)) for panel in panels)
    return text + (", green outlines it" if outlined else "")


def _class_sheet(members: Sequence[Trained], image: Input, request: Request, methods: Sequence[str]) -> Any:
    """Draws the maps of the most probable classes, by the first method that needs one forward pass."""
    usual = "grad_cam" if _automatic(members, None) == "grad_cam" else "input_x_gradient"
    method = next((name for name in methods if METHODS[name].program), usual)
    options = {"number": request.classes, "method": method}
    options["layer"] = request.layer if METHODS[method].reads_layer else None
    maps = jax.device_get(dominant_classes(members, image.pixels[None], **options))
    names = [members[0].spec.classes[i] for i in maps.label[0]]
    is_map = complete(members[0].task).logits == "map"
    texts = [f"{100 * p:.0f} % of the pixels" if is_map else probability_text(p) for p in maps.prob[0]]
    return class_sheet(image.pixels, maps.map[0], [f"{a}, {b}" for a, b in zip(names, texts, strict=True)])


def _passes(members: Sequence[Trained], mc: Any) -> int:
    """Returns the number of MC-Dropout passes; an ensemble's error bars come from its members."""
    if mc != "auto":
        if mc < 0:
            raise Misuse(f"--mc must be 0 or more, found {mc}")
        if mc and len(members) > 1:
            raise Misuse(f"--mc is for one run; the error bars of {len(members)} runs are over the runs, leave it out")
        return mc
    return _PASSES if len(members) == 1 and has_dropout(members[0]) else 0


def _one_or_all(members: Sequence[Trained]) -> Any:
    return members[0] if len(members) == 1 else tuple(members)


def _panels(method: str, guesses: Guesses, result: Explanation, over: str) -> list[Panel]:
    panels, doubtful = [], flags(result.verdict)
    for i, (name, prob) in enumerate(zip(guesses.names, guesses.probs, strict=True)):
        number = f" = {result.target[i]:.4g}" if prob is None else f", {probability_text(prob)}"
        sentence = verdict_sentence(result.verdict, i, value="value" if prob is None else "probability")
        if not result.map[i].any():
            sentence = empty_sentence(reads_layer=METHODS[method].reads_layer)
        spread = None if result.spread is None else result.spread[i]
        title = f"{name}{number}  ({METHODS[method].title})"
        warns = doubtful is not None and bool(doubtful[i])
        panels.append(Panel(title, sentence, result.map[i], spread, guesses.marks[i], over, warns))
    return panels


def _write_maps(
    folder: Path, name: str, image: Input, method: str, guesses: Guesses, result: Explanation
) -> list[dict[str, Any]]:
    """Writes each map as `NAME_METHOD_GUESS.npy`, and its spread, and returns their records."""
    records, doubtful = [], flags(result.verdict)
    for i, guess in enumerate(guesses.names):
        record = {"file": str(image.path), "part": image.part, "method": method, "target": guess, "rank": i + 1}
        record |= {"probability": guesses.probs[i], "value": float(result.target[i])}
        record["empty"] = not result.map[i].any()
        if result.verdict is not None:
            record["verdict"] = {score: float(values[i]) for score, values in result.verdict.items()}
        if doubtful is not None:
            record["flagged"] = bool(doubtful[i])
        for kind, array in (("map", result.map), ("spread", result.spread)):
            if array is not None:
                ending = "" if kind == "map" else "_spread"
                file = folder / f"{name}_{method}_{i + 1}{ending}.npy"
                _write_array(file, array[i])
                record[kind] = str(file)
        records.append(record)
    return records


def _write_array(file: Path, array: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, stream.getvalue())
