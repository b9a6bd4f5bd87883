"""The standard datasets MNIST, Fashion-MNIST, KMNIST and CIFAR-10, prepared and read by TFDS without TensorFlow.

TFDS's own builders of these sets need TensorFlow to encode images. This builder stores PNG bytes in array_record files
under `DATA_DIR/cnnlab/NAME/VERSION`, beside the other sets of TFDS.
"""

import contextlib
import functools
import io
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.data.columns import Columns
from cnnlab.data.dataset import Dataset, from_arrays
from cnnlab.data.sources.decoded import load_or_decode
from cnnlab.data.sources.published import STANDARD, File, Standard, find_raw, read_split
from cnnlab.data.sources.tfds_directory import advice, damaged, find_data_dir, is_known
from cnnlab.errors import unknown

VERSION = "1.0.0"


def standard(name: str, /, *, data_dir: str | None = None, validation: float = 0.1, seed: int = 0) -> Dataset:
    """Loads a standard set that `cnnlab data prepare NAME` has prepared, in the published order.

    Args:
      name: `mnist`, `fashion_mnist`, `kmnist` or `cifar10`.
      data_dir: directory of prepared sets; TFDS's default if left out.
      validation: share of the training images that is set aside, stratified by class.
      seed: seed of the split.

    Raises:
      ValueError: the set is not prepared there (the message names the commands that prepare it), or it is damaged.
    """
    root = find_data_dir(data_dir)
    path = prepared_path(name, root)
    if not path.exists():
        where = "" if data_dir is None else f" --data-dir {data_dir}"
        raise ValueError(
            f"{name} is not prepared in {root}; fetch it with\n    cnnlab data prepare {name}{where}\n"
            f"or prepare it from files on disk with\n    cnnlab data prepare {name} --raw-dir DIR{where}"
        )
    about = STANDARD[name]
    splits = {
        split: load_or_decode(
            root / "cnnlab-decoded" / name / VERSION / split,
            path,
            functools.partial(_read, path, split, n, about.shape),
        )
        for split, n in about.sizes.items()
    }
    return from_arrays(splits, classes=about.classes, name=name, validation=validation, seed=seed)


def prepared_path(name: str, root: Path) -> Path:
    """Returns the directory in which a standard set is or would be prepared."""
    return root / "cnnlab" / name / VERSION


def prepare(name: str, *, raw_dir: str | Path | None = None, data_dir: str | Path | None = None) -> Path:
    """Prepares a standard set and returns its directory; a set that is already there is checked and stays the same.

    The directory appears as a whole or not at all: TFDS writes to another directory and renames it at the end.

    Args:
      name: name of the set.
      raw_dir: directory with its published files; they are downloaded if left out.
      data_dir: directory of prepared sets; TFDS's default if left out.

    Raises:
      ValueError: there is no such set, a file is missing or has a wrong checksum, its publisher is out of reach, or a
        damaged set is in the way.
    """
    root = find_data_dir(data_dir)
    if name not in STANDARD:
        if is_known(name, data_dir):
            raise ValueError(f"{name} is none of {', '.join(STANDARD)}. {advice(name, root)}")
        raise unknown("data to prepare", name, STANDARD)
    path = prepared_path(name, root)
    if path.exists():
        for split, n in STANDARD[name].sizes.items():
            _read(path, split, n, STANDARD[name].shape)
        return path
    raw = find_raw(STANDARD[name], Path(raw_dir).expanduser()) if raw_dir is not None else None
    if raw is None:
        _check_reachable(name, STANDARD[name].url)
    import tensorflow_datasets as tfds

    builder = _builder_class()(data_dir=root, config=name)
    builder.raw = raw
    config = tfds.download.DownloadConfig(force_checksums_validation=True)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # TFDS prints, but standard output is for results only
            builder.download_and_prepare(file_format="array_record", download_config=config)
    except (ValueError, KeyboardInterrupt):
        raise
    except Exception as error:  # TFDS's errors share no class, and downloads raise those of requests
        hint = f"; or give the files: cnnlab data prepare {name} --raw-dir DIR" if raw_dir is None else ""
        raise ValueError(f"{name} could not be prepared in {root} ({type(error).__name__}: {error}){hint}") from error
    return path


