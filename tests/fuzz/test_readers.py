"""A damaged file is read, or refused by one error that names it: never a traceback of another kind.

Each reader meets some damaged files in the suite. `HYPOTHESIS_PROFILE=long pytest tests/fuzz -n auto` tries thousands a
reader, each within a gigabyte and five seconds.
"""

import base64
import contextlib
import dataclasses
import io
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from damage import damaged_bytes, damaged_json
from PIL import Image
from safetensors.numpy import save_file

from cnnlab.calibration.store import PostHoc, load_post_hoc, save_post_hoc
from cnnlab.data.annotations import read_annotations, read_table
from cnnlab.data.annotations.drawing import draw_mask, mask_classes
from cnnlab.data.annotations.voc_masks import read_labels
from cnnlab.data.masks import read_classes, read_codes
from cnnlab.data.sources import boxes
from cnnlab.data.targets import read_targets
from cnnlab.files.images import read_header, read_pixels
from cnnlab.files.nodata import known_pixels
from cnnlab.files.vectors import draw_polygons
from cnnlab.models import import_torch
from cnnlab.sheets import open_sheet
from cnnlab.trained import Trained
from cnnlab.training.experiment import Experiment
from cnnlab.training.run import read_experiment, read_history

COMMON = {"deadline": 5000, "suppress_health_check": list(hypothesis.HealthCheck), "database": None}
hypothesis.settings.register_profile("suite", max_examples=40, derandomize=True, **COMMON)
hypothesis.settings.register_profile("long", max_examples=2000, **COMMON)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@contextlib.contextmanager
def at_most_a_gigabyte():
    """Fails if the block makes the process hold a gigabyte more than before it, where Linux says how much it held."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not reset.exists():
        yield
        return
    reset.write_text("5")  # the largest size begins at the present one
    before = largest_kilobytes(status)
    yield
    assert largest_kilobytes(status) - before < 1 << 20


def largest_kilobytes(status: Path) -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])


PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A file that is damaged, and what reads it."""

    file: Path
    read: Callable[[], Any]


