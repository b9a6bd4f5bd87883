"""Compare runs on the same examples: cnnlab compare RUN RUN... [--mc 50] [--output DIR]."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cnnlab.commands.common import AsJson, Directory, Misuse, MovedData, Runs, parse, print_json
from cnnlab.files.atomic import write_text
from cnnlab.files.tables import TableFormat, check_format, write_table
from cnnlab.quoting import for_terminal

WIDTH = 120  # columns of the tables where there is no terminal
SHOWN = 10
"""Largest number of differing examples that are printed; the files hold all."""


def run(arguments: Sequence[str]) -> None:
    """Compares runs and prints the differences of every score with their intervals."""

    def command(
        runs: Runs,
        /,
        data_path: MovedData = None,
        split: str = "test",
        mc: int | None = None,
        draws: int = 1000,
        level: float = 0.95,
        seed: int = 0,
        output: Directory = None,
        format: TableFormat = "csv",
        json: AsJson = False,
    ) -> tuple:
        """Compare runs on the same examples: is one better, or is it chance?

        Every other run is compared with the first. The interval of a difference comes from bootstrap samples that take
        the same examples for both runs. It is clear which run is better if the interval does not contain 0.

        Args:
            runs: two or more run directories; the first is the one to compare with.
            data_path: another labelled folder of the same classes to measure, or the new path of the first run's data.
            split: train, validation or test.
            mc: number of MC-Dropout passes; by default one pass without dropout.
            draws: number of bootstrap samples.
            level: nominal share of samples whose interval contains the true difference.
            seed: seed of the bootstrap samples and the dropout masks.
            output: directory for comparison.md, .csv and .tex, and differences.csv, the examples on which the runs
                differ.
            format: format of the two tables: csv, or parquet with its exact numbers (pip install 'cnnlab[parquet]').
            json: print one JSON object.
        """
        options = {"split": split, "mc_samples": mc, "draws": draws, "level": level, "seed": seed}
        return runs, data_path, options, output, format, json

    runs, data, options, output, table_format, as_json = parse(command, arguments, "compare")
    if len(runs) < 2:
        raise Misuse(f"compare needs two RUNs or more, found {len(runs)}")
    check_format(table_format)
    from cnnlab.evaluation import comparison_tables as tables
    from cnnlab.evaluation.compare import compare

    comparison = compare(list(runs), data, **options, quiet=False)
    differing = tables.difference_table(comparison)
    if output is not None:
        directory = Path(output)
        directory.mkdir(parents=True, exist_ok=True)
        for suffix, form in tables.FORMATS.items():
            write_text(directory / f"comparison.{suffix}", form(comparison))
        write_table(directory / f"comparison.{table_format}", tables.columns_of(comparison), cell=lambda value: value)
        write_table(directory / f"differences.{table_format}", differing)
        print(f"comparison  {for_terminal(directory / 'comparison.md')}", file=sys.stderr)
    if as_json:
        print_json(tables.as_json(comparison))
        return
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    for which in range(len(comparison.against)):
        _print(console, tables.metric_rows(comparison, which))
        if sentence := tables.mcnemar_sentence(comparison, which):
            console.print(for_terminal(sentence), soft_wrap=True)
    number = len(next(iter(differing.values()), ()))
    if number:
        console.print(f"\n{number} examples differ{f', the first {SHOWN}' if number > SHOWN else ''}")
        _print(console, tables.first_examples(differing, SHOWN))


def _print(console: Console, rows: list[list[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(rows[0]):
        table.add_column(for_terminal(column), justify="right" if i else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(for_terminal, row))
    console.print(table)
