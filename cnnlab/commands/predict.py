"""Predict image files: cnnlab predict RUN PATH... [--output DIR] [--format csv] [--mc 50]."""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import tyro

from cnnlab.commands.common import Misuse, Run, parse


def run(arguments: Sequence[str]) -> None:
    """Prints the predictions, or writes them with their pictures into a directory; boxes in COCO's results format."""

    def command(
        run: Run,
        paths: tyro.conf.Positional[tuple[str, ...]],
        /,
        output: str | None = None,
        format: Literal["json", "csv"] = "json",
        mc: int | Literal["auto"] | None = None,
        seed: int = 0,
    ) -> tuple:
        """Predict image files with a trained network.

        Args:
            run: the run directory.
            paths: image files and folders.
            output: directory for predictions.json or .csv, and for masks or drawn boxes; standard output if left out.
            format: of the predictions.
            mc: MC-Dropout passes, auto for as many as are needed; one plain pass if left out.
            seed: of the dropout masks.
        """
        return run, paths, output, format, mc, seed

    run, paths, output, form, mc, seed = parse(command, arguments, "predict")
    if not paths:
        raise Misuse("no PATH given; name image files or folders")
    import cnnlab
    from cnnlab import detections, predictions
    from cnnlab.data.images import find_images
    from cnnlab.training.run import write_text

    trained = cnnlab.load(run)
    write: Callable = {"json": predictions.write_json, "csv": predictions.write_csv}[form]
    files = find_images(paths)
    found = predictions.predict_files(trained, files, mc_samples=mc, seed=seed)
    records = []
    names = predictions.output_names(files)
    for number, (name, (path, prediction)) in enumerate(zip(names, found, strict=True), 1):
        if "boxes" in prediction:
            boxes = detections.coco_results(path, prediction, trained.spec, image_id=number)
            records += boxes
            if output:
                detections.draw_photo(path, boxes, Path(output) / f"{name}_boxes.png")
            continue
        records.append(predictions.record(path, prediction, trained.spec))
        if output:
            records[-1] |= predictions.save_masks(path, prediction, trained.spec, Path(output) / name)
    if getattr(trained.task, "logits", None) == "grid" and form == "json":
        write = detections.write_json
    if not output:
        write(records, sys.stdout)
        return
    text = io.StringIO()
    write(records, text)
    target = Path(output) / f"predictions.{form}"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text.getvalue())
    print(target)
