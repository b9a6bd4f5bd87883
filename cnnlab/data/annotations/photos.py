"""Photos by the names that annotation files give them, never outside their folder."""

from pathlib import Path, PurePosixPath

from cnnlab.files.images import SUFFIXES, ImageError, read_header


def find_photo(folder: Path, name: str, source: str) -> tuple[Path, tuple[int, int] | None]:
    """The photo of that name and its size (height, width), pixels left unread; None for a file that is no image.

    A name without the suffix of an image gets the first of them that exists.

    Raises:
      ValueError: the name leads out of the folder, or there is no such file.

    >>> find_photo(Path("photos"), "../secret.jpg", "a.xml")
    Traceback (most recent call last):
    ValueError: a.xml: a photo must lie inside photos, found '../secret.jpg'
    """
    place = PurePosixPath(name.replace("\\", "/"))
    if not name or place.is_absolute() or ".." in place.parts:
        raise ValueError(f"{source}: a photo must lie inside {folder}, found {name!r}")
    path = folder / place
    if not path.suffix or path.suffix.lower() not in SUFFIXES:
        path = next((path.with_name(path.name + end) for end in SUFFIXES if _is_file(path, end)), path)
    if not path.is_file():
        raise ValueError(f"{source} names a photo that is missing: {path}; add it or remove the annotation")
    try:
        return path, read_header(path)[0]
    except ImageError:  # told, or left out, by those who read the pixels
        return path, None


def _is_file(path: Path, suffix: str) -> bool:
    return path.with_name(path.name + suffix).is_file()
