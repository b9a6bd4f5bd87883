import subprocess
import sys


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_starts_no_backend_and_loads_nothing_heavy():
    code = """
import sys, cnnlab
from jax._src import xla_bridge
assert not xla_bridge._backends, xla_bridge._backends
print([m for m in ("matplotlib", "orbax", "tensorflow_datasets", "tensorflow", "sklearn", "torch") if m in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_import_stays_under_a_second_beyond_jax():
    code = """
import time, jax
start = time.process_time()
import cnnlab
print(time.process_time() - start)
"""
    assert min(float(run_python(code)) for _ in range(3)) < 1
