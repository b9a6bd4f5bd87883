"""The output of `cnnlab features`: sheets of each layer, and one JSON file."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.anatomy.views import views
from cnnlab.commands.common import print_json, print_report
from cnnlab.commands.features_request import Request
from cnnlab.commands.features_sheets import Subject, activation_sheet, filter_sheets, image_sheet, patch_sheets
from cnnlab.data import Dataset
from cnnlab.data.streaming import ImageFiles
from cnnlab.explain.taps import Layer, logits_shape
from cnnlab.features.activations import activations
from cnnlab.features.filters import filter_change, filter_similarity, kernel_names
from cnnlab.features.layers import check_units, choose_layers, distinct_layers
from cnnlab.features.patches import TopPatches, top_patches_by_layer
from cnnlab.features.visualise import Visualisation, visualise
from cnnlab.files.atomic import write_text
from cnnlab.files.cache import named
from cnnlab.files.figures import save_figures
from cnnlab.files.images import read_pixels
from cnnlab.files.strict_json import without_nan
from cnnlab.quoting import for_file_name, for_terminal
from cnnlab.trained import Trained
from cnnlab.training.initial import load_initial
from cnnlab.training.restore import load, load_data

_NAMED = 8  # units of a list of units that never fire
_MOST_LAYERS = 128  # that have a sheet of activations
_PASS_BYTES = 1 << 29  # of the outputs of layers that one pass returns
_STATISTICS, _VALUES = 512, 1 << 24  # images, and their values, whose colours and frequencies an image that is made has


def show_features(request: Request) -> None:
    """Draws the sheets of a run and writes `features.json`; prints a table and the names of the files, or the JSON.

    Raises:
      ValueError: a layer, unit, split or image does not exist or cannot be read.
      FloatingPointError: an activation is NaN.
    """
    trained = load(request.run)
    subjects = _subjects(trained, request)
    before, reason = _before(request.run)
    names = [subject.layer.name for subject in subjects]
    pixels = None if request.image is None else read_pixels(request.image, **trained.spec.layout)
    found, data = {}, None
    report = {"run": request.run, "image": request.image, "without_initial_parameters": reason}
    if request.patches:
        data = _data(request)
        options = {"count": request.count, "split": request.split, "batch_size": request.batch_size, "quiet": False}
        found = top_patches_by_layer(trained, data, names, **options)
        report |= {"data": data.name, "split": request.split, "images": len(data[request.split])}
    folder, records = Path(request.output or Path(request.run) / "features"), {}

    def save(record: dict[str, Any], sheets: Mapping[str, Any]) -> None:
        named = {f"{for_file_name(record['layer'])}_{kind}": figure for kind, figure in sheets.items()}
        paths = save_figures(named, folder, figure_format=request.figure_format)
        record.setdefault("sheets", []).extend(map(str, paths))
        records[record["layer"]] = record
        if not request.json and paths:
            print(
                f"{for_terminal(record['layer'])}: {', '.join(for_terminal(path.name) for path in paths)}", flush=True
            )

    for subject in subjects:
        name = subject.layer.name
        record, best = _record(trained, before, subject), found.get(name)
        sheets = filter_sheets(trained, before, subject, request.scale)
        seen = _visualised(trained, subject, data, request) if request.visualise and request.layer else None
        if seen is not None:
            record["visualised"] = _visualised_records(seen, best)
        if best is not None:
            record |= _patch_record(best)
            pages, record["without_patterns"] = patch_sheets(trained, best, subject, seen)
            sheets |= pages
        elif seen is not None:
            sheets |= image_sheet(subject, seen)
        save(record, sheets)
    table = [_row(record) for record in records.values()]
    if pixels is not None:
        shown, number = (subjects, len(subjects)) if request.layer else _activated(trained, request)
        report["layers_of_activations"] = {"all": number, "drawn": len(shown)}
        for subject, values in _activations(trained, pixels, shown):
            record = records.get(subject.layer.name) or _record(trained, before, subject)
            save(record, activation_sheet(subject, pixels, values, request.scale))
        if len(shown) < number and not request.json:
            print(f"{len(shown)} of {number} layers have a sheet of activations; --layer names others")
    report = named(without_nan(report | {"layers": list(records.values())}))
    write_text(folder / "features.json", json.dumps(report) + "\n")
    if request.json:
        print_json(report)
    else:
        print_report({"layers": table}, f"features of {request.run}, all sheets in {folder}")


def _subjects(trained: Trained, request: Request) -> list[Subject]:
    """Returns the layers whose filters and patches are shown, each with its units."""
    layers = choose_layers(trained, list(dict.fromkeys(request.layer)) or None)
    for layer in layers:
        check_units(request.unit or None, layer.name, layer.shape[-1])
    return _with_units(trained, layers, request.unit, request.most)


def _with_units(trained: Trained, layers: Sequence[Layer], units: Sequence[int], most: int) -> list[Subject]:
    """Returns layers with the units that are shown: those that are chosen and exist, or else the first ones."""
    names, last = kernel_names(trained), distinct_layers(trained)[-1].name
    fields = views(trained.network, trained.spec.shape, {layer.name for layer in layers})
    subjects = []
    for layer in layers:
        classes = trained.spec.classes
        classes = classes if layer.name == last and layer.shape[-1] == len(classes) == logits_shape(trained)[-1] else ()
        chosen = [unit for unit in units if unit < layer.shape[-1]]
        shown = chosen or list(range(min(most, layer.shape[-1])))
        subjects.append(Subject(layer, names.get(layer.name), shown, fields[layer.name], classes))
    return subjects


def _activated(trained: Trained, request: Request) -> tuple[list[Subject], int]:
    """Returns the layers whose activations are drawn, evenly spaced if there are many, and the number of all."""
    layers = distinct_layers(trained)
    some = np.unique(np.linspace(0, len(layers) - 1, min(len(layers), _MOST_LAYERS)).astype(int))
    return _with_units(trained, [layers[i] for i in some], request.unit, request.most), len(layers)


def _activations(
    trained: Trained, image: np.ndarray, subjects: Sequence[Subject]
) -> Iterator[tuple[Subject, np.ndarray]]:
    """Yields the activations `[..., C]` of layers for an image `[H, W, C]`, by passes that fit into memory."""
    group, size = [], 0
    for number, subject in enumerate(subjects):
        group.append(subject)
        size += 4 * math.prod(subject.layer.shape)
        after = subjects[number + 1 : number + 2]
        if not after or size + 4 * math.prod(after[0].layer.shape) > _PASS_BYTES:
            outputs = activations(trained, image[None], [each.layer.name for each in group])
            for each in group:
                values = np.asarray(outputs[each.layer.name][0])
                if np.isnan(values).any():
                    raise FloatingPointError(f"the layer {each.layer.name} has the activation NaN for this image")
                yield each, values
            group, size = [], 0


def _before(run: str) -> tuple[Trained | None, str | None]:
    """Returns the network before training, or the reason why there is none."""
    try:
        return load_initial(run), None
    except ValueError as error:
        return None, str(error)


def _data(request: Request) -> Dataset:
    """Loads the run's data."""
    try:
        data = load_data(request.run, request.data_path)
    except ValueError as error:
        raise ValueError(f"{error}; --no-patches needs no data") from error
    data[request.split]  # raises an error that names the splits
    return data


