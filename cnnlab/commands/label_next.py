"""Choose the photos to label next: cnnlab label-next RUN... PATH... [--count 100] [--by diverse] [--output DIR]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cnnlab.commands.common import AsJson, Directory, Misuse, Run, parse
from cnnlab.commands.predict_inputs import check_runs, is_result, split_runs
from cnnlab.files.tables import TableFormat, check_format

_COMMON = ("count", "by", "mc", "output", "json")
"""The options that `--help` lists; `--help-all` lists all."""


def run(arguments: Sequence[str]) -> None:
    """Prints the photos to label first, and writes `label_next.csv` and a contact sheet."""

    def command(
        run: Run,
        paths: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="PATH...")],
        /,
        count: int = 100,
        by: Literal[
            "mutual_information", "entropy", "margin", "least_confidence", "variance", "diverse", "batch_bald"
        ] = "margin",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
        skip_unreadable: bool = False,
        output: Directory = None,
        format: TableFormat = "csv",
        json: AsJson = False,
    ) -> tuple:
        """Choose the photos whose labels would tell a network most.

        Args:
            run: run directory.
            paths: photos without labels, files and folders; run directories before them join the first one, and their
                disagreement takes the place of that of the passes.
            count: number of photos to choose; all of them if there are fewer.
            by: what decides. One by one: margin (two classes are close), entropy (all doubt), least_confidence,
                mutual_information (BALD; the passes disagree), or variance, also of regressions. Together: diverse
                (photos that cover the pool and are far from the run's training images) or batch_bald (photos whose
                labels tell most together).
            mc: number of MC-Dropout passes, or auto for as many as are needed; by default 50 if the choice needs them.
            seed: seed of the dropout masks.
            skip_unreadable: leave out files that are damaged or no image, and print their names.
            output: directory for label_next.csv and label_next.png; by default RUN/label_next.
            format: format of the table: csv, or parquet with its exact numbers (pip install 'cnnlab[parquet]').
            json: print one JSON object.
        """
        options = {"count": count, "by": by, "mc": mc, "seed": seed, "skip_unreadable": skip_unreadable}
        options |= {"format": format, "json": json}
        return run, paths, output, options

    first, paths, output, options = parse(command, arguments, "label-next", common=_COMMON)
    runs, paths = split_runs(first, paths)
    check_format(options["format"])
    if options["count"] < 1:
        raise Misuse(f"--count must be 1 or more, found {options['count']}")
    if not paths:
        raise Misuse("no PATH given; name photos without labels, or folders of them")
    check_runs(runs, **{"--mc": options["mc"]})
    import cnnlab
    from cnnlab.commands.labelling_outputs import show_suggestions
    from cnnlab.files.listing import find_images

    directory = Path(output or Path(runs[0]) / "label_next")
    files = [file for file in find_images(paths) if not is_result(file, paths, str(directory))]
    show_suggestions([cnnlab.load(run) for run in runs], runs[0], files, directory, **options)
