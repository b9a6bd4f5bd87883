"""Reads the ids of photos and categories from a COCO annotation file, so that results can be scored against it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cnnlab.data.annotations.coco import load_coco


class CocoIds(NamedTuple):
    """Ids of photos by file name, and ids of categories by name, in a COCO annotation file."""

    images: dict[str, int]
    categories: dict[str, int]

    def image(self, path: Path) -> int:
        """Returns the id of the photo whose file name the path ends with."""
        parts = path.resolve().parts
        names = ["/".join(parts[-n:]) for n in range(len(parts), 0, -1)]
        for name in names:
            if name in self.images:
                return self.images[name]
        raise ValueError(
            f"{path} is not in --ids; it lists {len(self.images)} photos, such as {next(iter(self.images))}"
        )


def read_coco_ids(path: str | Path, classes: Sequence[str]) -> CocoIds:
    """Reads the ids of photos and categories from a COCO annotation file.

    Args:
      path: annotation file.
      classes: names of the classes that the file must have as categories.

    Raises:
      ValueError: the file is no COCO JSON, lists no photo, or lacks one of the classes.
    """
    table = load_coco(Path(path))
    try:
        images = {str(image["file_name"]): int(image["id"]) for image in table["images"]}
        categories = {str(category["name"]): int(category["id"]) for category in table["categories"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: an image or a category lacks its name or its id ({error})") from error
    missing = [name for name in classes if name not in categories]
    if missing or not images:
        raise ValueError(f"{path} has {len(images)} images and no category {', '.join(missing) or 'missing'}")
    return CocoIds(images, categories)
