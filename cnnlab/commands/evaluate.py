"""Evaluate trained networks: cnnlab evaluate RUN... [--mc 50] [--calibrate temperature] [--ensemble]."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cnnlab.calibration.conformal import Method
from cnnlab.calibration.methods import CALIBRATIONS
from cnnlab.commands import several
from cnnlab.commands.common import (
    AsJson,
    Directory,
    File,
    Misuse,
    MovedData,
    Runs,
    parse,
    print_json,
    print_report,
    write_report,
)
from cnnlab.data import Dataset
from cnnlab.files.figures import FigureFormat, write_index
from cnnlab.files.tables import TableFormat, check_format, format_of
from cnnlab.quoting import for_terminal
from cnnlab.uncertainty.views import VIEWS

_COMMON = (
    "data_path",
    "split",
    "ensemble",
    "mc",
    "calibrate",
    "conformal",
    "ood",
    "figures",
    "predictions",
    "all",
    "json",
)
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Evaluates runs on a split and prints the metrics."""

    def command(
        runs: Runs,
        /,
        data_path: MovedData = None,
        split: str = "test",
        ensemble: bool = False,
        mc: int | Literal["auto"] | None = None,
        views: Literal[tuple(VIEWS)] | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        calibrate: Literal[(*CALIBRATIONS, "saved")] | None = None,
        conformal: float | None = None,
        sets: Method = "lac",
        ood: Annotated[str | None, tyro.conf.arg(metavar="NAME|DIR")] = None,
        figures: Directory = None,
        figure_format: FigureFormat = "png",
        explain: Annotated[str | None, tyro.conf.arg(metavar="METHOD")] = None,
        predictions: File = None,
        format: TableFormat | None = None,
        all: bool = False,
        exact: bool = False,
        json: AsJson = False,
    ) -> tuple:
        """Evaluate a trained network on a split of its data, or on another labelled folder.

        Args:
            runs: run directories, or a directory of seeds. Several are evaluated one by one, with mean and standard
                deviation.
            data_path: another labelled folder of the same classes to measure, or the new path of the run's data.
            split: train, validation or test; of another folder without splits, all images count.
            ensemble: whether to average the predictions of all runs and evaluate this mean.
            mc: number of MC-Dropout passes, or auto for as many as are needed; by default one pass without dropout.
            views: views of each image whose predictions are averaged: flips for the image and its mirror image,
                dihedral for all eight flips and quarter turns.
            seed: seed of the dropout masks.
            batch_size: number of examples in a batch; by default that of the run's validation.
            calibrate: method that calibrates the probabilities on the validation split and stores the result in the
                run; saved applies the stored one.
            conformal: share of labels that conformal sets may miss, such as 0.1; fitted on the validation split and
                stored in the run.
            sets: method of the conformal sets: lac for the smallest sets; aps or raps for sets that grow with
                difficulty.
            ood: name of an out-of-distribution dataset, or a folder of images, for which uncertainty should be high.
            figures: directory for figures and report.md; by default RUN/report if calibrate, conformal, ood or
                explain is set.
            figure_format: file type of the figures: png (300 dpi), or pdf or svg, which print sharply at any size.
            explain: method of explanation, such as grad_cam, whose maps of the predicted class and of the truth stand
                beside each wrong prediction in the figure wrong.
            predictions: table with one row per example: file, split, truth, prediction, probability and doubt; its name
                ends in .csv or .parquet.
            format: format of this table, and of the summary of several seeds: csv, or parquet with its exact numbers
                (pip install 'cnnlab[parquet]'); by default that of the name, and csv.
            all: whether to print all numbers; without it, those for a closer look are left out of the terminal.
            exact: whether to compute every convolution by its definition, without the faster forms that round more.
            json: print one JSON object.
        """
        options = {"calibrate": calibrate, "conformal": conformal, "ood": ood, "explain": explain}
        others = {"split": split, "mc_samples": mc, "views": views, "seed": seed, "figures": figures, "sets": sets}
        others |= {"batch_size": batch_size, "predictions": predictions, "figure_format": figure_format}
        return runs, data_path, others | options, format, ensemble, all, exact, json

    parsed = parse(command, arguments, "evaluate", common=_COMMON)
    named, data, options, table_format, ensemble, everything, exact, as_json = parsed
    if not named:
        raise Misuse("no RUN given; name a run directory")
    if options["sets"] != "lac" and options["conformal"] is None and options["calibrate"] != "saved":
        raise Misuse(f"--sets {options['sets']} needs --conformal ERROR, such as 0.1")
    table = options["predictions"]
    if table is not None and table_format not in (None, format_of(table)):
        raise Misuse(f"--format {table_format} is for a name that ends in .{table_format}, found --predictions {table}")
    table_format = table_format or ("csv" if table is None else format_of(table))
    check_format(table_format)
    from cnnlab.kernels.dispatch import exact_forms
    from cnnlab.training.run import runs_in

    runs = [str(run) for name in named for run in runs_in(Path(name))]
    one_by_one = len(runs) > 1 and not ensemble
    if one_by_one and (given := [name for name in ("figures", "predictions") if options[name] is not None]):
        raise Misuse(f"--{given[0]} is for one run or an ensemble, found {len(runs)} runs; add --ensemble, or name one")
    with exact_forms() if exact else contextlib.nullcontext():
        if one_by_one:
            _each(named, runs, data, options, table_format, everything, as_json)
        else:
            _together(runs, data, options, everything, as_json)


