"""COCO's 12 numbers of boxes: cnnlab beside pycocotools.

    python experiments/benchmarks/average_precision.py [--json] [--coco DIR] [--voc DIR] [--images 500] [--classes 80]

Rows: drawn boxes, as many detections as a detector leaves; with `--coco` the 100 COCO images of
github.com/rafaelpadilla/review_object_detection_metrics (`tests/test_coco_eval`), with `--voc` its 100 photos of Pascal
VOC (`data/database`). Both start from boxes in memory: pycocotools from its own index of them, which is not timed.
The numbers are compared too: `largest_difference` of the 12. `ratio` is pycocotools' time divided by cnnlab's.

Measured on two quiet cores of an AMD EPYC, pycocotools 2.0.11, 2026-11-21, ms of pycocotools and of cnnlab: 500 drawn
images 3,529 and 57 (ratio 62), the 100 of COCO 354 and 6.9 (51), the 100 of VOC 141 and 4.0 (36); the 12 numbers differ
by 1e-16.
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
from timing import print_rows, row, take_turns

from cnnlab.data.annotations import read_annotations
from cnnlab.metrics.detection.coco import coco_scores
from cnnlab.metrics.detection.matching import Columns


def drawn(images: int, classes: int, *, objects: int = 8, background: int = 30) -> tuple[Columns, Columns]:
    """Detections and truths: up to three detections near each object, and some of nothing; scores with ties."""
    rng = np.random.default_rng(0)
    found = {"boxes": [], "scores": [], "classes": []}
    truths = {"boxes": [], "classes": []}
    for _ in range(images):
        n = rng.integers(0, 2 * objects)
        boxes = _boxes(rng, n)
        labels, copies = rng.integers(0, classes, n), rng.integers(0, 4, n)
        near = np.repeat(boxes, copies, 0)
        extent = np.tile(near[:, 2:] - near[:, :2], 2)
        near += rng.normal(0, 0.05, near.shape) * extent
        found["boxes"].append(np.concatenate([near, _boxes(rng, background)]))
        found["classes"].append(np.concatenate([np.repeat(labels, copies), rng.integers(0, classes, background)]))
        found["scores"].append(rng.random(len(near) + background).round(2))
        truths["boxes"].append(boxes)
        truths["classes"].append(labels)
    return found, truths


def _boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    low = rng.uniform(0, 500, (n, 2))
    return np.concatenate([low, low + np.exp(rng.uniform(np.log(8), np.log(250), (n, 2)))], 1)


def read_coco_results(folder: Path) -> tuple[Columns, Columns]:
    """The stored results and truths of 100 COCO images."""
    found = json.loads((folder / "cocoapi_results.json").read_text())
    truths = json.loads((folder / "gts/sampled_gts_bbox_area.json").read_text())["annotations"]
    images = sorted({one["image_id"] for one in [*found, *truths]})
    tables = []
    for records in (found, truths):
        mine = [[one for one in records if one["image_id"] == image] for image in images]
        corners = [np.array([one["bbox"] for one in of_image], float).reshape(-1, 4) for of_image in mine]
        table = {"boxes": [np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], 1) for box in corners]}
        table["classes"] = [np.array([one["category_id"] for one in of_image], int) for of_image in mine]
        tables.append(table | {"scores": [np.array([one.get("score", 1.0) for one in of_image]) for of_image in mine]})
    tables[1].pop("scores")
    return tables[0], tables[1]


def read_voc_results(folder: Path) -> tuple[Columns, Columns]:
    """The stored detections and truths of 100 photos of Pascal VOC."""
    names = (folder / "voc.names").read_text().split()
    found, truths = {"boxes": [], "scores": [], "classes": []}, {"boxes": [], "classes": []}
    for one in read_annotations(folder, annotations="gts/pascalvoc_format", photos="images").objects:
        path = folder / "dets/abs_xyx2y2" / f"{one.photo.stem}.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        numbers = np.array([line.split() for line in lines], float).reshape(-1, 6)
        found["classes"].append(numbers[:, 0].astype(int))
        found["scores"].append(numbers[:, 1])
        found["boxes"].append(numbers[:, 2:])
        truths["boxes"].append(one.boxes)
        truths["classes"].append(np.array([names.index(name) for name in one.names], int))
    return found, truths


def pycocotools(found: Columns, truths: Columns) -> Callable[[], np.ndarray]:
    """Evaluation and summary as its users run them, printing nothing."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def records(columns: Columns) -> list[dict]:
        out = []
        for i, (boxes, labels) in enumerate(zip(columns["boxes"], columns["classes"], strict=True)):
            for j, ((x1, y1, x2, y2), k) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
                one = {"id": len(out) + 1, "image_id": i, "category_id": k + 1, "bbox": [x1, y1, x2 - x1, y2 - y1]}
                one |= {"area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                out.append(one | ({"score": float(columns["scores"][i][j])} if "scores" in columns else {}))
        return out

    classes = 1 + max(int(labels.max(initial=0)) for labels in [*found["classes"], *truths["classes"]])
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i} for i in range(len(truths["boxes"]))],
            "categories": [{"id": k + 1} for k in range(classes)],
            "annotations": records(truths),
        }
        truth.createIndex()
        result = truth.loadRes(records(found))

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
) -> dict:
    """Times both in turn on every set and prints a table.

    Args:
        json_only: print one JSON object instead.
        coco: the folder tests/test_coco_eval.
        voc: the folder with voc.names, gts, dets and images.
        images: of the drawn set.
        classes: of the drawn set.
        rounds: turns of each.
        repeats: calls in a turn.
    """
    sets = {f"{images} drawn images, {classes} classes": drawn(images, classes)}
    sets |= {} if coco is None else {"100 COCO images": read_coco_results(coco)}
    sets |= {} if voc is None else {"100 VOC photos": read_voc_results(voc)}
    rows = []
    for name, (found, truths) in sets.items():
        variants = {"cnnlab": lambda found=found, truths=truths: coco_scores(found, truths)}
        if importlib.util.find_spec("pycocotools"):
            variants["pycocotools"] = pycocotools(found, truths)
        times = take_turns(variants, rounds=rounds, repeats=repeats)
        one = row(f"COCO's 12 numbers, {name}", times, images=len(truths["boxes"]))
        if "pycocotools" in variants:
            numbers = [np.array(list(variants["cnnlab"]().values())), variants["pycocotools"]()]
            one["largest_difference"] = float(np.abs(numbers[0] - numbers[1]).max())
        rows.append(one)
    return print_rows(rows, as_json=json_only)


if __name__ == "__main__":
    tyro.cli(main)
