"""Search for photos by the names in annotation files, restricted to the folder of photos."""

from pathlib import Path, PurePosixPath

from cnnlab.files.images import read_header
from cnnlab.files.listing import SUFFIXES, existing_file, has_image_suffix
from cnnlab.files.opening import ImageError


def find_photo(folder: Path, name: str, source: str, *, below: str = "") -> tuple[Path, tuple[int, int] | None]:
    """Returns the path of a photo and its size (height, width) without decoding it.

    The size is None if the file is not an image. A name without the suffix of an image, of which no file exists, gets
    the first such suffix for which one does. Upper and lower case of a suffix, and Unicode's forms of one letter, make
    no difference.

    Args:
      folder: the folder of photos.
      name: the photo's path below it; backslashes count as slashes.
      source: the file that names the photo, for messages.
      below: the folder of that file below the folder of annotations, whose counterpart may hold the photo.

    Raises:
      ValueError: the name leads out of the folder, or there is no such file.

    >>> find_photo(Path("photos"), "../secret.jpg", "a.xml")
    Traceback (most recent call last):
    ValueError: a.xml: a photo must lie inside photos, found '../secret.jpg'
    """
    place = PurePosixPath(name.replace("\\", "/"))
    if not name or place.is_absolute() or ".." in place.parts:
        raise ValueError(f"{source}: a photo must lie inside {folder}, found {name!r}")
    candidates = [folder / below / place, folder / place]
    if not has_image_suffix(name):
        candidates += [path.with_name(path.name + suffix) for path in candidates for suffix in SUFFIXES]
    path = next((file for candidate in candidates if (file := existing_file(candidate))), None)
    if path is None:
        raise ValueError(f"{source} names a photo that is missing: {folder / place}; add it or remove the annotation")
    try:
        return path, read_header(path)[0]
    except ImageError:  # callers that read the pixels report this file or leave it out
        return path, None