def encoded(kind: str, pixels: np.ndarray = PIXELS, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def photo(suffix: str, kind: str, pixels=PIXELS, **options):
    def case(folder: Path) -> Case:
        file = folder / f"a{suffix}"
        file.write_bytes(encoded(kind, pixels, **options))
        return Case(file, lambda: (read_header(file), read_pixels(file, size=(8, 8), channels=3), known_pixels(file)))

    return case


def mask(suffix: str, kind: str, pixels=PIXELS[..., 0]):
    def case(folder: Path) -> Case:
        file = folder / f"a{suffix}"
        file.write_bytes(encoded(kind, pixels))
        return Case(file, lambda: read_codes(file))

    return case


def read_windows(file: Path) -> None:
    with open_sheet(file, channels=3) as sheet:
        for corner in ((0, 0), [max(side - 512, 0) for side in sheet.size]):
            sheet.read(*(slice(start, min(start + 512, side)) for start, side in zip(corner, sheet.size, strict=True)))


def sheet(suffix: str, kind: str):
    def case(folder: Path) -> Case:
        file = folder / f"a{suffix}"
        file.write_bytes(encoded(kind))
        return Case(file, lambda: read_windows(file))

    return case


def npy(folder: Path) -> Case:
    file = folder / "a.npy"
    np.save(file, PIXELS)
    return Case(file, lambda: read_windows(file))


def npz(folder: Path) -> Case:
    np.savez(folder / "a.npz", PIXELS)
    file = (folder / "a.npz").rename(folder / "a.npy")
    return Case(file, lambda: read_windows(file))


def photos(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encoded("JPEG"))


def coco(folder: Path) -> Case:
    names = "abcdefghij"
    photos(folder, *(f"images/{name}.jpg" for name in names))
    table = {
        "images": [{"id": i, "file_name": f"{name}.jpg", "height": 24, "width": 20} for i, name in enumerate(names)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {
                "id": i,
                "image_id": i % 2,
                "category_id": 3 + 4 * (i % 2),
                "bbox": [1, 2, 8.5, 9],
                "area": 70,
                "iscrowd": 0,
            }
            for i in range(3)
        ],
    }
    file = folder / "annotations" / "instances.json"
    file.parent.mkdir()
    file.write_text(json.dumps(table))
    return Case(file, lambda: boxes(str(folder), size=16, validation=0.3, test=0.3))


def voc(folder: Path) -> Case:
    photos(folder, "JPEGImages/a.jpg")
    file = folder / "Annotations" / "a.xml"
    file.parent.mkdir()
    file.write_text(
        "<annotation><filename>a.jpg</filename><size><width>20</width><height>24</height></size><object><name>cat</name>"
        "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
        "</annotation>"
    )
    return Case(file, lambda: read_annotations(folder))


def yolo(folder: Path) -> Case:
    photos(folder, "images/a.jpg")
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text("cat\ndog\n")
    file = folder / "labels" / "a.txt"
    file.write_text("0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.5 0.5 0.2 0.4\n")
    return Case(file, lambda: read_annotations(folder))


def labels(name: str, content: Any, photo: str = "a.jpg"):
    """A photo and one file of an annotation tool beside it."""

    def case(folder: Path) -> Case:
        photos(folder, photo)
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return Case(file, lambda: drawn(folder))

    return case


def drawn(folder: Path) -> None:
    """Reads the annotations of a folder and draws the masks of the outlines."""
    for photo in read_annotations(folder).objects:
        if photo.size is not None:
            draw_mask(photo, mask_classes(sorted(set(photo.names)), 1), border=1)


RECTANGLE = [[2, 2], [9, 2], [9, 9], [2, 9]]
OUTLINES = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 24, "width": 20}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [
        {"image_id": 1, "category_id": 3, "bbox": [1, 2, 8.5, 9], "segmentation": [[2, 2, 9, 2, 9, 9.5]]},
        {"image_id": 1, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [24, 20], "counts": [50, 5, 425]}},
        {"image_id": 1, "category_id": 3, "segmentation": {"size": [24, 20], "counts": "b15i:"}},
    ],
}
SHAPES = {
    "version": "5.4.1",
    "imagePath": "a.jpg",
    "imageHeight": 24,
    "imageWidth": 20,
    "shapes": [
        {"label": "cat", "points": RECTANGLE, "shape_type": "polygon", "group_id": None},
        {"label": "cat", "points": RECTANGLE[::2], "shape_type": "circle", "group_id": 1},
        {"label": "dog", "points": RECTANGLE[:3], "shape_type": "linestrip"},
        {
            "label": "dog",
            "points": RECTANGLE[::2],
            "shape_type": "mask",
            "mask": base64.b64encode(encoded("PNG", PIXELS[:4, :4, 0])).decode(),
        },
    ],
}
REGIONS = {
    "a.jpg12": {
        "filename": "a.jpg",
        "file_attributes": {},
        "regions": [
            {
                "shape_attributes": {"name": "polygon", "all_points_x": [2, 9, 9], "all_points_y": [2, 2, 9]},
                "region_attributes": {"kind": "cat"},
            },
            {
                "shape_attributes": {"name": "circle", "cx": 9, "cy": 9, "r": 4},
                "region_attributes": {"kind": {"cat": True}},
            },
        ],
    }
}
TASKS = [
    {
        "data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "rectanglelabels",
                        "from_name": "label",
                        "value": {"x": 1, "y": 2, "width": 30, "height": 40, "rotation": 9, "rectanglelabels": ["cat"]},
                    },
                    {
                        "type": "polygonlabels",
                        "from_name": "label",
                        "value": {"points": RECTANGLE, "polygonlabels": ["dog"]},
                    },
                    {
                        "type": "brushlabels",
                        "from_name": "label",
                        "value": {"format": "rle", "rle": [0, 0, 7, 128, 56, 0, 1, 143, 252], "brushlabels": ["dog"]},
                    },
                ]
            }
        ],
    }
]
ROWS = "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,20,24,cat,1,2,9,9\na.jpg,20,24,dog,3,3,8,8\n"


def labelmap(folder: Path) -> Case:
    file = folder / "labelmap.txt"
    file.write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nhouse:10,10,128::\n")
    return Case(file, lambda: read_labels(folder))


def geojson(folder: Path) -> Case:
    rasterio = pytest.importorskip("rasterio")
    raster, file = folder / "r.tif", folder / "a.geojson"
    profile = {"driver": "GTiff", "height": 8, "width": 8, "count": 1, "dtype": "uint8", "crs": "EPSG:25832"}
    with rasterio.open(raster, "w", transform=rasterio.Affine(2, 0, 500_000, 0, -2, 5_400_000), **profile) as out:
        out.write(PIXELS[None, :8, :8, 0])
    ring = [[500_002, 5_399_998], [500_009, 5_399_998], [500_009, 5_399_990], [500_002, 5_399_998]]
    table = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:25832"}},
        "features": [{"properties": {"kind": "house"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}],
    }
    file.write_text(json.dumps(table))
    return Case(file, lambda: draw_polygons(file, raster, column="kind"))


