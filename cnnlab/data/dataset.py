"""Datasets: named splits of examples, with the specification of their images."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from cnnlab.data.columns import COLUMNS, Columns
from cnnlab.data.ragged import Ragged
from cnnlab.data.spec import InputSpec
from cnnlab.data.splits import split_columns
from cnnlab.quoting import cut, shortened


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples in memory: arrays that share their first axis.

    `len(examples)` counts the examples, `examples[indices]` gathers a batch as a dict, and `examples.column(name)`
    returns one column. Any object with these three and `digest()` can be a split. A column can also stay on disk: it
    may be any object that is indexed like an array along its first axis and has `digest()`, like `ImageFiles`. If a
    split has `of_epoch(seed, epoch)`, like `Crops`, training uses the examples that it returns.

    Every split has the column `image` `[n, H, W, C]` uint8 (or float32 in [0, 1]); of signals `[n, 1, T, C]` float32 in
    their own unit. A task reads some of these:

    - `label` `[n]` int32;
    - `labels` `[n, k]` of 0 and 1;
    - `target` `[n, d]` float32;
    - `text` `[n, m]` int32, the indices of a string's characters, -1 = padding at the end;
    - `pair` and `above` `[n]` int32: two examples of one pair have the same number, and `above` is 1 for one and 0 for
      the other;
    - `clean` `[n, H, W, d]` float32, numbers for each pixel or, of a signal, for each time step;
    - `mask` `[n, H, W]` int32, -1 = ignored, optionally with `pixel_weight` `[n, H, W]` float32, the weight of each
      pixel in the loss;
    - `boxes` `[n, m, 4]` float32 xyxy in pixels with `classes` `[n, m]` int32, -1 = padding, optionally with `learnt`
      `[n, m]` bool.

    Training weighs the examples by an optional `weight` `[n]`, 0 or more; the evaluation counts each once. Only the
    evaluation reads `difficult` and `crowd` `[n, m]` bool; `area` `[n, m]` in square pixels of the photo; `photo`
    `[n]`, the number of a photo that several examples show; `photo_size` `[n, 2]`, its height and width; and `frame`
    `[n, 4]`, the rectangle (xyxy) of the photo on the image. Only augmentation reads `instances` `[n, H, W]` int32: for
    each pixel the index 0..m-1 of its object among the boxes, -1 = no object.

    Attributes:
      columns: the columns by name.
      files: `[n]` paths of the examples' files; None for examples that come from no file of their own. They are no part
        of the digest, so that data may move.
    """

    columns: Columns
    files: np.ndarray | None = dataclasses.field(default=None, kw_only=True)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {_kind(column)}" for name, column in self.columns.items())
        place = "in memory" if self.in_memory else "on disk"
        return f"Examples: {len(self):,} {place}\n  {cut(shapes, 300)}"

    def __len__(self) -> int:
        return len(self.columns["image"])

    def __getitem__(self, indices) -> Columns:
        return {name: column[indices] for name, column in self.columns.items()}

    def column(self, name: str) -> np.ndarray:
        """Returns one column of all examples; images on disk are not read until they are indexed."""
        column = self.columns[name]
        return column[:] if isinstance(column, Ragged) else column

    @property
    def in_memory(self) -> bool:
        """Returns whether every column is an array, so that gathering a batch is cheap."""
        return all(isinstance(column, np.ndarray | Ragged) for column in self.columns.values())

    def digest(self) -> str:
        """Returns a digest of all columns; it changes if any value changes."""
        return _digest(self.columns)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Named splits (`train`, `validation`, `test`) and the input specification that they share.

    Attributes:
      name: name in messages.
      spec: input specification.
      splits: examples of each split.
      remarks: sentences on how the data was read, which training prints.
      photo_sizes: `[n, 2]` height and width of some training photos before they were resized; None if unknown.
    """

    name: str
    spec: InputSpec
    splits: Mapping[str, Examples]
    remarks: tuple[str, ...] = ()
    photo_sizes: np.ndarray | None = None

    def __repr__(self) -> str:
        sizes = ", ".join(f"{split} {len(examples):,}" for split, examples in self.splits.items())
        size, k = "×".join(map(str, self.spec.shape)), len(self.spec.classes)
        kinds = f"{k} {'class' if k == 1 else 'classes'}{shortened(self.spec.classes)}"
        return f"Dataset {cut(self.name, 60)}: {cut(sizes, 90)}\n  images {size}, {kinds}"

    def __getitem__(self, split: str) -> Examples:
        if split not in self.splits:
            raise ValueError(f"{self.name} has no split {split!r}; it has {', '.join(self.splits)}")
        return self.splits[split]

    def fingerprint(self) -> dict[str, str]:
        """Returns a digest of every split, which shows whether a run is evaluated on the splits of its training."""
        return {name: examples.digest() for name, examples in self.splits.items()}


def _kind(column: Any) -> str:
    """Formats dtype and shape of a column, as far as it has them."""
    shape = getattr(column, "shape", None)
    return f"{column.dtype}[{', '.join(map(str, shape))}]" if shape is not None else type(column).__name__


def _digest(columns: Columns) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        column = columns[name]
        if not isinstance(column, np.ndarray | Ragged):
            digest.update(f"{name} {column.digest()} ".encode())
            continue
        digest.update(f"{name} {column.dtype} {column.shape} ".encode())
        column.update(digest) if isinstance(column, Ragged) else digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()[:16]


def from_arrays(
    splits: Mapping[str, Mapping[str, np.ndarray] | tuple[np.ndarray, np.ndarray]] | tuple[np.ndarray, np.ndarray],
    *,
    classes: Sequence[str] = (),
    name: str = "arrays",
    validation: float = 0.1,
    normalisation: bool = True,
    values: Literal["pixels", "signal"] = "pixels",
    rate: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Builds a dataset from arrays, one mapping of columns per split, and checks it.

    Args:
      splits: `{"train": {"image": [n, H, W, C], "label": [n]}, "test": ...}`; the columns are those of `Examples`.
        Images may lack the channel axis. A pair `(images, y)` stands for the columns of a split, or alone for `train`:
        whole numbers are labels `[n]`, and floating-point numbers are targets `[n]` or `[n, d]`.
      classes: names of the classes, or of the regression targets; numbered if left out.
      name: name of the dataset in messages.
      validation: share of `train` that is set aside (stratified, seeded) if there is no split `validation`.
      normalisation: whether to measure the mean and standard deviation of each channel on `train`; otherwise images
        stay in [0, 1].
      values: `signal` for signals `[n, T]` or `[n, T, C]` of any range in place of images; `clean` may then be
        `[n, T, d]`.
      rate: samples of a signal per second; None if unknown.
      seed: seed of the split.

    Raises:
      ValueError: a split is empty, lengths or image shapes differ, or a label lies outside the classes.

    >>> images = np.zeros((20, 8, 8), np.uint8)
    >>> data = from_arrays({"train": {"image": images, "label": np.arange(20) % 2}}, classes=("cat", "dog"))
    >>> len(data["train"]), len(data["validation"]), data.spec.shape
    (18, 2, (8, 8, 1))
    """
    if not isinstance(splits, Mapping):
        splits = {"train": splits}
    if "train" not in splits:
        raise ValueError(f"{name} needs a split 'train'; found {', '.join(splits) or 'none'}")
    named = {split: _named(columns, name) for split, columns in splits.items()}
    if values == "signal":
        named = {split: _as_rows(columns) for split, columns in named.items()}
    tables = {split: _columns(columns, f"{name}/{split}", values) for split, columns in named.items()}
    shapes = {split: columns["image"].shape[1:] for split, columns in tables.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"the splits of {name} must share one image shape, found {shapes}")
    if "validation" not in tables:
        parts = split_columns(tables["train"], {"train": 1 - validation, "validation": validation}, seed=seed)
        tables = parts | {split: columns for split, columns in tables.items() if split != "train"}
    classes = tuple(classes) or _numbered(tables)
    for split, columns in tables.items():
        _check_classes(columns, len(classes), f"{name}/{split}")
    height, width, channels = shapes["train"]
    measure = signal_statistics if values == "signal" else statistics
    mean, std = measure(tables["train"]["image"]) if normalisation else ((0.0,), (1.0,))
    spec = InputSpec((height, width), channels, mean, std, classes, values=values, rate=rate)
    return Dataset(name, spec, {split: Examples(columns) for split, columns in tables.items()})


