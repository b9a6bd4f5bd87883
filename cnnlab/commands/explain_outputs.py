"""The output of `cnnlab explain`: a figure for each image, the maps as arrays, and one JSON file."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnlab.commands.common import Misuse, print_json
from cnnlab.commands.explain_inputs import Input
from cnnlab.commands.explain_request import Request
from cnnlab.errors import check_known
from cnnlab.explain.classes import dominant_classes
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.guesses import Guesses, best_guesses, named_guess
from cnnlab.explain.methods import METHODS, explain
from cnnlab.explain.sentences import verdict_sentence
from cnnlab.explain.verdict import SCORES, flagged
from cnnlab.files.atomic import write_bytes, write_text
from cnnlab.files.figures import save_figures
from cnnlab.files.opening import ImageError
from cnnlab.files.strict_json import without_nan
from cnnlab.plots.explanations import Panel, class_sheet, panel_sheet
from cnnlab.predictions.records import naming
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained
from cnnlab.uncertainty.dropout import has_dropout

_PASSES = 20
_SMALL = 0.01  # probability below which the figure shows no digits
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
    for name in request.method:
        check_known("method", name, METHODS)
    for name in request.scores:
        check_known("score", name, SCORES)
    folder = Path(request.output or Path(request.run) / "explanations")
    passes = _passes(members, request.mc)
    if request.layer is not None and not any(METHODS[name].reads_layer for name in request.method):
        raise Misuse(f"--layer is for class activation maps, not for {', '.join(request.method)}; leave it out")
    records, broken, name_of = [], [], naming()
    for image in images:
        if isinstance(image, ImageError):
            broken.append(image)
            continue
        name = name_of(image.path.with_name(f"{image.path.stem} {image.part}".strip() + image.path.suffix))
        target = request.target
        guesses = best_guesses(members, image.pixels) if target is None else named_guess(members, image.pixels, target)
        panels, first = [], len(records)
        for method in request.method:
            options = {"mc_samples": passes, "key": jax.random.key(request.seed), "steps": _STEPS, "quiet": False}
            options["verdict"] = request.scores if request.verdict else False
            options["layer"] = request.layer if METHODS[method].reads_layer else None
            batch = np.repeat(image.pixels[None], len(guesses.names), 0)
            result = jax.device_get(explain(method, _one_or_all(members), batch, guesses.target, **options))
            panels += _panels(method, guesses, result)
            records += _write_maps(folder, name, image, method, guesses, result)
        title = for_terminal(f"{image.path.name} {image.part}".strip())
        title = f"{title}: orange speaks for the answer, blue against it"
        figures = {name: panel_sheet(image.pixels, panels, title=title)}
        if request.classes:
            figures[f"{name}_classes"] = _class_sheet(members[0], image, request)
        [figure, *_] = paths = save_figures(figures, folder)
        for record in records[first:]:
            record["figure"] = str(figure)
        if not request.json:
            print(*map(for_terminal, paths), sep="\n", flush=True)
    if broken and not records:
        raise broken[0]
    report = {"run": request.run, "explanations": records}
    write_text(folder / "explanations.json", json.dumps(without_nan(report), indent=2) + "\n")
    if request.json:
        print_json(report)
    if broken:
        raise ValueError(f"{'; '.join(map(str, broken))}; all other files are explained")


def _class_sheet(trained: Trained, image: Input, request: Request) -> Any:
    """Draws the maps of the most probable classes, by the first method that needs one forward pass."""
    method = next((name for name in request.method if METHODS[name].program), "grad_cam")
    options = {"number": request.classes, "method": method}
    options["layer"] = request.layer if METHODS[method].reads_layer else None
    maps = jax.device_get(dominant_classes(trained, image.pixels[None], **options))
    names = [trained.spec.classes[i] for i in maps.label[0]]
    return class_sheet(image.pixels, maps.map[0], names, maps.prob[0])


def _passes(members: Sequence[Trained], mc: Any) -> int:
    """Returns the number of MC-Dropout passes; an ensemble's error bars come from its members."""
    if mc != "auto":
        return mc
    return _PASSES if len(members) == 1 and has_dropout(members[0]) else 0


def _one_or_all(members: Sequence[Trained]) -> Any:
    return members[0] if len(members) == 1 else tuple(members)


def _panels(method: str, guesses: Guesses, result: Explanation) -> list[Panel]:
    panels = []
    for i, name in enumerate(guesses.names):
        title = f"{name}{_probability(guesses.probs[i])}  ({method.replace('_', ' ')})"
        sentence = verdict_sentence(result.verdict, i, empty=not result.map[i].any())
        spread = None if result.spread is None else result.spread[i]
        panels.append(Panel(title, sentence, result.map[i], spread, guesses.marks[i]))
    return panels


def _probability(prob: float | None) -> str:
    return "" if prob is None else f", p = {prob:.2f}" if prob >= _SMALL else f", p < {_SMALL}"


def _write_maps(
    folder: Path, name: str, image: Input, method: str, guesses: Guesses, result: Explanation
) -> list[dict[str, Any]]:
    """Writes each map as `NAME_METHOD_GUESS.npy`, and its spread, and returns their records."""
    records = []
    judged = result.verdict is not None and any(name in result.verdict for name in SCORES)
    doubtful = flagged(result.verdict) if judged and _has_faithfulness(result.verdict) else None
    for i, guess in enumerate(guesses.names):
        record = {"file": str(image.path), "part": image.part, "method": method, "target": guess, "rank": i + 1}
        record |= {"probability": guesses.probs[i], "value": float(result.target[i])}
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


def _has_faithfulness(verdict: Mapping[str, Any]) -> bool:
    return any(score.is_faithfulness for name, score in SCORES.items() if name in verdict)


def _write_array(file: Path, array: np.ndarray) -> None:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, stream.getvalue())
