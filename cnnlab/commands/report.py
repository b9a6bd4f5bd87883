"""Write one page about a run, or several side by side: cnnlab report RUN... [--mc 50] [--output FILE]."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cnnlab.commands.common import File, Misuse, MovedData, Runs, parse
from cnnlab.files.cache import address
from cnnlab.quoting import for_terminal


def run(arguments: Sequence[str]) -> None:
    """Measures runs and writes a page about them."""

    def command(
        runs: Runs,
        /,
        data_path: MovedData = None,
        split: str = "test",
        mc: int | Literal["auto"] | None = None,
        draws: int = 1000,
        seed: int = 0,
        output: File = None,
        format: Literal["html", "md"] = "html",
    ) -> tuple:
        """Write one page about a run: what was trained on what, how good it is, and what it looks at.

        The page is one file that needs no network and no script, for the screen and for paper. Several runs of one
        task and the same classes stand side by side, with the differences to the first and their intervals.

        Args:
            runs: run directories, or a directory of seeds.
            data_path: another labelled folder of the same classes to measure, or the new path of the run's data.
            split: train, validation or test.
            mc: number of MC-Dropout passes, or auto; by default one pass without dropout. auto is for one run.
            draws: number of bootstrap samples for the intervals of differences.
            seed: seed of the dropout masks and the bootstrap samples.
            output: file of the page; by default RUN/report.html, also for a directory of seeds, and report.html here
                for several runs. It replaces an earlier report, but no other file.
            format: html for one file, md for Markdown with a folder of pictures beside it.
        """
        options = {"split": split, "mc_samples": mc, "draws": draws, "seed": seed, "format": format}
        return runs, data_path, options, output

    named, data, options, output = parse(command, arguments, "report")
    if not named:
        raise Misuse("no RUN given; name a run directory")
    from cnnlab.reports import write_report
    from cnnlab.training.run import runs_in

    runs = [str(run) for name in named for run in runs_in(Path(name))]
    if output is None and len(named) == 1:
        output = str(Path(named[0]) / f"report.{options['format']}")
    path = write_report(runs, output, data=data, **options, commands=_commands(runs), quiet=False)
    print(for_terminal(path))


def _commands(runs: Sequence[str]) -> list[str] | None:
    """Returns the commands that train runs again; None if one has settings that no command line has."""
    from cnnlab.commands.arguments import arguments_of
    from cnnlab.training.run import EXPERIMENT, read_experiment

    lines = []
    for run in runs:
        file = Path(run) / EXPERIMENT
        arguments = arguments_of(read_experiment(file)) if file.is_file() else None
        if arguments is None:
            return None
        lines.append(shlex.join(["cnnlab", "train", *arguments, "--run-dir", f"{address(run)}-again"]))
    return lines
