"""Measure what makes images hard for a network: cnnlab probe RUN [--mc 10] [--limit 1000] [--output DIR]."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnlab.commands.common import (
    AsJson,
    Directory,
    Misuse,
    MovedData,
    Run,
    parse,
    print_json,
    print_report,
    write_report,
)
from cnnlab.files.atomic import write_text
from cnnlab.files.cache import named
from cnnlab.files.figures import FigureFormat


def run(arguments: Sequence[str]) -> None:
    """Probes a run, prints the tables, and writes `probe.json`, `report.md` and the figures."""

    def command(
        run: Run,
        /,
        data_path: MovedData = None,
        split: str = "test",
        mc: int = 10,
        limit: int | None = None,
        seed: int = 0,
        explain: bool = True,
        batch_size: int | None = None,
        output: Directory = None,
        figure_format: FigureFormat = "png",
        as_json: AsJson = False,
    ) -> tuple:
        """Measure what makes images hard for a network.

        Accuracy (or the task's own score), confidence, mutual information and the drift of Grad-CAM's explanations
        against shift, rotation, scale, viewpoint, elastic deformation, brightness, contrast, noise, occlusion, clutter
        and resolution; invariance, equivariance and linearity of the layers; accuracy by distance from the class mean;
        and what each predictor of a detector specialises in.

        Args:
            run: run directory.
            data_path: new path of the run's data, if it has moved.
            split: train, validation or test.
            mc: number of MC-Dropout passes that measure mutual information; 0 for none.
            limit: largest number of images, drawn at random; by default 1,000, or fewer large ones.
            seed: seed of all random distortions and dropout masks.
            explain: whether to measure the drift of explanations.
            batch_size: number of images in a batch; by default as many as fit a gigabyte.
            output: directory for the report and the figures; by default RUN/probe.
            figure_format: file type of the figures: png (300 dpi), or pdf or svg, which print sharply at any size.
            as_json: print one JSON object.
        """
        options = {"split": split, "mc_samples": mc or None, "limit": limit, "batch_size": batch_size}
        return run, data_path, options, seed, explain, (output, figure_format), as_json

    path, data_path, options, seed, explain, (output, figure_format), as_json = parse(command, arguments, "probe")
    if options["mc_samples"] is not None and options["mc_samples"] < 0:
        raise Misuse(f"--mc must be 0 or more, found {options['mc_samples']}")
    import jax

    from cnnlab.files.figures import save_figures
    from cnnlab.probe.figures import figures
    from cnnlab.probe.report import grad_cam_maps, probe
    from cnnlab.training.restore import load, load_data

    started = time.time() - 2  # times of files may be as coarse as 2 s
    trained, dataset, key = load(path), load_data(path, data_path), jax.random.key(seed)
    report = probe(trained, dataset, **options, key=key, explain=grad_cam_maps if explain else None, quiet=False)
    title = f"{report['images']:,} images of the {options['split']} split of {path}"
    shown = _tables(report)
    directory = Path(path) / "probe" if output is None else Path(output)
    save_figures(figures(report, dataset, title=title, key=key), directory, figure_format=figure_format)
    write_text(directory / "probe.json", json.dumps(named(report), indent=2) + "\n")
    page = write_report(shown, title, directory, since=started)
    print_json(report) if as_json else print_report(shown, title)
    print(f"report  {page}", file=sys.stderr)


def _tables(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a report whose records have cells of text or numbers: nothing nested, nothing missing."""
    response = [{name: cell for name, cell in record.items() if name != "strength"} for record in report["response"]]
    out = dict(report) | {"response": response}
    return {name: [_cells(r) for r in value] if isinstance(value, list) else value for name, value in out.items()}


def _cells(record: Mapping[str, Any]) -> dict[str, Any]:
    return {"strength" if name == "label" else name: _cell(name, value) for name, value in record.items()}


def _cell(name: str, value: Any) -> Any:
    """Formats what is no number or text; of quantiles the middle one with the ends of the middle 90 %."""
    if value is None or value == []:
        return "-"
    if name in ("size", "aspect_ratio"):
        return f"{value[2]:.2f}  ({value[0]:.2f} to {value[-1]:.2f})"
    if isinstance(value, list):
        return " x ".join(f"{part:g}" for part in value)
    if isinstance(value, Mapping):
        counts = sorted(value.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {count:,}" for name, count in counts if count) or "-"
    return value
