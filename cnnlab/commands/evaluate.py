"""Measure a trained network: cnnlab evaluate RUN [--split test] [--mc 50] [--json]."""

from collections.abc import Sequence

from cnnlab.commands.common import AsJson, Run, parse, print_json, print_report


def run(arguments: Sequence[str]) -> None:
    """Prints the metrics of a split."""

    def command(
        run: Run,
        /,
        split: str = "test",
        mc: int | None = None,
        seed: int = 0,
        figures: str | None = None,
        json: AsJson = False,
    ) -> tuple:
        """Measure a trained network on a split of its data.

        Args:
            run: the run directory.
            split: train, validation or test.
            mc: MC-Dropout passes; one plain pass if left out.
            seed: of the dropout masks.
            figures: directory for the pictures.
            json: print one JSON object.
        """
        return run, split, mc, seed, figures, json

    run, split, mc, seed, figures, as_json = parse(command, arguments, "evaluate")
    import cnnlab

    report = cnnlab.evaluate(run, split=split, mc_samples=mc, seed=seed, figures=figures)
    print_json(report) if as_json else print_report(report, f"{split} split of {run}")
