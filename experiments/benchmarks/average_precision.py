"""COCO's 12 numbers for boxes: cnnlab beside pycocotools.

    python experiments/benchmarks/average_precision.py [--json] [--coco DIR] [--voc DIR] [--images 500] [--classes 80]

The first row scores drawn boxes, with about as many detections as a detector returns. With `--coco` there is a row for
the 100 COCO images of github.com/rafaelpadilla/review_object_detection_metrics (`tests/test_coco_eval`), and with
`--voc` one for its 100 photos of Pascal VOC (`data/database`). `--record` stores the results. Both libraries start from
boxes in memory, and pycocotools from its own index, which is not timed. `largest_difference` compares the 12 numbers.
`ratio` is pycocotools' time divided by cnnlab's.

cnnlab is many times faster, and the numbers are the same up to rounding.
"""

import contextlib
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from timing import OFF, Options, print_rows, row, take_turns

from cnnlab.data.annotations import read_annotations
from cnnlab.metrics.detection.coco import coco_scores
from cnnlab.metrics.detection.matching import Columns


def drawn(images: int, classes: int, *, objects: int = 8, background: int = 30) -> tuple[Columns, Columns]:
    """Draws truths and detections: up to three near each object, others anywhere, with scores that tie."""
    rng = np.random.default_rng(0)
    detections = {"boxes": [], "scores": [], "classes": []}
    truths = {"boxes": [], "classes": []}
    for _ in range(images):
        n = rng.integers(0, 2 * objects)
        boxes = _boxes(rng, n)
        labels, copies = rng.integers(0, classes, n), rng.integers(0, 4, n)
        near = np.repeat(boxes, copies, 0)
        extent = np.tile(near[:, 2:] - near[:, :2], 2)
        near += rng.normal(0, 0.05, near.shape) * extent
        detections["boxes"].append(np.concatenate([near, _boxes(rng, background)]))
        detections["classes"].append(np.concatenate([np.repeat(labels, copies), rng.integers(0, classes, background)]))
        detections["scores"].append(rng.random(len(near) + background).round(2))
        truths["boxes"].append(boxes)
        truths["classes"].append(labels)
    return detections, truths


def _boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    low = rng.uniform(0, 500, (n, 2))
    return np.concatenate([low, low + np.exp(rng.uniform(np.log(8), np.log(250), (n, 2)))], 1)


def read_coco_results(folder: Path) -> tuple[Columns, Columns]:
    """Reads the stored detections and truths of 100 COCO images."""
    detections = json.loads((folder / "cocoapi_results.json").read_text())
    truths = json.loads((folder / "gts/sampled_gts_bbox_area.json").read_text())["annotations"]
    images = sorted({record["image_id"] for record in [*detections, *truths]})
    tables = []
    for records in (detections, truths):
        groups = [[record for record in records if record["image_id"] == image] for image in images]
        corners = [np.array([record["bbox"] for record in group], float).reshape(-1, 4) for group in groups]
        table = {"boxes": [np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1) for box in corners]}
        table["classes"] = [np.array([record["category_id"] for record in group], int) for group in groups]
        scores = [np.array([record.get("score", 1.0) for record in group]) for group in groups]
        tables.append(table | {"scores": scores})
    tables[1].pop("scores")
    return tables[0], tables[1]


def read_voc_results(folder: Path) -> tuple[Columns, Columns]:
    """Reads the stored detections and truths of 100 photos of Pascal VOC."""
    names = (folder / "voc.names").read_text().split()
    detections, truths = {"boxes": [], "scores": [], "classes": []}, {"boxes": [], "classes": []}
    for objects in read_annotations(folder, annotations="gts/pascalvoc_format", photos="images").objects:
        path = folder / "dets/abs_xyx2y2" / f"{objects.photo.stem}.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        numbers = np.array([line.split() for line in lines], float).reshape(-1, 6)
        detections["classes"].append(numbers[:, 0].astype(int))
        detections["scores"].append(numbers[:, 1])
        detections["boxes"].append(numbers[:, 2:])
        truths["boxes"].append(objects.boxes)
        truths["classes"].append(np.array([names.index(name) for name in objects.names], int))
    return detections, truths


def pycocotools(detections: Columns, truths: Columns) -> Callable[[], np.ndarray]:
    """Returns a call that evaluates and summarises as users of pycocotools do, without printing."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def records(columns: Columns) -> list[dict]:
        out = []
        for i, (boxes, labels) in enumerate(zip(columns["boxes"], columns["classes"], strict=True)):
            for j, ((x1, y1, x2, y2), k) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
                record = {"id": len(out) + 1, "image_id": i, "category_id": k + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                record |= {"area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                out.append(record | ({"score": float(columns["scores"][i][j])} if "scores" in columns else {}))
        return out

    classes = 1 + max(int(labels.max(initial=0)) for labels in [*detections["classes"], *truths["classes"]])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(truths["boxes"]))],
            "categories": [{"id": k + 1} for k in range(classes)],
            "annotations": records(truths),
        }
        truth.createIndex()
        result = truth.loadRes(records(detections))

    def run() -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(truth, result, "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation.stats

    return run


def main(
    json_only: Annotated[bool, tyro.conf.arg(name="json")] = False,
    coco: Path | None = None,
    voc: Path | None = None,
    images: int = 500,
    classes: int = 80,
    rounds: int = 3,
    repeats: int = 1,
    recording: Options = OFF,
) -> dict:
    """Times both libraries in turns on every set and prints a table or JSON.

    Args:
        json_only: print one JSON object.
        coco: folder tests/test_coco_eval.
        voc: folder with voc.names, gts, dets and images.
        images: number of drawn images.
        classes: number of classes of the drawn images.
        rounds: turns of each library.
        repeats: calls in a turn.
        recording: whether the results are stored.
    """
    sets = {f"{images} drawn images, {classes} classes": drawn(images, classes)}
    sets |= {} if coco is None else {"100 COCO images": read_coco_results(coco)}
    sets |= {} if voc is None else {"100 VOC photos": read_voc_results(voc)}
    rows = []
    for name, (detections, truths) in sets.items():
        variants = {"cnnlab": lambda detections=detections, truths=truths: coco_scores(detections, truths)}
        if importlib.util.find_spec("pycocotools"):
            variants["pycocotools"] = pycocotools(detections, truths)
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        fields = row(f"COCO's 12 numbers, {name}", times, images=len(truths["boxes"]))
        if "pycocotools" in variants:
            numbers = [np.array(list(variants["cnnlab"]().values())), variants["pycocotools"]()]
            fields["largest_difference"] = float(np.abs(numbers[0] - numbers[1]).max())
        rows.append(fields)
    return print_rows(rows, as_json=json_only, recording=recording)


if __name__ == "__main__":
    tyro.cli(main)
