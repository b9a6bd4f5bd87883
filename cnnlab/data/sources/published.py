"""The standard datasets: the addresses and checksums of their published files, and readers of these files."""

import dataclasses
import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np


@dataclasses.dataclass(frozen=True)
class File:
    """A published file: its name, its size in bytes, its SHA-256 and, if known, the SHA-256 of its unpacked content."""

    name: str
    size: int
    sha256: str
    content: str | None = None


@dataclasses.dataclass(frozen=True)
class Standard:
    """A set of small images with one class each: 50,000 or 60,000 for training and 10,000 for testing."""

    about: str
    url: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    files: Mapping[str, File]  # keys train_images, train_labels, ..., or archive
    sizes: Mapping[str, int]


def _idx(*rows: tuple[int, str, str | None]) -> dict[str, File]:
    """Returns the four files of a set in IDX format, each row with its size and checksums."""
    names = {
        "train_images": "train-images-idx3-ubyte.gz",
        "train_labels": "train-labels-idx1-ubyte.gz",
        "test_images": "t10k-images-idx3-ubyte.gz",
        "test_labels": "t10k-labels-idx1-ubyte.gz",
    }
    return {key: File(name, *row) for (key, name), row in zip(names.items(), rows, strict=True)}


_SIXTY = {"train": 60_000, "test": 10_000}
_CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Sizes and SHA-256 of the files are those that TFDS publishes with its own builders of the same names.
STANDARD: dict[str, Standard] = {
    "mnist": Standard(
        "handwritten digits (LeCun, Cortes and Burges, 1998)",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        tuple("0123456789"),
        (28, 28, 1),
        _idx(
            (
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            (
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            (
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            (
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        _SIXTY,
    ),
    "fashion_mnist": Standard(
        "articles of clothing (Xiao, Rasul and Vollgraf, arXiv:1708.07747)",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        _CLOTHES,
        (28, 28, 1),
        _idx(
            (
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            (
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            (
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            (
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        _SIXTY,
    ),
    "kmnist": Standard(
        "cursive Japanese characters (Clanuwat et al., arXiv:1812.01718)",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        (28, 28, 1),
        _idx(
            (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4", None),
            (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17", None),
            (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5", None),
            (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c", None),
        ),
        _SIXTY,
    ),
    "cifar10": Standard(
        "photos of animals and vehicles (Krizhevsky, 2009)",
        "https://www.cs.toronto.edu/~kriz/",
        _THINGS,
        (32, 32, 3),
        {
            "archive": File(
                "cifar-10-binary.tar.gz",
                170052171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            )
        },
        {"train": 50_000, "test": 10_000},
    ),
}


def find_raw(standard: Standard, directory: Path) -> dict[str, Path]:
    """Returns the set's files in a directory, packed or unpacked, after checking the SHA-256 of each or of its content.

    Raises:
      ValueError: a file is missing, or is not the published one.
    """
    if not directory.is_dir():
        raise ValueError(f"{directory} is no folder; --raw-dir is the one that holds {_names(standard)}")
    paths = {}
    for key, file in standard.files.items():
        candidates = [directory / file.name, directory / file.name.removesuffix(".gz")]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise ValueError(f"{directory} lacks {file.name}; it must hold {_names(standard)}")
        _check(path, file, limit=_limit(standard))
        paths[key] = path
    return paths


def read_split(standard: Standard, files: Mapping[str, Path], split: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yields the images `[H, W, C]` uint8 of a split with their labels, in the published order.

    Raises:
      ValueError: a file does not match its format.
    """
    n, limit = standard.sizes[split], _limit(standard)
    if "archive" in files:
        images, labels = _read_cifar(files["archive"], split, n, standard.shape)
    else:
        images = _read_idx(files[f"{split}_images"], (n, *standard.shape[:2]), limit)
        labels = _read_idx(files[f"{split}_labels"], (n,), limit)
    if labels.max() >= len(standard.classes):
        raise ValueError(f"labels of {split} must lie in 0..{len(standard.classes) - 1}, found {labels.max()}")
    for image, label in zip(images.reshape(n, *standard.shape), labels, strict=True):
        yield image, int(label)


def _names(standard: Standard) -> str:
    return ", ".join(file.name for file in standard.files.values())


def _limit(standard: Standard) -> int:
    """Returns the largest size in bytes to which a file may unpack: all images and labels, with room for headers."""
    return sum(standard.sizes.values()) * (int(np.prod(standard.shape)) + 1) + 100_000


def _check(path: Path, file: File, limit: int) -> None:
    """Raises `ValueError` unless a file, or its unpacked content, has the published SHA-256."""
    with open(path, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    known = {file.sha256, file.content} - {None}
    if digest in known:
        return
    if file.content and path.suffix == ".gz" and hashlib.sha256(_unpack(path, limit)).hexdigest() == file.content:
        return
    raise ValueError(
        f"{path} has a wrong checksum: SHA-256 {digest} ({path.stat().st_size:,} bytes), not {file.sha256} "
        f"({file.size:,} bytes); fetch the file again"
    )


def _unpack(path: Path, limit: int) -> bytes:
    """Reads a file, unpacked if it is a gzip; memory never takes more than `limit` + 1 bytes of it."""
    try:
        with (gzip.open if path.suffix == ".gz" or _is_gzip(path) else open)(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot unpack {path} ({error}); fetch the file again") from error
    if len(content) > limit:
        raise ValueError(f"{path} unpacks to more than {limit:,} bytes; it is not the published file")
    return content


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _read_idx(path: Path, shape: tuple[int, ...], limit: int) -> np.ndarray:
    """Reads an IDX file.

    Its content is two zero bytes, 8 for uint8, the number of axes, each axis as big-endian int32, then the values.
    """
    content = _unpack(path, limit)
    start = 4 + 4 * len(shape)
    if len(content) < start or content[:4] != bytes((0, 0, 8, len(shape))):
        raise ValueError(f"{path} is no IDX file of bytes with {len(shape)} axes; fetch the file again")
    axes = tuple(int(axis) for axis in np.frombuffer(content[4:start], ">i4"))
    if axes != shape or len(content) != start + int(np.prod(shape)):
        raise ValueError(f"{path} must hold {shape}, found {axes} in {len(content):,} bytes; fetch the file again")
    return np.frombuffer(content[start:], np.uint8).reshape(shape)


def _read_cifar(path: Path, split: str, n: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Reads CIFAR-10's records, each a label and three colour planes, 10,000 records per file."""
    height, width, channels = shape
    record = 1 + height * width * channels
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    parts = []
    try:
        with tarfile.open(path) as archive:
            for name in names:
                member = archive.getmember(f"cifar-10-batches-bin/{name}")
                if member.size * len(names) != n * record:
                    raise ValueError(
                        f"{path}: {name} must have {n * record // len(names):,} bytes, has {member.size:,}"
                    )
                file = archive.extractfile(member) or io.BytesIO()
                parts.append(np.frombuffer(file.read(member.size), np.uint8).reshape(-1, record))
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot read {path} ({error}); fetch the file again") from error
    rows = np.concatenate(parts)
    return rows[:, 1:].reshape(n, channels, height, width).transpose(0, 2, 3, 1), rows[:, 0]
