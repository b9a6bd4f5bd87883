"""Find labels that are likely wrong: cnnlab label-errors RUN [DATA] [--split train] [--folds 4] [--output DIR]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from cnnlab.commands.common import AsJson, Directory, Misuse, Run, parse
from cnnlab.files.tables import TableFormat, check_format


def run(arguments: Sequence[str]) -> None:
    """Prints the labels that are most likely wrong, and writes `label_errors.csv` and a contact sheet."""

    def command(
        run: Run,
        data: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[DATA]")] = None,
        /,
        split: str = "train",
        folds: int = 4,
        output: Directory = None,
        format: TableFormat = "csv",
        json: AsJson = False,
    ) -> tuple:
        """Find labels that networks which did not learn from them confidently contradict.

        If the network has learnt from these examples, as it has from its training split, its experiment is trained
        again on folds of them, and each network judges the fold that it has not seen; the cost is printed first.
        Otherwise (validation, test, another folder) the run's own network judges.

        Args:
            run: run directory of a classification.
            data: folder with labels, of the same classes; by default the run's own data.
            split: train, validation or test; of another folder without splits all examples count.
            folds: number of folds, and of networks that are trained.
            output: directory for label_errors.csv and label_errors.png, and for the folds' runs while they train, so
                that the same call resumes an interrupted one; by default RUN/label_errors.
            format: format of the table: csv, or parquet with its exact numbers (pip install 'cnnlab[parquet]').
            json: print one JSON object.
        """
        return run, data, split, folds, output, format, json

    path, data, split, folds, output, table_format, as_json = parse(command, arguments, "label-errors")
    if folds < 2:
        raise Misuse(f"--folds must be 2 or more, found {folds}")
    check_format(table_format)
    from cnnlab.commands.labelling_outputs import show_suspects

    directory = Path(output or Path(path) / "label_errors")
    show_suspects(path, data, split=split, folds=folds, output=directory, format=table_format, json=as_json)
