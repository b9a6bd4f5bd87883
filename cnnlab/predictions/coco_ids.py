"""The numbers under which a COCO annotation file knows photos and classes, so that results can be scored against it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.annotations.coco import load_coco


class CocoIds(NamedTuple):
    """Numbers of photos by file name, and of categories by name, in a COCO annotation file."""

    images: dict[str, int]
    categories: dict[str, int]

    def image(self, path: Path) -> int:
        """The number of the photo whose file name the path ends with."""
        parts = path.resolve().parts
        names = ["/".join(parts[-n:]) for n in range(len(parts), 0, -1)]
        for name in names:
            if name in self.images:
                return self.images[name]
        raise ValueError(f"{path} is no photo of --ids; it lists {len(self.images)}, such as {next(iter(self.images))}")


def read_coco_ids(path: str | Path, classes: Sequence[str]) -> CocoIds:
    """The numbers under which an annotation file knows photos and classes, so that results can be scored against it.

    Raises:
      ValueError: the file is no COCO JSON, or lacks one of the classes.
    """
    table = load_coco(Path(path))
    try:
        images = {str(one["file_name"]): int(one["id"]) for one in table["images"]}
        categories = {str(one["name"]): int(one["id"]) for one in table["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: an image or a category lacks its name or its id ({error})") from error
    missing = [name for name in classes if name not in categories]
    if missing or not images:
        raise ValueError(f"{path} has {len(images)} images and no category {', '.join(missing) or 'missing'}")
    return CocoIds(images, categories)
