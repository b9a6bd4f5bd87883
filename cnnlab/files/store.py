"""Objects of a store elsewhere, such as a bucket: listing, reading and writing them through fsspec.

The credentials are those of the environment. A cut connection is tried again; then the error names the object.
"""

import contextlib
import errno
import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeVar

from cnnlab.errors import check_known

T = TypeVar("T")

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try after a cut connection."""

_AZURE = ("az", "abfs", "abfss")

EXCLUSIVE = ("s3", "s3a", "gs", "gcs", *_AZURE, "memory")
"""Schemes of the stores that create an object only if there is none, whoever else tries at the same time."""

_ETAGS = ("ETag", "etag", "generation", "content_md5", "md5Hash")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_NETWORK = ("aiobotocore", "aiohttp", "asyncio", "azure", "botocore", "gcsfs", "google", "requests", "s3fs", "ssl")
_NETWORK += ("urllib3",)


class Store(NamedTuple):
    """A connection to a store.

    Attributes:
      system: file system of fsspec.
      root: path of the address in it.
      address: the address, for messages.
    """

    system: Any
    root: str
    address: str


class Object(NamedTuple):
    """What a listing says of an object.

    Attributes:
      size: number of bytes; -1 if the store does not say.
      mark: text that changes whenever the object does; empty if the store has none.
    """

    size: int
    mark: str


class Missing(ValueError):
    """There is no such bucket, folder or object."""


def connect(address: str) -> Store:
    """Connects to the store of an address.

    Raises:
      ValueError: the scheme is unknown, its package is not installed, or it needs credentials.

    >>> connect("memory://bucket/photos").root
    '/bucket/photos'
    """
    scheme = address.partition(":")[0]
    try:
        import fsspec

        check_known("scheme", scheme, fsspec.available_protocols())
        system, root = fsspec.url_to_fs(address)
    except ImportError as error:
        extra = "azure" if scheme in _AZURE else "remote"
        raise ValueError(f'{scheme}:// needs the extra {extra}: pip install "cnnlab[{extra}]" ({error})') from error
    except ValueError as error:
        if scheme not in _AZURE:
            raise
        raise ValueError(
            f"{address}: no credentials in this environment ({_reason(error)}); set AZURE_STORAGE_CONNECTION_STRING, "
            "or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"
        ) from None
    return Store(system, root.rstrip("/"), address.partition("?")[0])


def objects(store: Store) -> dict[str, Object]:
    """Lists the objects below an address by their names relative to it; a single object has the empty name.

    Raises:
      Missing: there is nothing, or an empty folder.
      ValueError: listing is not permitted, or an object's name cannot be that of a file.
      OSError: the store cannot be reached.
    """
    system, root, address = store

    def listed() -> dict[str, dict]:
        system.invalidate_cache()
        info = system.info(root)
        return {root: info} if info["type"] == "file" else system.find(root, detail=True)

    out = {}
    listing = _tried(address, "listing it", listed)
    if not listing:
        raise _missing(address)
    for path, info in listing.items():
        name = "" if path == root else path.removeprefix(f"{root}/")
        if info["type"] == "file" and not path.endswith("/"):  # an object of that name stands for an empty folder
            out[_checked(name, address)] = Object(_size(info), _mark(info))
    folders = {folder.as_posix() for name in out for folder in PurePosixPath(name).parents}
    if both := sorted(folders & out.keys()):
        raise ValueError(f"{address} has an object {both[0]!r} and others below it; rename the object")
    return out


def look(store: Store, name: str) -> Object:
    """Asks for the size and the mark of an object; raises as `download` does."""
    info = _tried(_named(store, name), "looking at it", lambda: store.system.info(_path(store, name)))
    if info["type"] != "file":
        raise ValueError(f"{_named(store, name)} is a folder; name the objects in it")
    return Object(_size(info), _mark(info))


def download(store: Store, name: str, file: Path, size: int) -> None:
    """Reads an object into a file.

    Raises:
      Missing: there is no such object.
      ValueError: reading is not permitted.
      OSError: the connection was cut every time, or the object is shorter or longer than its size.
    """

    def read() -> None:
        store.system.get_file(_path(store, name), str(file))
        if size >= 0 and (length := file.stat().st_size) != size:
            raise ConnectionError(f"{length:,} of {size:,} bytes came")

    _tried(_named(store, name), "reading it", read)


def upload(store: Store, name: str, file: Path | bytes) -> None:
    """Writes an object from a file or from bytes; raises as `download` does."""
    path = _path(store, name)
    if isinstance(file, bytes):
        _tried(_named(store, name), "writing it", lambda: store.system.pipe_file(path, file))
    else:
        _tried(_named(store, name), "writing it", lambda: store.system.put_file(str(file), path))


def create(store: Store, name: str, data: bytes) -> bool:
    """Writes an object only if there is none of its name, and returns whether it did; raises as `download` does."""
    path = _path(store, name)
    try:
        _tried(_named(store, name), "writing it", lambda: store.system.pipe_file(path, data, mode="create"))
    except FileExistsError:
        return False
    return True


def read(store: Store, name: str) -> bytes:
    """Reads a small object; raises as `download` does."""
    return _tried(_named(store, name), "reading it", lambda: store.system.cat_file(_path(store, name)))


def delete(store: Store, name: str) -> None:
    """Deletes an object, if it is there; raises as `download` does."""
    with contextlib.suppress(Missing):
        _tried(_named(store, name), "deleting it", lambda: store.system.rm_file(_path(store, name)))


def _path(store: Store, name: str) -> str:
    return f"{store.root}/{name}" if name else store.root


def _named(store: Store, name: str) -> str:
    return f"{store.address}/{name}" if name else store.address


def _checked(name: str, address: str) -> str:
    """Returns the name of an object; raises `ValueError` if it is not the path of a file below a folder."""
    if name and ({"", ".", ".."} & set(name.split("/")) or "\0" in name or "\\" in name):
        raise ValueError(f"{address} has an object {name!r}, which cannot be a file of a folder; rename it")
    return name


def _size(info: dict) -> int:
    return -1 if info.get("size") is None else int(info["size"])


def _mark(info: dict) -> str:
    """Returns an object's tag and time, as far as its store has them."""
    known = [next((str(info[key]) for key in keys if info.get(key)), "") for keys in (_ETAGS, _TIMES)]
    return " ".join(filter(None, known))


