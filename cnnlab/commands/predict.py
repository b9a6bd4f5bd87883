"""Predict image files: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50]."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from cnnlab.commands.common import Misuse, Run, parse


def run(arguments: Sequence[str]) -> None:
    """Prints the predictions, or writes them with their masks into a directory."""

    def command(
        run: Run,
        paths: tyro.conf.Positional[tuple[str, ...]],
        /,
        output: str | None = None,
        format: Literal["json", "csv"] = "json",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
        calibrated: bool = False,
    ) -> tuple:
        """Predict image files with a trained network.

        Args:
            run: the run directory.
            paths: image files and folders.
            output: directory for predictions.json or .csv and for masks; standard output if left out.
            format: of the predictions.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            seed: of the dropout masks.
            calibrated: apply the calibration and the conformal sets that evaluate fitted and the run keeps.
        """
        return run, paths, output, format, mc, seed, calibrated

    run, paths, output, form, mc, seed, calibrated = parse(command, arguments, "predict")
    if not paths:
        raise Misuse("no PATH given; name image files or folders")
    import cnnlab
    from cnnlab import predictions
    from cnnlab.data.images import find_images
    from cnnlab.training.run import write_text
    from cnnlab.uncertainty.post_hoc import load_post_hoc

    trained = cnnlab.load(run)
    fitted = load_post_hoc(run, trained) if calibrated else None
    write: Callable = {"json": predictions.write_json, "csv": predictions.write_csv}[form]
    files = find_images(paths)
    found = predictions.predict_files(trained, files, mc_samples=mc, seed=seed, fitted=fitted)
    records = []
    for name, (path, prediction) in zip(predictions.output_names(files), found, strict=True):
        records.append(predictions.record(path, prediction, trained.spec))
        if output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(output) / name)
    if not output:
        write(records, sys.stdout)
        return
    text = io.StringIO()
    write(records, text)
    target = Path(output) / f"predictions.{form}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(target)
