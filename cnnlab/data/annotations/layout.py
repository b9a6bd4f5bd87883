"""Which format a folder is in, and where its parts lie."""

from pathlib import Path

from cnnlab.data.annotations.coco import read_coco
from cnnlab.data.annotations.record import Annotations
from cnnlab.data.annotations.voc import read_voc
from cnnlab.data.annotations.yolo import TABLES, holds_yolo, read_yolo

LAYOUTS = (
    "Annotations/*.xml with JPEGImages, annotations/*.json, or labels and images (also in train, valid, test) with "
    "classes.txt or data.yaml"
)


def find_format(root: Path, annotations: str | None = None) -> str | None:
    """`voc`, `coco` or `yolo`, by what lies in the folder (in `annotations`, where that is given); None if neither.

    >>> find_format(Path("no/such/folder"))
    """
    if annotations is not None:
        given = root / annotations
        if given.is_file():
            return "coco" if given.suffix == ".json" else None
        endings = {".xml": "voc", ".json": "coco", ".txt": "yolo"}
        return next((name for end, name in endings.items() if any(given.glob(f"**/*{end}"))), None)
    if (root / "Annotations").is_dir() and any((root / "Annotations").glob("*.xml")):
        return "voc"
    if (root / "annotations").is_dir() and any((root / "annotations").glob("*.json")):
        return "coco"
    if holds_yolo(root) and _table(root):
        return "yolo"
    return None


def read_annotations(root: Path, *, annotations: str | None = None, photos: str | None = None) -> Annotations:
    """What the folder's files say.

    Args:
      root: the folder.
      annotations: the folder of annotations (or the one JSON file) within it, where it has another name.
      photos: the folder of photos within it, likewise.

    Raises:
      ValueError: the folder is in none of the three formats, a file is wrong, or a photo is annotated twice.
    """
    found = _read(root, annotations, photos)
    sources: dict[Path, str] = {}
    for one in found.objects:
        if one.photo in sources:
            raise ValueError(f"{one.photo} is annotated twice, by {sources[one.photo]} and {one.source}; keep one")
        sources[one.photo] = one.source
    return found


def _read(root: Path, annotations: str | None, photos: str | None) -> Annotations:
    for name in (annotations, photos):
        if name is not None and not (root / name).exists():
            raise ValueError(f"{root / name} does not exist; name a folder within {root}")
    kind = find_format(root, annotations)
    if kind is None:
        where = root if annotations is None else root / annotations
        raise ValueError(f"{where} holds no annotations; looked for {LAYOUTS}")
    if kind == "voc":
        lists = root / "ImageSets" / "Main"
        return read_voc(root / (annotations or "Annotations"), root / (photos or "JPEGImages"), lists)
    if kind == "coco":
        given = root / (annotations or "annotations")
        # The official archive has captions and keypoints beside the instances.
        files = [given] if given.is_file() else sorted(given.glob("instances_*.json")) or sorted(given.glob("*.json"))
        return read_coco(files, root, root / photos if photos else None)
    table = _table(root)
    if table is None:
        raise ValueError(f"{root} needs {TABLES[0]}, one class a line in the order of their numbers, or data.yaml")
    return read_yolo(root, table, labels=annotations, photos=photos)


def _table(root: Path) -> Path | None:
    """The first file of class names: in the folder before its `labels`, text before YAML."""
    places = (folder / name for folder in (root, root / "labels") for name in TABLES)
    return next((path for path in places if path.is_file()), None)