def _tried(address: str, doing: str, call: Callable[[], T]) -> T:
    """Calls a function of a store, again after a cut connection, and turns its errors into those of this module."""
    for pause in (*PAUSES, None):
        try:
            return call()
        except FileExistsError:
            raise
        except Exception as error:
            fault = _lasting(address, doing, error)
            if fault is None and not (isinstance(error, OSError) or type(error).__module__.startswith(_NETWORK)):
                raise
            patient = type(error).__module__.startswith("azure")  # its client has tried again for a minute
            if fault is None and (pause is None or patient):
                times = "" if patient else f" {len(PAUSES) + 1} times"
                fault = OSError(
                    f"{address}: {doing} failed{times} ({_reason(error)}); check the network; the same command goes on "
                    "with what is missing"
                )
            if fault is not None:
                raise fault from None  # the error of the store may hold a signed address
        time.sleep(pause)
    raise AssertionError


def _missing(address: str) -> Missing:
    return Missing(f"{address} does not exist: there is no such bucket, folder or object, or it is empty")


def _lasting(address: str, doing: str, error: Exception) -> Exception | None:
    """Returns the error to raise for a fault that no further try mends; None for any other."""
    kind, number = type(error).__name__, getattr(error, "errno", None)
    status = next((getattr(error, name) for name in ("status", "status_code", "code") if hasattr(error, name)), None)
    if isinstance(error, FileNotFoundError) or status in (404, "404"):
        return _missing(address)
    if "Credential" in kind or "Anonymous caller" in str(error) or status in (401, "401"):
        return ValueError(
            f"{address}: no credentials in this environment ({_reason(error)}); set them as for the store's own tools "
            "(AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS), or FSSPEC_S3_ANON=true for a public bucket"
        )
    if isinstance(error, PermissionError) or status in (403, "403") or str(error).startswith("Forbidden"):
        return ValueError(
            f"{address}: {doing} is not permitted to the credentials of this environment ({_reason(error)})"
        )
    if isinstance(error, NotImplementedError) or status in (405, 501):
        return ValueError(f"{address}: {doing} is not possible, its store only reads; choose another place")
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OSError(number, "the disk is full; make room and repeat the command")
    if number == errno.EINVAL or kind == "ParamValidationError":
        return ValueError(f"{address}: {doing} was refused ({_reason(error)}); check the address")
    return None


def _reason(error: Exception) -> str:
    """Returns the first line of an error without user names, passwords and signatures of addresses in it."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    text = re.sub(r"(\w://)[^/\s@]+@", r"\1", text)
    return re.sub(r"\?[^\s'\")]+", "", text)