def yaml(folder: Path) -> Case:
    file = folder / "data.yaml"
    file.write_text("path: ../data\ntrain: images/train\nnc: 2\nnames:\n  0: cat\n  1: 'dog'\n")
    return Case(file, lambda: read_table(file))


def classes(folder: Path) -> Case:
    file = folder / "classes.csv"
    file.write_text("class,colour\nroad,#ff8000\nignore,#000000\ntree,#00ff00\n")
    return Case(file, lambda: read_classes(file))


def targets(folder: Path) -> Case:
    photos(folder, "a.jpg", "b.jpg")
    file = folder / "targets.csv"
    file.write_text("file,split,label\na.jpg,train,cat\nb.jpg,test,dog\n")
    return Case(file, lambda: read_targets(folder))


def run_file(name: str, content: str, read: Callable[[Path], Any]):
    def case(folder: Path) -> Case:
        file = folder / name
        file.write_text(content)
        return Case(file, lambda: read(folder))

    return case


EXPERIMENT = json.dumps(Experiment().to_json())
HISTORY = "".join(json.dumps({"epoch": i, "step": 3 * i, "loss": 0.5, "seconds": None}) + "\n" for i in range(1, 4))
NETWORK = Trained({"params": {}}, None, None, None)


def post_hoc(folder: Path) -> Case:
    labels = np.arange(2000) % 2
    probs = np.where(labels[:, None] == np.arange(2), 0.8, 0.2)
    probs[::5] = probs[::5, ::-1]
    for method in ("temperature", "isotonic"):
        fit = PostHoc.fit(probs, labels, method=method, error=0.2, passes=None if method == "isotonic" else 5)
        file = save_post_hoc(fit, NETWORK, folder)
    value = json.loads(file.read_text())
    del value["digest"]  # or every change is found by it
    file.write_text(json.dumps(value))
    return Case(file, lambda: load_post_hoc(folder, NETWORK))


def weights(folder: Path) -> Case:
    file = folder / "w.safetensors"
    save_file({"fc.weight": np.ones((2, 3), np.float32), "fc.bias": np.ones(2, np.float32)}, file)
    return Case(file, lambda: import_torch("resnet18", file))


CASES = {
    "experiment": run_file("experiment.json", EXPERIMENT, lambda folder: read_experiment(folder / "experiment.json")),
    "history": run_file("metrics.jsonl", HISTORY, read_history),
    "post_hoc": post_hoc,
    "weights": weights,
    "png": photo(".png", "PNG"),
    "jpeg": photo(".jpg", "JPEG"),
    "gif": photo(".gif", "GIF"),
    "bmp": photo(".bmp", "BMP"),
    "webp": photo(".webp", "WEBP"),
    "tiff": photo(".tif", "TIFF"),
    "tiff, deflate": photo(".tif", "TIFF", compression="tiff_adobe_deflate"),
    "tiff, 16 bits": photo(".tif", "TIFF", PIXELS[..., 0].astype(np.uint16) * 100),
    "palette mask": mask(".png", "PNG"),
    "tiff mask": mask(".tif", "TIFF"),
    "sheet, tiff": sheet(".tif", "TIFF"),
    "sheet, png": sheet(".png", "PNG"),
    "npy": npy,
    "npz": npz,
    "coco": coco,
    "voc": voc,
    "yolo": yolo,
    "outlines": labels("annotations/a.json", OUTLINES),
    "labelme": labels("a.json", SHAPES),
    "via": labels("a.json", REGIONS),
    "label studio": labels("a.json", TASKS),
    "csv": labels("a.csv", ROWS),
    "labelmap": labelmap,
    "geojson": geojson,
    "yaml": yaml,
    "classes": classes,
    "targets": targets,
}


def refusal(read: Callable[[], Any]) -> str | None:
    """The message of the error with which a reader refuses a file; None where it reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read()
        except (ValueError, OSError) as error:
            return str(error)
    return None


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_file_is_read_or_named(name, tmp_path):
    case = CASES[name](tmp_path)
    original = case.file.read_bytes()
    damaged = damaged_bytes(original)
    if case.file.suffix in (".json", ".geojson"):
        damaged = damaged_json(original) | damaged

    @hypothesis.given(damaged)
    def read(data):
        case.file.write_bytes(data)
        with at_most_a_gigabyte():
            message = refusal(case.read)
        assert message is None or case.file.name in message or case.file.parent.name in message

    read()