def _check_reachable(name: str, url: str) -> None:
    """Raises `ValueError` if the publisher's host is unknown; without a network TFDS would retry for minutes."""
    host = urllib.parse.urlsplit(url).hostname
    if host is None or urllib.request.getproxies():  # a proxy resolves the host
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise ValueError(
            f"{host}, where {name} is published, was not found ({error}); check the network, or give the files: "
            f"cnnlab data prepare {name} --raw-dir DIR"
        ) from error


@functools.cache
def _builder_class() -> type:
    """Returns the TFDS builder class, which is created on first use, because importing TFDS is slow."""
    import tensorflow_datasets as tfds

    class Cnnlab(tfds.core.GeneratorBasedBuilder):
        """Standard sets of small images as PNG bytes, with their index in the published order."""

        VERSION = tfds.core.Version(VERSION)
        BUILDER_CONFIGS = tuple(
            tfds.core.BuilderConfig(name=name, description=about.about) for name, about in STANDARD.items()
        )
        url_infos = _url_infos(STANDARD)
        raw: Mapping[str, Path] | None = None

        def _info(self):
            features = {
                "image": tfds.features.Tensor(shape=(), dtype=np.object_),
                "label": tfds.features.ClassLabel(names=STANDARD[self.builder_config.name].classes),
                "index": tfds.features.Scalar(np.int64),
            }
            features = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, description=self.builder_config.description, features=features)

        def _split_generators(self, dl_manager):
            about = STANDARD[self.builder_config.name]
            files = self.raw
            if files is None:
                files = dl_manager.download({key: about.url + file.name for key, file in about.files.items()})
            return {split: self._generate_examples(about, files, split) for split in about.sizes}

        def _generate_examples(self, about, files, split):
            files = {key: Path(path) for key, path in files.items()}
            for index, (image, label) in enumerate(read_split(about, files, split)):
                yield index, {"image": _encode(image), "label": label, "index": index}

    return Cnnlab


def _url_infos(table: Mapping[str, Standard]) -> dict[str, Any]:
    """Returns TFDS's size and checksum of every published file, by its URL."""
    from tensorflow_datasets.core.download.checksums import UrlInfo
    from tensorflow_datasets.core.utils import Size

    def info(file: File) -> UrlInfo:
        return UrlInfo(size=Size(file.size), checksum=file.sha256, filename=file.name)

    return {about.url + file.name: info(file) for about in table.values() for file in about.files.values()}


def _encode(image: np.ndarray) -> bytes:
    """Encodes an image as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def _decode(encoded: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes such a PNG; the conversions of `read_pixels` are slow, and these files need none."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded), formats=("PNG",))).reshape(shape)


def _source(path: Path, split: str, n: int):
    """Opens a prepared split as a sequence of records and checks its length."""
    import tensorflow_datasets as tfds

    with damaged(path):
        builder = tfds.builder_from_directory(path)
        source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        if len(source) != n:
            raise ValueError(f"{len(source)} records of {n} in {split}")
    return source


def _read(path: Path, split: str, n: int, shape: tuple[int, int, int]) -> Columns:
    """Reads a split's images and labels in the published order; array_record files hold them in TFDS's hashed order."""
    source = _source(path, split, n)
    columns = {"image": np.empty((n, *shape), np.uint8), "label": np.full(n, -1, np.int32)}
    with damaged(path):
        for start in range(0, n, 1000):
            for record in source.__getitems__(list(range(start, min(start + 1000, n)))):
                columns["image"][record["index"]] = _decode(record["image"], shape)
                columns["label"][record["index"]] = record["label"]
        if columns["label"].min() < 0:
            raise ValueError(f"records of {split} are missing")
    return columns


mnist = functools.partial(standard, "mnist")
fashion_mnist = functools.partial(standard, "fashion_mnist")
kmnist = functools.partial(standard, "kmnist")
cifar10 = functools.partial(standard, "cifar10")
