"""Measure a trained network, or several as an ensemble: cnnlab evaluate RUN... [--mc 50] [--calibrate temperature]."""

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
from cnnlab.uncertainty.views import VIEWS


def run(arguments: Sequence[str]) -> None:
    """Prints the metrics of a split."""

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
        exact: bool = False,
        json: AsJson = False,
    ) -> tuple:
        """Measure a trained network on a split of its data.

        Args:
            runs: the run directory; of several, the mean of their answers is measured.
            data_path: where the run's data now lies, if it was moved.
            split: train, validation or test.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            views: of each image, whose answers are averaged: flips for it and its mirror image, dihedral for all eight
                flips and quarter turns.
            seed: of the dropout masks.
            batch_size: examples at a time; those of the run's own validation, if left out.
            calibrate: map the probabilities as the validation split says, and keep the map in the run; saved applies
                what the run keeps.
            conformal: share of labels that sets of classes may miss, fitted likewise: 0.1.
            sets: lac for the smallest sets; aps or raps for sets that grow with difficulty.
            ood: the name of a dataset, or a folder of images, that the network should doubt.
            figures: directory for the pictures and report.md; RUN/report with one of the last options.
            exact: compute every convolution by its definition, without the faster forms that round more.
            json: print one JSON object.
        """
        options = {"calibrate": calibrate, "conformal": conformal, "ood": ood}
        if figures is None and len(runs) == 1 and any(value is not None for value in options.values()):
            figures = str(Path(runs[0]) / "report")
        chosen = {"split": split, "mc_samples": mc, "views": views, "seed": seed, "figures": figures, "sets": sets}
        chosen["batch_size"] = batch_size
        return runs, data_path, chosen | options, exact, json

    runs, data, options, exact, as_json = parse(command, arguments, "evaluate")
    if not runs:
        raise Misuse("no RUN given; name a run directory")
    if options["sets"] != "lac" and options["conformal"] is None and options["calibrate"] != "saved":
        raise Misuse(f"--sets {options['sets']} needs --conformal ERROR, such as 0.1")
    import cnnlab
    from cnnlab.kernels.dispatch import exact_forms

    started = time.time() - 2  # clocks of files may be that coarse
    with exact_forms() if exact else contextlib.nullcontext():
        report = cnnlab.evaluate(list(runs), data, **options, details=True)
    title = f"{options['split']} split of {', '.join(runs)}{_asked(options)}"
    print_json(report) if as_json else print_report(report, title)
    if options["figures"] is not None:
        path = write_report(report, title, Path(options["figures"]), since=started)
        print(f"report  {path}", file=sys.stderr)


def _asked(options: dict) -> str:
    """What else was asked for, as flags."""
    flags = {
        "mc": options["mc_samples"],
        **{name: options[name] for name in ("views", "calibrate", "conformal", "ood")},
    }
    if options["conformal"] is not None:
        flags["sets"] = options["sets"]
    return "".join(f", --{name} {value}" for name, value in flags.items() if value is not None)
