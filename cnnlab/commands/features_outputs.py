"""The output of `cnnlab features`: sheets of each layer, and one JSON file."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cnnlab.anatomy.views import View, views
from cnnlab.commands.common import print_json, print_report
from cnnlab.commands.features_request import Request
from cnnlab.data import Dataset
from cnnlab.data.streaming import ImageFiles
from cnnlab.explain.taps import Layer, is_spatial
from cnnlab.features.activations import activations
from cnnlab.features.filters import filter_change, filter_similarity, filters, kernels
from cnnlab.features.layers import check_units, choose_layers, convolutions
from cnnlab.features.patches import TopPatches, top_patches_by_layer
from cnnlab.features.patterns import patterns
from cnnlab.features.visualise import Visualisation, visualise
from cnnlab.files.atomic import write_text
from cnnlab.files.figures import save_figures
from cnnlab.files.images import read_pixels
from cnnlab.files.strict_json import without_nan
from cnnlab.plots.features import Unit, pair_sheet, tile_sheet, unit_sheet
from cnnlab.plots.gallery import gallery
from cnnlab.quoting import for_file_name, for_terminal
from cnnlab.trained import Trained
from cnnlab.training.initial import load_initial
from cnnlab.training.restore import load, load_data

_PAGE, _NAMED = 32, 8  # units of a sheet of patches, and of a list of units that never fire
_PAGE_BYTES = 1 << 28  # of the patches and patterns of a sheet, so that a sheet of large ones has fewer units
_STATISTICS, _VALUES = 512, 1 << 24  # images, and their values, whose colours and frequencies an image that is made has
_COLOURS = "orange is positive, blue negative"
_SCALES = {"unit": "each unit has its own scale", "layer": "all units have one scale"}


class Subject(NamedTuple):
    """A layer that is shown.

    Attributes:
      layer: the layer.
      convolution: name of the convolution whose feature maps it holds; None for another layer.
      units: numbers of the units on the sheets.
      view: receptive fields of its units.
    """

    layer: Layer
    convolution: str | None
    units: list[int]
    view: View

    @property
    def title(self) -> str:
        """Returns the first line of its sheets."""
        number = self.layer.shape[-1]
        shown = "" if len(self.units) == number else f", of which {len(self.units)} are shown"
        field = f"receptive field {'x'.join(map(str, self.view.size))} pixels"
        seen = field if is_spatial(self.layer) else "each sees the whole image"
        return f"{for_terminal(self.layer.name)}: {number} units{shown}; {seen}"

    @property
    def labels(self) -> list[str]:
        """Returns a label for each unit."""
        return [f"unit {unit}" for unit in self.units]


def show_features(request: Request) -> None:
    """Draws the sheets of a run and writes `features.json`; prints a table and the names of the files, or the JSON.

    Raises:
      ValueError: a layer, unit, split or image does not exist or cannot be read.
    """
    trained = load(request.run)
    subjects = _subjects(trained, request)
    before, reason = _before(request.run)
    names = [subject.layer.name for subject in subjects]
    maps, found, data = {}, {}, None
    if request.image is not None:
        pixels = read_pixels(request.image, **trained.spec.layout)[None]
        maps = jax.device_get(activations(trained, pixels, names))
    report = {"run": request.run, "image": request.image, "without_initial_parameters": reason}
    if request.patches:
        data = _data(request)
        options = {"count": request.count, "split": request.split, "batch_size": request.batch_size, "quiet": False}
        found = top_patches_by_layer(trained, data, names, **options)
        report |= {"data": data.name, "split": request.split, "images": len(data[request.split])}
    folder, records = Path(request.output or Path(request.run) / "features"), []
    for subject in subjects:
        name = subject.layer.name
        record, best = _record(trained, before, subject), found.get(name)
        sheets = _filter_sheets(trained, before, subject, request.scale)
        if name in maps:
            sheets |= _activation_sheet(subject, pixels[0], maps[name][0], request.scale)
        seen = _visualised(trained, subject, data, request) if request.visualise and request.layer else None
        if seen is not None:
            record["visualised"] = _visualised_records(seen, best)
        if best is not None:
            record |= _patch_record(best)
            pages, record["without_patterns"] = _patch_sheets(trained, best, subject, seen)
            sheets |= pages
        elif seen is not None:
            title = f"{subject.title}\nan image made for each unit, and the mean of its activations"
            labels = [f"unit {unit}: {value:.3g}" for unit, value in zip(seen.units, seen.activation, strict=True)]
            sheets["images"] = gallery(seen.images, labels, title=title, columns=8)
        named = {f"{for_file_name(name)}_{kind}": figure for kind, figure in sheets.items()}
        paths = save_figures(named, folder, figure_format=request.figure_format)
        records.append(record | {"sheets": list(map(str, paths))})
        if not request.json:
            print(*map(for_terminal, paths), sep="\n", flush=True)
    report = without_nan(report | {"layers": records})
    write_text(folder / "features.json", json.dumps(report) + "\n")
    if request.json:
        print_json(report)
    else:
        print_report({"layers": list(map(_row, records))}, f"features of {request.run}")


def _subjects(trained: Trained, request: Request) -> list[Subject]:
    """Returns the layers that are shown, each with its units."""
    of_layer = {each.maps: each.name for each in convolutions(trained)}
    of_layer |= {each.name: each.name for each in convolutions(trained)}
    layers = choose_layers(trained, list(dict.fromkeys(request.layer)) or None)
    fields = views(trained.network, trained.spec.shape, {layer.name for layer in layers})
    subjects = []
    for layer in layers:
        units = check_units(request.unit or None, layer.name, layer.shape[-1])
        units = units if request.unit else units[: request.most]
        subjects.append(Subject(layer, of_layer.get(layer.name), units, fields[layer.name]))
    return subjects


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


def _filter_sheets(trained: Trained, before: Trained | None, subject: Subject, scale: str) -> dict[str, Any]:
    if subject.convolution is None:
        return {}
    pictures, depth = _pictures(trained, subject)
    averaged = "" if depth in (1, 3) else f", averaged over their depth of {depth}"
    colours = "grey is zero, colours are those of the image" if depth == 3 else _COLOURS
    remark = f"the kernels of {subject.convolution}{averaged}; {colours}; {_SCALES[scale]}"
    if before is None:
        return {"filters": tile_sheet(pictures, subject.labels, title=f"{subject.title}\n{remark}", scale=scale)}
    title = f"{subject.title}\nbefore and after training: {remark}"
    first, _ = _pictures(before, subject)
    return {"filters": pair_sheet(first, pictures, subject.labels, title=title, scale=scale)}


def _pictures(trained: Trained, subject: Subject) -> tuple[list[np.ndarray], int]:
    """Returns a tile for each filter, and the depth of the kernels."""
    name = subject.convolution
    pictures = filters(trained, name)[name][subject.units]
    tiles = [each if each.shape[-1] == 3 else each[..., 0] for each in pictures]
    return tiles, kernels(trained, name)[name].shape[2]


def _activation_sheet(subject: Subject, image: np.ndarray, values: np.ndarray, scale: str) -> dict[str, Any]:
    """Draws an image and its feature maps `[h, w, C]`; a layer without spatial axes has one pixel a unit."""
    maps = values.reshape(*(values.shape[:2] if values.ndim == 3 else (-1, 1)), values.shape[-1])
    scale = "layer" if maps[..., 0].size == 1 else scale  # one value alone always has full colour
    title = f"{subject.title}\nactivations for the image; {_COLOURS}; {_SCALES[scale]}"
    tiles, labels = [image, *(maps[..., unit] for unit in subject.units)], ["image", *subject.labels]
    return {"activations": tile_sheet(tiles, labels, title=title, scale=scale)}


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
        {"unit": int(unit), "activation": float(value)} for unit, value in zip(seen.units, seen.activation, strict=True)
    ]
    if best is not None:
        for record in records:
            record["percentile"] = best.percentile(record["unit"], record["activation"])
    return records


def _patch_sheets(
    trained: Trained, best: TopPatches, subject: Subject, seen: Visualisation | None
) -> tuple[dict[str, Any], str | None]:
    """Draws the patches of each unit, their patterns and the image that was made for it, on as many pages as needed.

    Returns the pages, and the reason if there are no patterns.
    """
    count = best.values.shape[1]
    number = max(1, min(_PAGE, _PAGE_BYTES // (5 * count * math.prod(best.shape))))  # a byte and a float32 a value
    sheets, reason = {}, None
    for start in range(0, len(subject.units), number):
        units = subject.units[start : start + number]
        try:
            patterned = None if reason else patterns(trained, best, units)
        except ValueError as error:
            patterned, reason = None, str(error)
        patches, blocks = best.patches(units), []
        for row, unit in enumerate(units):
            fires = best.fires[unit]
            often = "never fires" if fires == 0 else f"fires on {100 * fires:.0f} %"
            label, image = f"unit {unit}: up to {best.values[unit, 0]:.3g}, {often}", None
            if seen is not None:
                image = seen.images[start + row]
                label += f"; image above {best.percentile(unit, float(seen.activation[start + row])):.0f} %"
            blocks.append(Unit(label, patches[row], None if patterned is None else patterned[row], image, fires == 0))
        title = _patch_title(best, subject, patterned is not None, seen is not None)
        sheets["patches" if start == 0 else f"patches_{start // number + 1}"] = unit_sheet(blocks, title=title)
    return sheets, reason


def _patch_title(best: TopPatches, subject: Subject, patterned: bool, visualised: bool) -> str:
    what = "patches" if is_spatial(subject.layer) else "images"
    title = f"{subject.title}\nthe {best.values.shape[1]} {what} that excite each unit most, at most one an image"
    if patterned:
        title += ", what in them excites it (deconvolution)"
    if visualised:
        title += f",\nand an image made for it, with the share of {len(best.mean):,} images whose mean it exceeds"
    return title


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
