"""A later process reads compiled programs from the cache."""

import os
import subprocess
import sys

import pytest

from cnnlab.runtime import compile_cache

PROGRAM = """
import cnnlab, jax.numpy as jnp
from cnnlab.runtime import compile_cache
jnp.ones(3) + 1  # is compiled before the cache is on
compile_cache.MIN_SECONDS = 0
value = float(cnnlab.jit(lambda x: jnp.sin(x).sum())(jnp.ones(3)))
print(value, compile_cache.hits(), compile_cache.keep_compilations())
"""


def run(tmp_path, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = clean | {"XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"} | environment
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    value, hits, where = done.stdout.split()
    return float(value), int(hits), where


def test_a_second_process_reads_programs_that_the_first_compiled(tmp_path):
    (first, before, where), (second, after, _) = run(tmp_path), run(tmp_path)
    assert first == second == pytest.approx(3 * 0.841471, rel=1e-5)
    assert before == 0 < after
    assert where.startswith(str(tmp_path / "cnnlab" / "compiled"))


def test_jaxs_own_switch_and_directory_take_precedence(tmp_path):
    assert run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false")[2] == "None"
    assert run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))[2] == str(tmp_path / "own")


def test_the_least_recently_read_files_are_deleted_first(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "MAX_BYTES", 25)
    for age in range(4):
        path = tmp_path / f"{age}"
        path.write_bytes(bytes(10))
        os.utime(path, (1_000_000 - age, 1_000_000))
    compile_cache._make_room(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