def _record(trained: Trained, before: Trained | None, subject: Subject) -> dict[str, Any]:
    """Returns what is known of a layer without data."""
    layer, convolution = subject.layer, subject.convolution
    record = {"layer": layer.name, "convolution": convolution, "units": layer.shape[-1], "shape": list(layer.shape[1:])}
    record["receptive_field"] = list(subject.view.size)
    if convolution is not None:
        record["similarity"] = filter_similarity(trained, convolution)[convolution]
        if before is not None:
            record["change"] = filter_change(before, trained, convolution)[convolution]
    return record


def _patch_record(best: TopPatches) -> dict[str, Any]:
    """Returns what the pass over the data found: how often each unit fires, and its places, for every unit."""
    files = getattr(best.examples, "columns", {}).get("image")
    names = files.names if isinstance(files, ImageFiles) else None
    units = []
    for unit in range(len(best.values)):
        record = {"unit": unit, "fires": float(best.fires[unit]), "values": best.values[unit].tolist()}
        record |= {
            "index": best.index[unit].tolist(),
            "place": best.place[unit].tolist(),
            "box": best.box[unit].tolist(),
        }
        if names is not None:
            record["file"] = [str(names[index]) for index in best.index[unit]]
        units.append(record)
    return {"dead": best.dead.tolist(), "images_of_percentiles": len(best.mean), "top": units}


def _visualised(trained: Trained, subject: Subject, data: Dataset | None, request: Request) -> Visualisation:
    """Makes an image for each unit, with the colours and frequencies of the data if there are any."""
    examples = None
    if data is not None:
        split, most = data[request.split], max(1, _VALUES // math.prod(data.spec.shape))
        examples = split[np.arange(min(most, _STATISTICS, len(split)))]["image"]
    return visualise(
        trained, layer=subject.layer.name, units=subject.units, examples=examples, seed=request.seed, quiet=False
    )


def _visualised_records(seen: Visualisation, best: TopPatches | None) -> list[dict[str, Any]]:
    """Returns for each image the unit, its mean activation, and the percentage of images that reach at most this."""
    records = [
        {"unit": int(unit), "activation": float(value), "fires": bool(fires)}
        for unit, value, fires in zip(seen.units, seen.activation, seen.fires, strict=True)
    ]
    if best is not None:
        for record in records:
            record["percentile"] = best.percentile(record["unit"], record["activation"])
    return records


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a layer's row of the printed table."""
    field = " x ".join(map(str, record["receptive_field"]))
    row = {"layer": record["layer"], "units": record["units"], "receptive field": field}
    row |= {name: record.get(name, "-") for name in ("similarity", "change")}
    dead = record.get("dead")
    return row | {"never fire": "-" if dead is None else _units(dead) if dead else "none"}


def _units(numbers: list[int]) -> str:
    """Returns how many units there are, and the first of them."""
    rest = ", ..." if len(numbers) > _NAMED else ""
    return f"{len(numbers)}: {', '.join(map(str, numbers[:_NAMED]))}{rest}"
