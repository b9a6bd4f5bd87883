"""Evaluate a trained network or an ensemble: cnnlab evaluate RUN... [--mc 50] [--calibrate temperature]."""

import contextlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cnnlab.calibration.conformal import Method
from cnnlab.calibration.methods import CALIBRATIONS
from cnnlab.commands.common import AsJson, Misuse, parse, print_json, print_report, write_report
from cnnlab.quoting import for_terminal
from cnnlab.uncertainty.views import VIEWS


def run(arguments: Sequence[str]) -> None:
    """Evaluates runs on a split and prints the metrics."""

    def command(
        runs: tyro.conf.Positional[tuple[str, ...]],
        /,
        data_path: Annotated[str | None, tyro.conf.arg(name="data.path")] = None,
        split: str = "test",
        mc: int | Literal["auto"] | None = None,
        views: Literal[tuple(VIEWS)] | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        calibrate: Literal[(*CALIBRATIONS, "saved")] | None = None,
        conformal: float | None = None,
        sets: Method = "lac",
        ood: str | None = None,
        figures: str | None = None,
        explain: str | None = None,
        exact: bool = False,
        json: AsJson = False,
    ) -> tuple:
        """Evaluate a trained network on a split of its data.

        Args:
            runs: run directory; several are an ensemble, whose predictions are averaged.
            data_path: new path of the run's data, if it has moved.
            split: train, validation or test.
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
            explain: method of explanation, such as grad_cam, whose maps of the guess and of the truth stand beside each
                wrong prediction in the figure wrong.png.
            exact: whether to compute every convolution by its definition, without the faster forms that round more.
            json: print one JSON object.
        """
        options = {"calibrate": calibrate, "conformal": conformal, "ood": ood, "explain": explain}
        if figures is None and len(runs) == 1 and any(value is not None for value in options.values()):
            figures = str(Path(runs[0]) / "report")
        others = {"split": split, "mc_samples": mc, "views": views, "seed": seed, "figures": figures, "sets": sets}
        others["batch_size"] = batch_size
        return runs, data_path, others | options, exact, json

    runs, data, options, exact, as_json = parse(command, arguments, "evaluate")
    if not runs:
        raise Misuse("no RUN given; name a run directory")
    if options["sets"] != "lac" and options["conformal"] is None and options["calibrate"] != "saved":
        raise Misuse(f"--sets {options['sets']} needs --conformal ERROR, such as 0.1")
    import cnnlab
    from cnnlab.kernels.dispatch import exact_forms

    started = time.time() - 2  # times of files may be as coarse as 2 s
    with exact_forms() if exact else contextlib.nullcontext():
        report = cnnlab.evaluate(list(runs), data, **options, details=True)
    title = f"{options['split']} split of {', '.join(runs)}{_flags(options)}"
    print_json(report) if as_json else print_report(report, title)
    if options["figures"] is not None:
        path = write_report(report, title, Path(options["figures"]), since=started)
        print(f"report  {for_terminal(path)}", file=sys.stderr)


def _flags(options: dict) -> str:
    """Formats the other options as on the command line."""
    flags = {
        "mc": options["mc_samples"],
        **{name: options[name] for name in ("views", "calibrate", "conformal", "ood", "explain")},
    }
    if options["conformal"] is not None:
        flags["sets"] = options["sets"]
    return "".join(f", --{name} {value}" for name, value in flags.items() if value is not None)
