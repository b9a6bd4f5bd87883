"""Which files of a folder are images: one rule for training, evaluation and prediction."""

import functools
import os
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cnnlab.files.text import read_text

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".avif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif"),
)
"""Suffixes of image files, in lower case. HEIC files count as images, and reading one says how to convert it."""

_CLUTTER = {
    *("thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"),
}
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"RIFF")
_MANIFEST_BYTES = 1_000_000_000
_NAMED = 3  # files that a message names


class Files(NamedTuple):
    """The visible files below a folder, sorted by their paths.

    Attributes:
      images: image files, by their suffix in any case, or, without a suffix, by their first bytes.
      others: all other files: of other suffixes, broken links, pipes and sockets.
    """

    images: list[Path]
    others: list[Path]


def is_visible(name: str) -> bool:
    """Returns whether a file or folder of this name counts: hidden ones and what file managers leave behind do not.

    >>> is_visible("a.png"), is_visible("._a.png"), is_visible("Thumbs.db"), is_visible("@eaDir")
    (True, False, False, False)
    """
    return not name.startswith(".") and name.lower() not in _CLUTTER


def has_image_suffix(path: str | Path) -> bool:
    """Returns whether the path ends like an image file, in upper or lower case.

    >>> has_image_suffix("a.JPG"), has_image_suffix("a.txt")
    (True, False)
    """
    return Path(path).suffix.lower() in SUFFIXES


def is_named_like_an_image(path: Path) -> bool:
    """Returns whether a file is an image by its suffix in any case, or, without a suffix, by its first bytes."""
    return has_image_suffix(path) if path.suffix else _begins_like_an_image(path)


def list_files(folder: str | Path, *, deep: bool = True) -> Files:
    """Lists the visible files of a folder.

    Links to folders are followed, except those that lead back to a folder that holds them.

    Args:
      folder: the folder, which exists.
      deep: whether subfolders count too.

    Raises:
      OSError: a folder cannot be listed; an unreadable folder is not an empty one.
    """
    files = Files([], [])
    for path in sorted(_walk(Path(folder), deep, ())):
        (files.images if _is_image(path) else files.others).append(path)
    return files


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """Returns the image files of paths: files as they are, folders as the images below them in them.

    Raises:
      ValueError: a path does not exist, or a folder contains no image.
    """
    return find_files(paths, list_files, kind="image", suffixes=SUFFIXES)


def find_files(
    paths: Sequence[str | Path],
    sort: Callable[[Path], tuple[list[Path], list[Path]]],
    *,
    kind: str,
    suffixes: Sequence[str],
) -> list[Path]:
    """Returns the files of a kind: files as they are, folders as the files of the kind below them; warns of others.

    Args:
      paths: files and folders.
      sort: function from a folder to its files of the kind and all others.
      kind: name of the kind in messages.
      suffixes: suffixes of the kind, for messages.

    Raises:
      ValueError: a path does not exist, or a folder contains no file of the kind.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files, others = sort(path)
            if not files:
                raise ValueError(f"{path} holds no {kind}; looked for {', '.join(suffixes)}")
            warn_left_out(path, others, kind=kind)
            found += files
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path} does not exist; give {kind} files or folders")
    return found


def read_manifest(path: Path) -> list[str]:
    """Returns the places that a text file in UTF-8 names, one a line, in their order; empty lines do not count.

    A place is a file or the address of one. A path that is not absolute counts from the current directory, as on the
    command line.

    Raises:
      ValueError: the text file cannot be read, is larger than a gigabyte, or names no file, or one twice.
    """
    places: dict[str, int] = {}
    for number, line in enumerate(read_text(path, limit=_MANIFEST_BYTES, kind="manifest").split("\n"), 1):
        name = line.removesuffix("\r")
        if name and (first := places.setdefault(name, number)) != number:
            raise ValueError(f"{path} names {name} in lines {first} and {number}; keep one of them")
    if not places:
        raise ValueError(f"{path} names no file; write one a line")
    return list(places)


def warn_left_out(folder: str | Path, others: Sequence[Path], *, kind: str = "image") -> None:
    """Warns of files that were left out because they are not of the kind that is read; names the first ones."""
    if others:
        names = ", ".join(str(path.relative_to(folder)) for path in others[:_NAMED])
        rest = ", ..." if len(others) > _NAMED else ""
        number = "1 file that is" if len(others) == 1 else f"{len(others):,} files that are"
        warnings.warn(f"{folder}: left out {number} no {kind}: {names}{rest}", stacklevel=3)


def existing_file(path: Path) -> Path | None:
    """Returns the file of this path, or one whose name looks the same but for the case of its suffix; None without."""
    try:
        if path.is_file():
            return path
        status = os.stat(path.parent)
    except (OSError, ValueError):  # a name too long, or with a null character
        return None
    name = _names(path.parent, status.st_mtime_ns).get(alike(path.name))
    return None if name is None or not (path.parent / name).is_file() else path.parent / name


@functools.lru_cache(maxsize=64)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Returns the names in a folder by their normalised form; a changed folder is read again."""
    return {alike(name): name for name in sorted(os.listdir(folder), reverse=True)}


def alike(name: str) -> str:
    """Returns the form in which names that look the same are equal, whatever the case of their suffix.

    >>> alike("a.JPG")
    'a.jpg'
    """
    stem, suffix = os.path.splitext(unicodedata.normalize("NFC", name))
    return stem + suffix.lower()


def stem_below(path: Path, folder: Path) -> str:
    """Returns a file's path below a folder without its suffix, by which an image finds its mask or its labels.

    Names that look the same are the same: Unicode's composed and decomposed forms count as one.

    >>> stem_below(Path("images/night/a.b.jpg"), Path("images"))
    'night/a.b'
    """
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def by_stem(files: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Returns files of a folder by `stem_below`.

    Raises:
      ValueError: two files have one stem.
    """
    out: dict[str, Path] = {}
    for file in files:
        if (other := out.setdefault(stem_below(file, folder), file)) != file:
            raise ValueError(f"{other} and {file} have one name and two suffixes; keep one of them")
    return out


def _walk(folder: Path, deep: bool, above: tuple[tuple[int, int], ...]) -> Iterator[Path]:
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link to a folder that holds it
        return
    with os.scandir(folder) as entries:
        visible = [(Path(entry.path), _is_folder(entry)) for entry in entries if is_visible(entry.name)]
    for path, is_folder in visible:
        if not is_folder:
            yield path
        elif deep:
            yield from _walk(path, deep, (*above, here))


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_image(path: Path) -> bool:
    try:
        return path.is_file() and is_named_like_an_image(path)
    except OSError:
        return False


def _begins_like_an_image(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(8).startswith(_SIGNATURES)
    except OSError:
        return False
