"""Sets that TFDS prepared before, read back without TensorFlow: images with one class each."""

import re
from pathlib import Path

import numpy as np

from cnnlab.data.builders import damaged, find_data_dir
from cnnlab.data.dataset import Columns, Dataset, from_arrays, split_columns
from cnnlab.data.images import decode_pixels
from cnnlab.data.targets import SPLITS

_NAME = re.compile(r"\w+(/[\w.+-]+)*")
_INFO = "dataset_info.json"


def tfds(
    set: str,
    *,
    data_dir: str | None = None,
    image: str = "image",
    label: str = "label",
    size: int | tuple[int, int] = 64,
    channels: int = 3,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    memory_megabytes: int = 4000,
) -> Dataset:
    """A classification set that TFDS prepared as array_record, held in memory.

    Args:
      set: its TFDS name, `NAME`, `NAME/CONFIG` or `NAME/CONFIG/VERSION`; the newest version if it gives none.
      data_dir: where it was prepared; TFDS's default if left out.
      image: the feature with the encoded image.
      label: the feature with the class.
      size: height and width in pixels; every whole image is resized to it.
      channels: 1 for grey, 3 for RGB.
      validation: share of the training images set aside, where the set has no such split.
      test: likewise.
      seed: of the split.
      memory_megabytes: refuse a set that takes more, decoded.

    Raises:
      ValueError: it is not prepared there, is damaged, is stored in another format, or lacks these features.
    """
    root = find_data_dir(data_dir)
    path = find_prepared(set, root)
    if path is None:
        raise ValueError(f"{set} is not prepared in {root}. {advice(set, root)}")
    import tensorflow_datasets

    with damaged(path):
        builder = tensorflow_datasets.builder_from_directory(path)
    stored = builder.info.file_format.value
    if stored != "array_record":
        raise ValueError(
            f"{path} is stored as {stored}, which needs TensorFlow to be read; prepare it again with "
            "file_format='array_record'"
        )
    features = builder.info.features
    for name in (image, label):
        if name not in features:
            raise ValueError(
                f"{set} has no feature {name!r}; it has {', '.join(sorted(features))}: set --data.image, --data.label"
            )
    height, width = (size, size) if isinstance(size, int) else size
    n = sum(part.num_examples for part in builder.info.splits.values())
    if n * height * width * channels > memory_megabytes * 1_000_000:
        raise ValueError(
            f"{set} has {n:,} examples, more than {memory_megabytes} MB at {height}x{width}x{channels}; lower "
            "--data.size or raise --data.memory-megabytes"
        )
    names = getattr(features[label], "names", None)
    splits = {
        SPLITS[split]: _read(builder, path, split, image, label, (height, width), channels)
        for split in builder.info.splits
        if split in SPLITS
    }
    if "train" not in splits:
        raise ValueError(f"{set} has no split 'train'; it has {', '.join(builder.info.splits)}")
    if "test" not in splits:
        splits |= split_columns(splits["train"], {"train": 1 - test, "test": test}, seed=seed)
    return from_arrays(splits, classes=tuple(names or ()), name=set, validation=validation, seed=seed)


def find_prepared(name: str, root: Path) -> Path | None:
    """The newest version of a set below TFDS's directory, if it is prepared there."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"set must be a TFDS name such as mnist or mnist/3.0.1, found {name!r}")
    for pattern in (_INFO, f"*/{_INFO}", f"*/*/{_INFO}"):
        found = [path.parent for path in (root / name).glob(pattern) if "incomplete" not in path.parent.name]
        if found:
            return max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)])
    return None


def is_known(name: str, data_dir: str | None = None) -> bool:
    """Whether TFDS ships a builder of that name or has prepared such a set."""
    if not _NAME.fullmatch(name) or ".." in name:
        return False
    root = find_data_dir(data_dir)
    return find_prepared(name, root) is not None or name.split("/")[0] in _stock()


def advice(name: str, root: Path) -> str:
    """What to do for a set that is not prepared."""
    if name.split("/")[0] not in _stock():
        return "TFDS knows no builder of that name; prepare it with a builder of your own (file_format='array_record')"
    return (
        "It is one of TFDS's own, whose preparation needs TensorFlow: install the extra with\n"
        "    pip install 'cnnlab[tf]'\nthen prepare it with\n"
        f'    python -c "import tensorflow_datasets as tfds; tfds.builder({name!r}, data_dir={str(root)!r})'
        ".download_and_prepare(file_format='array_record')\""
    )


def _stock() -> list[str]:
    import tensorflow_datasets

    return tensorflow_datasets.list_builders(with_community_datasets=False)


def _read(builder, path: Path, split: str, image: str, label: str, size: tuple[int, int], channels: int) -> Columns:
    import tensorflow_datasets

    with damaged(path):
        # Left encoded: TFDS would decode images with TensorFlow.
        source = builder.as_data_source(split, decoders={image: tensorflow_datasets.decode.SkipDecoding()})
        n = len(source)
        columns = {"image": np.empty((n, *size, channels), np.uint8), "label": np.empty(n, np.int32)}
        for start in range(0, n, 1000):
            places = range(start, min(start + 1000, n))
            for place, record in zip(places, source.__getitems__(list(places)), strict=True):
                name = f"{split}[{place}]"
                columns["image"][place] = decode_pixels(record[image], size=size, channels=channels, name=name)
                columns["label"][place] = record[label]
    return columns
