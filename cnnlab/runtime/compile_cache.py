"""A cache of compiled programs on disk, so that later runs start faster.

JAX's own settings take precedence: `JAX_COMPILATION_CACHE_DIR` sets another directory, and
`JAX_ENABLE_COMPILATION_CACHE=false` switches the cache off.
"""

import contextlib
import functools
import hashlib
import os
import platform
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

MAX_BYTES = 1 << 30
MIN_SECONDS = 0.2  # shortest compilation that is stored

_hits = 0


@functools.cache
def keep_compilations() -> Path | None:
    """Switches JAX's persistent cache on for this process, in the user's cache folder, and deletes the oldest files.

    Returns:
      The directory; None if the cache is switched off or the directory cannot be written.
    """
    if not jax.config.jax_enable_compilation_cache:
        return None
    jax.monitoring.register_event_listener(_count)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", MIN_SECONDS)
    if jax.config.jax_compilation_cache_dir:
        return Path(jax.config.jax_compilation_cache_dir)
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnnlab" / "compiled"
    directory = root / _processor()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _make_room(root)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(directory))
    compilation_cache.reset_cache()  # otherwise an earlier compilation has fixed that there is no cache
    return directory


def hits() -> int:
    """Returns the number of compiled programs that this process has read from the cache."""
    return _hits


def _count(event: str, **_) -> None:
    global _hits
    _hits += event == "/jax/compilation_cache/cache_hits"


def _processor() -> str:
    """Returns a digest of the processor, because machines with other processors may share a home folder."""
    description = platform.machine() + platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        description += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return hashlib.sha256(description.encode()).hexdigest()[:12]


def _make_room(root: Path) -> None:
    """Deletes the least recently read files until the rest takes at most `MAX_BYTES`."""
    files = []
    for path in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process may delete files at the same time
            if path.is_file():
                files.append((path, path.stat()))
    total = sum(stat.st_size for _, stat in files)
    for path, stat in sorted(files, key=lambda entry: entry[1].st_atime):
        if total <= MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
