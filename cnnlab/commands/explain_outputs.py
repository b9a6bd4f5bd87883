"""The output of `cnnlab explain`: a figure for each image, the maps as arrays, and one JSON file."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnlab.commands.explain_inputs import Input
from cnnlab.errors import check_known
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.guesses import Guesses, best_guesses, named_guess
from cnnlab.explain.methods import METHODS, explain
from cnnlab.explain.sentences import verdict_sentence
from cnnlab.explain.verdict import SCORES, flagged
from cnnlab.files.atomic import write_bytes, write_text
from cnnlab.files.figures import save_figures
from cnnlab.files.strict_json import without_nan
from cnnlab.plots.explanations import Panel, panel_sheet
from cnnlab.predictions.records import naming
from cnnlab.quoting import for_terminal
from cnnlab.trained import Trained
from cnnlab.uncertainty.dropout import has_dropout

_PASSES = 20
_STEPS = 8  # of the curves of deletion and insertion


def explain_images(
    members: Sequence[Trained], images: Iterable[Input], request: Mapping[str, Any], *, quiet: bool
) -> dict:
    """Explains each image by each method, writes the files, and prints their names.

    Args:
      members: the network, or the members of an ensemble.
      images: the images.
      request: arguments of the command.
      quiet: whether to print no names.

    Returns:
      The content of `explanations.json`.

    Raises:
      ValueError: a method, score, target or layer is unknown.
    """
    for name in request["method"]:
        check_known("method", name, METHODS)
    for name in request["scores"]:
        check_known("score", name, SCORES)
    folder = Path(request["output"] or Path(request["run"]) / "explanations")
    passes = _passes(members, request["mc"])
    records, name_of = [], naming()
    for image in images:
        name = name_of(image.path.with_name(f"{image.path.stem} {image.part}".strip() + image.path.suffix))
        target = request["target"]
        guesses = best_guesses(members, image.pixels) if target is None else named_guess(members, image.pixels, target)
        panels, first = [], len(records)
        for method in request["method"]:
            options = {"mc_samples": passes, "key": jax.random.key(request["seed"]), "steps": _STEPS}
            options["verdict"] = request["scores"] if request["verdict"] else False
            options["layer"] = request["layer"] if METHODS[method].reads_layer else None
            batch = np.repeat(image.pixels[None], len(guesses.names), 0)
            result = jax.device_get(explain(method, _one_or_all(members), batch, guesses.target, **options))
            panels += _panels(method, guesses, result)
            records += _write_maps(folder, name, image, method, guesses, result)
        title = for_terminal(f"{image.path.name} {image.part}".strip())
        [figure] = save_figures({name: panel_sheet(image.pixels, panels, title=title)}, folder)
        for record in records[first:]:
            record["figure"] = str(figure)
        if not quiet:
            print(for_terminal(figure), flush=True)
    report = {"run": request["run"], "explanations": records}
    write_text(folder / "explanations.json", json.dumps(without_nan(report), indent=2) + "\n")
    return report


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
        probability = "" if guesses.probs[i] is None else f", p = {guesses.probs[i]:.2f}"
        title = f"{name}{probability}  ({method.replace('_', ' ')})"
        sentence = verdict_sentence(result.verdict, i, empty=not result.map[i].any())
        spread = None if result.spread is None else result.spread[i]
        panels.append(Panel(title, sentence, result.map[i], spread, guesses.marks[i]))
    return panels


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
