"""Search for photos by the names in annotation files, restricted to the folder of photos."""

from pathlib import Path, PurePosixPath

from cnnlab.files.images import SUFFIXES, ImageError, read_header


def find_photo(folder: Path, name: str, source: str) -> tuple[Path, tuple[int, int] | None]:
    """Returns the path of a photo and its size (height, width) without decoding it.

    The size is None if the file is not an image. A name without the suffix of an image gets the first such suffix for
    which a file exists.

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
    except ImageError:  # callers that read the pixels report this file or leave it out
        return path, None


def _is_file(path: Path, suffix: str) -> bool:
    return path.with_name(path.name + suffix).is_file()