def _together(runs: list[str], data: str | None, options: dict, everything: bool, as_json: bool) -> None:
    """Evaluates one run, or the mean of several, and prints the report."""
    import cnnlab
    from cnnlab.training.restore import load_task

    loaded, other = _load(runs[0], data, options["split"])
    if options["figures"] is None and len(runs) == 1 and any(options[name] is not None for name in _REPORTED):
        options["figures"] = str(Path(runs[0]) / _report_name(other))
    started = time.time() - 2  # times of files may be as coarse as 2 s
    report = cnnlab.evaluate(runs, loaded, **options, details=True)
    title = f"{_measured(other, options['split'])} {', '.join(runs)}{_flags(options)}"
    if as_json:
        print_json(report)
    else:
        print_report(report, title, load_task(runs[0]).verdict(report), everything=everything)
    if options["figures"] is not None:
        path = write_report(report, title, Path(options["figures"]), since=started)
        write_index(Path(options["figures"]), title)
        print(f"report  {for_terminal(path)}", file=sys.stderr)
    if options["predictions"] is not None:
        print(f"predictions  {for_terminal(options['predictions'])}", file=sys.stderr)


def _each(
    named: Sequence[str],
    runs: list[str],
    data: str | None,
    options: dict,
    table_format: TableFormat,
    everything: bool,
    as_json: bool,
) -> None:
    """Evaluates runs one by one, and prints their mean and standard deviation; a directory of seeds keeps them."""
    import cnnlab
    from cnnlab.evaluation.evaluate import check_trained_alike

    check_trained_alike(runs)
    _, other = _load(runs[0], data, options["split"])
    reports = []
    for number, run in enumerate(runs, 1):
        print(f"{for_terminal(run)}, run {number} of {len(runs)}", file=sys.stderr)
        reports.append(cnnlab.evaluate(run, data if other is None else other, **options))
    names = [run.removeprefix(f"{named[0]}/") if len(named) == 1 else run for run in runs]
    title = f"{_measured(other, options['split'])} {', '.join(named)}, {len(runs)} runs{_flags(options)}"
    print_json(several.as_json(names, reports)) if as_json else several.print_runs(
        title, names, reports, everything=everything
    )
    if len(named) == 1 and options["split"] == "test":
        directory = Path(named[0]) if other is None else Path(named[0]) / _report_name(other)
        directory.mkdir(exist_ok=True)
        formats = {"figure_format": options["figure_format"], "table_format": table_format}
        path = several.write_runs(directory, names, reports, **formats)
        print(f"summary  {for_terminal(path)}", file=sys.stderr)
    print("--ensemble averages their predictions; cnnlab compare RUN RUN tests their differences", file=sys.stderr)


def _load(run: str, data: str | None, split: str) -> tuple[Dataset | None, Dataset | None]:
    """Loads the data at a path; returns it, and again if it is not the run's own, but another folder with one split."""
    from cnnlab.evaluation.evaluate import own_data

    if data is None:
        return None, None
    dataset = own_data(run, data, split)
    return dataset, dataset if len(dataset.splits) == 1 else None


def _report_name(other: Dataset | None) -> str:
    """Returns the folder of a report, so that another folder's does not replace that of the run's own data."""
    return "report" if other is None else f"report-{other.name}"


def _measured(other: Dataset | None, split: str) -> str:
    return f"{split} split of" if other is None else f"folder {other.name} by"


_REPORTED = ("calibrate", "conformal", "ood", "explain")
"""Options with which a run gets a report by default."""


def _flags(options: dict) -> str:
    """Formats the other options as on the command line."""
    flags = {
        "mc": options["mc_samples"],
        **{name: options[name] for name in ("views", "calibrate", "conformal", "ood", "explain")},
    }
    if options["conformal"] is not None:
        flags["sets"] = options["sets"]
    return "".join(f", --{name} {value}" for name, value in flags.items() if value is not None)
