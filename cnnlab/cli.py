"""The command line: `cnnlab train | evaluate | predict | list`.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 failed, 2 misused.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.table import Table

from cnnlab.errors import unknown
from cnnlab.options import parse_experiment

FAILED, MISUSED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name not in COMMANDS:
        return _fail(unknown("command", name, COMMANDS), MISUSED)
    try:
        COMMANDS[name](rest)
    except SystemExit as stop:  # tyro's own: --help, or a flag that does not parse
        return int(stop.code or 0)
    except _Misuse as error:
        return _fail(error, MISUSED)
    except (ValueError, OSError, FloatingPointError) as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on where it stopped", FAILED)
    return 0


class _Misuse(ValueError):
    """The command line asks for something that does not exist."""


def _fail(error: object, code: int) -> int:
    print(f"cnnlab: {error}", file=sys.stderr)
    return code


def _overview() -> str:
    lines = [f"  {name:9} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: cnnlab COMMAND ...", "", *lines, "", "cnnlab COMMAND --help tells the options of each."])


def train(arguments: Sequence[str]) -> None:
    """Train a network: cnnlab train [PRESET] [--model.name ...] [--data.name ...] [--run-dir RUN]."""
    try:
        experiment, run_dir, as_json = parse_experiment(arguments)
    except ValueError as error:
        raise _Misuse(str(error)) from error
    import cnnlab
    from cnnlab.evaluation import augmentation_sheet, training_curves

    cnnlab.train(experiment, run_dir)
    pictures = run_dir / "figures"
    report = cnnlab.evaluate(run_dir, figures=pictures)
    training_curves(run_dir, pictures)
    augmentation_sheet(run_dir, pictures)
    if as_json:
        _print_json(report)
        return
    _print_report(report, "test split")
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"\ncheckpoint  {run_dir}")
    out.print(f"pictures    {', '.join(str(path) for path in sorted(pictures.glob('*.png')))}")
    out.print("next        " + f"cnnlab evaluate {run_dir} --mc 50\n            cnnlab predict {run_dir} PHOTO.png")
    out.print("            cnnlab list")


def evaluate(arguments: Sequence[str]) -> None:
    """Measure a trained network: cnnlab evaluate RUN [--split test] [--mc 50] [--json]."""

    def command(
        run: tyro.conf.Positional[str],
        /,
        split: str = "test",
        mc: int | None = None,
        seed: int = 0,
        figures: str | None = None,
        json: Annotated[bool, tyro.conf.arg(name="json")] = False,
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

    run, split, mc, seed, figures, as_json = _parse(command, arguments, "cnnlab evaluate")
    import cnnlab

    report = cnnlab.evaluate(run, split=split, mc_samples=mc, seed=seed, figures=figures)
    _print_json(report) if as_json else _print_report(report, f"{split} split of {run}")


def predict(arguments: Sequence[str]) -> None:
    """Predict image files: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50]."""

    def command(
        run: tyro.conf.Positional[str],
        paths: tyro.conf.Positional[tuple[str, ...]],
        /,
        output: str | None = None,
        format: Literal["json", "csv"] = "json",
        mc: int | None = None,
        seed: int = 0,
    ) -> tuple:
        """Predict image files with a trained network.

        Args:
            run: the run directory.
            paths: image files and folders.
            output: directory for predictions.json or .csv and for masks; standard output if left out.
            format: of the predictions.
            mc: MC-Dropout passes; one plain pass if left out.
            seed: of the dropout masks.
        """
        return run, paths, output, format, mc, seed

    run, paths, output, form, mc, seed = _parse(command, arguments, "cnnlab predict")
    if not paths:
        raise _Misuse("no PATH given; name image files or folders")
    import cnnlab
    from cnnlab import predictions
    from cnnlab.training.run import write_text

    trained = cnnlab.load(run)
    write: Callable = {"json": predictions.write_json, "csv": predictions.write_csv}[form]
    records = []
    for path, prediction in predictions.predict_files(trained, paths, mc_samples=mc, seed=seed):
        records.append(predictions.record(path, prediction, trained.spec))
        if output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(output))
    if not output:
        write(records, sys.stdout)
        return
    import io

    text = io.StringIO()
    write(records, text)
    target = Path(output) / f"predictions.{form}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(target)


def list_(arguments: Sequence[str]) -> None:
    """List presets, models, data and tasks: cnnlab list [--json]."""

    def command(json: Annotated[bool, tyro.conf.arg(name="json")] = False) -> bool:
        """List what can be named on the command line.

        Args:
            json: print one JSON object.
        """
        return json

    as_json = _parse(command, arguments, "cnnlab list")
    from cnnlab.data import SOURCES
    from cnnlab.models import MODELS
    from cnnlab.tasks import TASKS
    from cnnlab.training.presets import PRESETS

    tables = {"presets": PRESETS, "models": MODELS, "data": SOURCES, "tasks": TASKS}
    if as_json:
        _print_json({kind: list(table) for kind, table in tables.items()})
        return
    for kind, table in tables.items():
        print(f"{kind:8} {', '.join(table)}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "list": list_,
}


def _parse(command: Callable, arguments: Sequence[str], name: str):
    return tyro.cli(command, args=list(arguments), prog=name)


def _print_json(report: dict) -> None:
    print(json.dumps(report))


def _print_report(report: dict[str, float], title: str) -> None:
    """A short table; calibration errors stand beside their noise floor."""
    table = Table(title=title, title_justify="left", box=None, show_header=False, pad_edge=False)
    for name, value in report.items():
        if name == "ece_floor":
            continue
        text = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
        if f"{name}_floor" in report:
            text += f"  (noise floor {report[f'{name}_floor']:.4f})"
        table.add_row(name.replace("_", " "), text)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
