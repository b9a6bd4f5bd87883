"""One listing of a folder, by which each format recognises its files and finds the photos that they name."""

import dataclasses
import functools
import mmap
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from cnnlab.data.targets import SPLITS
from cnnlab.errors import unknown
from cnnlab.files.images import read_header
from cnnlab.files.listing import alike, list_files
from cnnlab.files.opening import ImageError

MAX_HEADERS = 100_000  # sizes of photos that are remembered
MAX_SNIFFED = 2_000_000_000  # bytes of a file that is searched for words
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DRIVE = re.compile(r"[a-zA-Z]:[/\\]")
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)(?:ing|id|idation)?(?![a-z])")
_OF_WORD = {"train": "train", "val": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True)
class Survey:
    """The visible files of a folder and its subfolders.

    Attributes:
      root: the folder.
      images: image files, sorted.
      others: all other files, sorted.
    """

    root: Path
    images: Sequence[Path]
    others: Sequence[Path]

    @functools.cached_property
    def paths(self) -> Mapping[str, Path]:
        """Images by their path below the folder, with and without its suffix, in the form of `alike`."""
        paths = {alike(path.relative_to(self.root).as_posix()): path for path in self.images}
        return {below.rpartition(".")[0] or below: path for below, path in reversed(paths.items())} | paths

    @functools.cached_property
    def names(self) -> Mapping[str, Sequence[Path]]:
        """Images by their name alone, with and without its suffix, in the form of `alike`."""
        names: dict[str, list[Path]] = {}
        for path in self.images:
            for name in {alike(path.name), alike(path.name).rpartition(".")[0]} - {""}:
                names.setdefault(name, []).append(path)
        return names

    def ending(self, *suffixes: str, below: Path | None = None) -> list[Path]:
        """Returns the files that are no images and have one of these suffixes, in lower case."""
        chosen = [path for path in self.others if path.suffix.lower() in suffixes]
        return chosen if below is None else [path for path in chosen if path == below or below in path.parents]


def survey(root: Path) -> Survey:
    """Lists the files of a folder once; empty if it does not exist."""
    return Survey(root, *(list_files(root) if root.is_dir() else ([], [])))


def find_photo(
    found: Survey, name: str, source: str, folders: Iterable[Path], *, strict: bool = False, upward: bool = False
) -> Path:
    """Returns the photo that an annotation names.

    It is searched below each of the folders, then, by its name alone, everywhere. An absolute path or a URL, which
    comes from another machine, counts by its name alone; nothing is fetched. A name without the suffix of an image may
    be that of any image. The case of a suffix and Unicode's forms of one letter make no difference.

    Args:
      found: the listing of the whole folder.
      name: the photo's path; backslashes count as slashes.
      source: the file that names the photo, for messages.
      folders: the folders in which the photo may lie, the likeliest first.
      strict: whether these folders are the only ones.
      upward: whether the path may lead up to another folder within the root.

    Raises:
      ValueError: the name leads out of the folder, there is no such photo, or several have that name.

    >>> find_photo(survey(Path("photos")), "../secret.jpg", "a.xml", [Path("photos")])
    Traceback (most recent call last):
    ValueError: a.xml: a photo must lie inside photos, found '../secret.jpg'
    """
    url, name = bool(_URL.match(name)), name.replace("\\", "/")
    folders = list(folders)
    foreign = url or name.startswith("/") or bool(_DRIVE.match(name))
    place = PurePosixPath(name.split("?")[0] if url else name)
    if foreign:
        place = PurePosixPath(place.name)
    if ".." not in place.parts:  # the usual name, which one of the first folders has
        for folder in folders:
            if (photo := found.paths.get(alike(f"{_prefix(found.root, folder)}{place}"))) is not None:
                return photo
    inside = [path for folder in folders if (path := _below(found.root, folder, place)) is not None]
    if not place.name or not inside or (".." in place.parts and not upward):
        raise ValueError(f"{source}: a photo must lie inside {found.root}, found {name!r}")
    for path in inside:
        if (photo := found.paths.get(alike(path))) is not None:
            return photo
    same = [] if strict or ".." in place.parts else found.names.get(alike(place.name), [])
    if len(same) == 1:
        return same[0]
    if same:
        raise ValueError(
            f"{source} names the photo {name!r}, and {same[0]} and {same[1]} have that name; keep the folders that the "
            "annotations name, or name the folder of photos by --data.photos"
        )
    if url:
        raise ValueError(
            f"{source} names a photo by its URL, which is not fetched: {name}; download it into {found.root} under the "
            f"name {place.name!r}"
        )
    likely = next((folder for folder in folders if folder.is_dir()), folders[0])
    raise ValueError(f"{source} names a photo that is missing: {likely / place}; add it or remove the annotation")


