"""Measure a trained network, or several as an ensemble: cnnlab evaluate RUN... [--split test] [--mc 50] [--json]."""

from collections.abc import Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import AsJson, Misuse, parse, print_json, print_report


def run(arguments: Sequence[str]) -> None:
    """Prints the metrics of a split."""

    def command(
        runs: tyro.conf.Positional[tuple[str, ...]],
        /,
        split: str = "test",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
        figures: str | None = None,
        json: AsJson = False,
    ) -> tuple:
        """Measure a trained network on a split of its data.

        Args:
            runs: the run directory; of several, the mean of their answers is measured.
            split: train, validation or test.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            seed: of the dropout masks.
            figures: directory for the pictures.
            json: print one JSON object.
        """
        return runs, split, mc, seed, figures, json

    runs, split, mc, seed, figures, as_json = parse(command, arguments, "evaluate")
    if not runs:
        raise Misuse("no RUN given; name a run directory")
    import cnnlab

    report = cnnlab.evaluate(list(runs), split=split, mc_samples=mc, seed=seed, figures=figures)
    print_json(report) if as_json else print_report(report, f"{split} split of {', '.join(runs)}")
