"""Addresses such as s3://bucket/photos: which places are addresses, and how an address is written."""

import functools
import re
from pathlib import Path

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//?)([^/].*)", re.DOTALL)  # a drive of Windows has one letter


def is_address(place: object) -> bool:
    """Returns whether a place is an address and not a local path; `file://` is a local path.

    `Path("s3://bucket/a")` is `s3:/bucket/a`, which counts as an address too, unless there is such a file.

    >>> is_address("s3://bucket/a"), is_address(Path("s3://bucket/a")), is_address("a/b"), is_address("C:/photos")
    (True, True, False, False)
    """
    return _split(place) is not None


def normal(place: object) -> str:
    """Returns an address in the form that cnnlab prints and stores; any other path stays as it is.

    Raises:
      ValueError: the address holds a password, or leads out of its folder.

    >>> normal(Path("S3://bucket/photos/")), normal("photos")
    ('s3://bucket/photos', 'photos')
    """
    if (parts := _split(place)) is None:
        return str(place).removeprefix("file://")
    scheme, rest = parts[0].lower(), parts[1].rstrip("/")
    host = rest.split("/")[0]
    if re.search(r":.*@", host) or (scheme in ("http", "https") and "@" in host):
        raise ValueError(f"an address of {scheme}:// holds a password; give it by the environment of the store")
    if {".", ".."} & set(rest.partition("?")[0].split("/")):
        raise ValueError(f"{scheme}://{rest.partition('?')[0]} holds . or ..; give the address without them")
    return f"{scheme}://{rest}"


def check_lasting(place: object, name: str) -> None:
    """Raises `ValueError` if a value is an address with a query, which may be a key, so that no file may store it."""
    if is_address(place) and "?" in normal(place):
        raise ValueError(f"{name} {without_query(normal(place))} has a query, which may be a key; leave out the ?...")


def without_query(address: str) -> str:
    """Returns an address without its query.

    >>> without_query("https://host/a.png?key=1b2c")
    'https://host/a.png'
    """
    return address.partition("?")[0]


def last_part(address: str) -> str:
    """Returns the last part of an address, which is the name of its copy.

    >>> last_part("https://host/a.png?key=1b2c")
    'a.png'
    """
    return without_query(address).rpartition("/")[2]


def bucket_and_name(address: str) -> tuple[str, str]:
    """Returns the bucket of an object and its name there.

    >>> bucket_and_name("s3://bucket/photos/a.png")
    ('s3://bucket', 'photos/a.png')
    """
    scheme, _, rest = address.partition("://")
    bucket, _, name = rest.partition("/")
    return f"{scheme}://{bucket}", name


def _split(place: object) -> tuple[str, str] | None:
    """Returns scheme and rest of an address; None of a local path."""
    match = _ADDRESS.fullmatch(str(place)) if isinstance(place, str | Path) else None
    if match is None or match[1].lower() in ("file", "local"):
        return None
    if match[2] == "/" and (not _is_scheme(match[1].lower()) or Path(place).exists()):
        return None
    return match[1], match[3]


@functools.cache
def _is_scheme(name: str) -> bool:
    try:
        import fsspec
    except ImportError:
        return False
    return name in fsspec.available_protocols()