def _below(root: Path, folder: Path, place: PurePosixPath) -> str | None:
    """Returns the path of `folder / place` below the root; None if it leads out of it."""
    prefix = _prefix(root, folder)
    if ".." not in place.parts and ".." not in prefix:
        return f"{prefix}{place}"
    parts: list[str] = []
    for part in PurePosixPath(f"{prefix}{place}").parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)


@functools.lru_cache(maxsize=10_000)
def _prefix(root: Path, folder: Path) -> str:
    """Returns a folder's path below the root with a slash behind it; empty for the root."""
    below = folder.relative_to(root).as_posix()
    return "" if below == "." else f"{below}/"


def photo_size(path: Path) -> tuple[int, int] | None:
    """Returns the height and width of the upright photo from its header; None if the file is no image.

    Callers that read the pixels report such a file or leave it out.
    """
    status = os.stat(path)
    return _size(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=MAX_HEADERS)
def _size(path: Path, changed: int, length: int) -> tuple[int, int] | None:
    """Returns the size of a photo; a changed file is read again."""
    try:
        return read_header(path)[0]
    except ImageError:
        return None


def split_of(path: Path, root: Path, *, by_name: bool = False) -> str | None:
    """Returns the split of a file: the first folder above it that is called like one, or None.

    Args:
      path: the file.
      root: the folder above which nothing counts.
      by_name: whether the word train, val or test in the file's own name decides first.

    >>> split_of(Path("d/valid/a.json"), Path("d")), split_of(Path("d/instances_val2017.json"), Path("d"), by_name=True)
    ('validation', 'validation')
    """
    if by_name and (word := _SPLIT_WORD.search(path.stem.lower())):
        return _OF_WORD[word[1]]
    return next((SPLITS[part] for part in path.relative_to(root).parts[:-1] if part in SPLITS), None)


def mentions(path: Path, words: Sequence[bytes]) -> bool:
    """Returns whether a regular file holds all these words; nothing is parsed."""
    try:
        if not path.is_file() or not 0 < path.stat().st_size <= MAX_SNIFFED:
            return False
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(word) >= 0 for word in words)
    except (OSError, ValueError):
        return False


def first_bytes(path: Path, number: int) -> bytes:
    """Returns the first bytes of a regular file; empty if it cannot be read."""
    try:
        if not path.is_file():
            return b""
        with open(path, "rb") as file:
            return file.read(number)
    except OSError:
        return b""


def chosen_attribute(names: Iterable[str], wanted: str | None, where: str) -> str | None:
    """Returns the attribute that holds the class: the one that the user names, or the only one; None without any.

    Raises:
      ValueError: there is no attribute of that name, or there are several and none is named.
    """
    names = sorted(set(names))
    if wanted is not None:
        if names and wanted not in names:
            raise ValueError(f"{where}: {unknown('attribute', wanted, names)}")
        return wanted
    if len(names) > 1:
        raise ValueError(
            f"{where}: objects have the attributes {', '.join(names[:8])}; name the one of the class by --data.label"
        )
    return names[0] if names else None
