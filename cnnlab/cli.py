"""The command line: `cnnlab train | evaluate | predict | export | data | list`.

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
from cnnlab.training.run import without_nan
from cnnlab.training.stopping import Stopped
from cnnlab.version import VERSION

FAILED, MISUSED = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if name == "--version":
        print(VERSION)
        return 0
    if name not in COMMANDS:
        return _fail(unknown("command", name, COMMANDS), MISUSED)
    try:
        COMMANDS[name](rest)
    except SystemExit as stop:  # tyro's own: --help, or a flag that does not parse
        return int(stop.code or 0)
    except _Misuse as error:
        return _fail(error, MISUSED)
    except (ValueError, OSError, FloatingPointError, Stopped) as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted", FAILED)
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
        experiment, wanted = parse_experiment(arguments)
    except ValueError as error:
        raise _Misuse(str(error)) from error
    from cnnlab import evaluation, pictures
    from cnnlab.training.loop import train_plan
    from cnnlab.training.plan import plan
    from cnnlab.uncertainty.dropout import has_dropout

    run_dir, figures = wanted.run_dir, wanted.run_dir / "figures"
    made = plan(experiment)
    trained = train_plan(made, run_dir, init_from=wanted.init_from)
    report = evaluation.evaluate(trained, made.dataset, figures=figures)
    pictures.training_curves(run_dir, figures)
    pictures.augmentation_sheet(made.experiment, made.dataset, figures)
    example = pictures.save_example(made.dataset, run_dir / "example.png")
    if wanted.json:
        _print_json(report)
        return
    _print_report(report, "test split")
    passes = " --mc 50" if has_dropout(trained) else ""
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"\ncheckpoint  {run_dir}")
    out.print(f"pictures    {', '.join(str(path) for path in sorted(figures.glob('*.png')))}")
    out.print(f"next        cnnlab evaluate {run_dir}{passes}")
    out.print(f"            cnnlab predict {run_dir} {example}{passes}")
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
    from cnnlab.data.images import find_images
    from cnnlab.training.run import write_text

    trained = cnnlab.load(run)
    write: Callable = {"json": predictions.write_json, "csv": predictions.write_csv}[form]
    files = find_images(paths)
    found = predictions.predict_files(trained, files, mc_samples=mc, seed=seed)
    records = []
    for name, (path, prediction) in zip(predictions.output_names(files), found, strict=True):
        records.append(predictions.record(path, prediction, trained.spec))
        if output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(output) / name)
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


def export(arguments: Sequence[str]) -> None:
    """Export a trained network: cnnlab export RUN --output FILE [--kind onnx]."""

    def command(
        run: tyro.conf.Positional[str], /, output: str, kind: Literal["stablehlo", "onnx"] = "stablehlo"
    ) -> tuple:
        """Write a network's forward pass, its normalisation included, for use without cnnlab.

        Args:
            run: the run directory.
            output: the file.
            kind: stablehlo, loaded by jax.export; or onnx (extra onnx).
        """
        return run, output, kind

    run, output, kind = _parse(command, arguments, "cnnlab export")
    from cnnlab.export import export as write
    from cnnlab.training.restore import load

    for name, shape in write(load(run), output, kind=kind).items():
        print(f"{output}  {name} [{', '.join(map(str, shape))}]")


def data(arguments: Sequence[str]) -> None:
    """Show and prepare data: cnnlab data list [--json] | prepare NAME [--raw-dir DIR] [--data-dir DIR]."""

    def command(
        action: tyro.conf.Positional[Literal["list", "prepare"]],
        name: tyro.conf.Positional[str | None] = None,
        /,
        raw_dir: str | None = None,
        data_dir: str | None = None,
        json: Annotated[bool, tyro.conf.arg(name="json")] = False,
    ) -> tuple:
        """List what data there is, or prepare a standard set.

        Args:
            action: list, or prepare.
            name: of the set to prepare.
            raw_dir: directory with the set's published files; downloaded if left out.
            data_dir: where prepared sets lie; TFDS_DATA_DIR or ~/tensorflow_datasets if left out.
            json: print one JSON object.
        """
        return action, name, raw_dir, data_dir, json

    action, name, raw_dir, data_dir, as_json = _parse(command, arguments, "cnnlab data")
    from cnnlab.data import builders, inventory

    if action == "prepare":
        if name is None:
            raise _Misuse("no NAME given; cnnlab data list shows the sets")
        path = builders.prepare(name, raw_dir=raw_dir, data_dir=data_dir)
        _print_json({"name": name, "path": str(path)}) if as_json else print(path)
        return
    entries = inventory.list_data(data_dir)
    if as_json:
        _print_json({"data_dir": str(builders.find_data_dir(data_dir)), "data": entries})
        return
    for entry in entries:
        print(f"{entry['name']:14} {entry['state']:13} {entry['megabytes']:8.1f} MB  {entry['next']}")


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
    "export": export,
    "data": data,
    "list": list_,
}


def _parse(command: Callable, arguments: Sequence[str], name: str):
    return tyro.cli(command, args=list(arguments), prog=name)


def _print_json(report: dict) -> None:
    print(json.dumps(without_nan(report)))


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