def _named(columns: Any, name: str) -> Mapping[str, np.ndarray]:
    """Returns the columns of a split, which may be given as the pair `(images, y)`."""
    if isinstance(columns, Mapping):
        return columns
    if not (isinstance(columns, Sequence) and len(columns) == 2):
        raise ValueError(
            f"{name} needs a dict of columns for each split, {{'train': {{'image': x, 'label': y}}}}, or a pair "
            f"(x, y), found {type(columns).__name__}"
        )
    images, y = map(np.asarray, columns)
    if y.ndim > 1 and y.dtype.kind != "f":
        raise ValueError(
            f"labels of {name} must be [n] in a pair (x, y), found {list(y.shape)}; name the columns instead: "
            "{'train': {'image': x, 'labels': y}} for several labels an image, 'mask' for a class a pixel"
        )
    return {"image": images, "target" if y.dtype.kind == "f" else "label": y}


def _as_rows(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the columns of signals `[n, T]` or `[n, T, C]` as those of images of height 1."""
    out = dict(columns)
    for name, axes in (("image", 4), ("clean", 4), ("pixel_weight", 3)):
        if name in out:
            values = np.asarray(out[name])
            values = values[..., None] if values.ndim == 2 and axes == 4 else values
            out[name] = values[:, None] if values.ndim == axes - 1 else values
    return out


def _columns(columns: Mapping[str, np.ndarray], where: str, values: str) -> Columns:
    """Casts columns to the dtypes of `COLUMNS` and checks everything that does not depend on the classes."""
    if "image" not in columns:
        raise ValueError(f"{where} has no column 'image'; found {', '.join(columns) or 'none'}")
    out = {column: _annotation(column, np.asarray(values), where) for column, values in columns.items()}
    image = out["image"]
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4:
        raise ValueError(f"images of {where} must be [n, H, W] or [n, H, W, C], found {list(image.shape)}")
    if values == "signal" and not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"signals of {where} must be floating point, found {image.dtype}")
    if image.dtype != np.uint8:
        if not np.issubdtype(image.dtype, np.floating):
            raise ValueError(f"images of {where} must be uint8 or floating point, found {image.dtype}")
        image = image.astype(np.float32)
        if values == "signal" and not np.isfinite(image).all():
            raise ValueError(f"signals of {where} must be finite, found NaN or infinity; fill gaps by fill_gaps")
        if values == "pixels" and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"floating-point images of {where} must lie in [0, 1], found {_range(image)}")
    out["image"] = image
    lengths = {column: len(values) for column, values in out.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of {where} must have one length, found {lengths}")
    if not len(image):
        raise ValueError(f"{where} is empty")
    for column in out:
        of_pixels = column in COLUMNS and COLUMNS[column].axes.startswith("n H W") and column != "image"
        if of_pixels and out[column].shape[:3] != image.shape[:3]:
            raise ValueError(
                f"{column.rstrip('s')}s of {where} must be {list(image.shape[:3])}, found {list(out[column].shape)}"
            )
    return out


def _annotation(name: str, values: np.ndarray, where: str) -> np.ndarray:
    """Casts a column to its dtype and checks its shape; a column that `COLUMNS` lacks only has to hold numbers."""
    if values.dtype.kind not in "buif":
        raise ValueError(
            f"{name} of {where} must hold numbers, found {values.dtype}; give class indices and their names"
        )
    kind = COLUMNS.get(name)
    if kind is None or kind.dtype is None:
        return values
    if name == "target" and values.ndim == 1:
        values = values[:, None]
    axes = kind.axes.split()
    if values.ndim != len(axes) or (axes[-1] == "4" and values.shape[-1] != 4):
        raise ValueError(f"{name} of {where} must be [{', '.join(axes)}], found {list(values.shape)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} of {where} must be finite, found {values[~np.isfinite(values)][0]}")
    if name in ("weight", "pixel_weight") and (values < 0).any():
        raise ValueError(f"{name} of {where} must be 0 or more, found {values[values < 0][0]}")
    cast = values.astype(kind.dtype)
    if kind.dtype == np.int32 and (cast != values).any():
        raise ValueError(f"{name} of {where} must be whole numbers, found {values[cast != values][0]}")
    return cast


def _numbered(tables: Mapping[str, Columns]) -> tuple[str, ...]:
    """Returns the class names 0, 1, ... for a caller that names no classes."""
    train = tables["train"]
    for column in ("target", "labels", "clean"):
        if column in train:
            return tuple(map(str, range(train[column].shape[-1])))
    highest = [
        c[k].max() for c in tables.values() for k in ("label", "text", "mask", "classes") if k in c and c[k].size
    ]
    return tuple(map(str, range(max(highest) + 1))) if highest else ()


def _check_classes(columns: Columns, k: int, where: str) -> None:
    """Raises `ValueError` unless all labels and class indices fit `k` classes."""
    if "labels" in columns:
        labels = columns["labels"]
        if labels.shape[1] != k or not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"labels of {where} must be 0 or 1 in {k} columns for {k} classes, found {labels.shape[1]} "
                f"columns of {labels.min()}..{labels.max()}"
            )
    for column, (_, _, lowest, *_) in COLUMNS.items():
        if column not in columns or lowest is None:
            continue
        wrong = np.argwhere((columns[column] < lowest) | (columns[column] >= k))
        if len(wrong):
            index = tuple(map(int, wrong[0]))
            raise ValueError(
                f"{column} must lie in {lowest}..{k - 1} for {k} classes, found {columns[column][index]} at "
                f"{where}[{', '.join(map(str, index))}]; name all classes or fix the {column}"
            )


def statistics(images, *, sample: int | None = None, seed: int = 0) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Computes the mean and standard deviation of each channel of images scaled to [0, 1]; reads them in portions.

    Args:
      images: `[n, H, W, C]`, an array or files on disk.
      sample: number of images to measure, drawn without replacement; all if left out.
      seed: seed of the sample.
    """
    n = len(images)
    chosen = np.arange(n)
    if sample is not None and sample < n:
        chosen = np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    # Portions bound the memory: a whole set of uint8 in double precision would take eight times its size.
    portion = max(1, (1 << 24) // int(np.prod(images.shape[1:])))
    count, total, square = 0, 0.0, 0.0
    for start in range(0, len(chosen), portion):
        values = images[chosen[start : start + portion]]
        count += values[..., 0].size
        sums, squares = _sums(values)
        total, square = total + sums, square + squares
    mean = total / count / scale
    std = np.sqrt(np.maximum(square / count / scale**2 - mean**2, 0))
    return tuple(round(float(m), 6) for m in mean), tuple(round(float(s), 6) or 1.0 for s in std)


def signal_statistics(signals: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Computes the mean and standard deviation of each channel of signals `[n, 1, T, C]`, in their own unit.

    A channel that does not vary has a standard deviation of 1.

    >>> signal_statistics(np.array([1.0, 3.0]).reshape(1, 1, 2, 1))
    ((2.0,), (1.0,))
    """
    values = np.asarray(signals, np.float64)
    mean, std = values.mean((0, 1, 2)), values.std((0, 1, 2))
    return tuple(mean.tolist()), tuple(s or 1.0 for s in std.tolist())


def _sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sum of each channel and the sum of its squares; of uint8 it counts the values, which is quicker."""
    if images.dtype != np.uint8:
        images = images.astype(np.float64)
        return images.sum((0, 1, 2)), np.square(images).sum((0, 1, 2))
    counts = np.stack([np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(images, -1, 0)])
    values = np.arange(256)
    return counts @ values, counts @ values**2


def _range(values: np.ndarray) -> str:
    return f"{values.min():g}..{values.max():g}"
