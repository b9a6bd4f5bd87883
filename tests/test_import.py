import os
import subprocess
import sys

from cnnlab.runtime import huge_pages


def run_python(code, **variables):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | variables
    )
    return done.stdout


def test_import_starts_no_backend_and_loads_nothing_heavy():
    code = """
import sys, cnnlab.cli
from jax._src import xla_bridge
assert not xla_bridge._backends, xla_bridge._backends
heavy = ("matplotlib", "orbax", "scipy.special", "sklearn", "tensorflow", "tensorflow_datasets", "torch")
print([m for m in heavy if m in sys.modules])
"""
    assert run_python(code).strip() == "[]"


def test_import_stays_under_a_second_beyond_jax():
    code = """
import time, jax
start = time.process_time()
import cnnlab
cnnlab.train, cnnlab.evaluate, cnnlab.mc_predict
print(time.process_time() - start)
"""
    assert min(float(run_python(code)) for _ in range(3)) < 1


def test_the_package_itself_imports_nothing_until_a_name_is_used():
    assert run_python("import sys, cnnlab; print('jax' in sys.modules, 'train' in dir(cnnlab))").split() == [
        "False",
        "True",
    ]


def test_every_public_name_is_there():
    assert run_python("import cnnlab; print([n for n in cnnlab.__all__ if getattr(cnnlab, n) is None])").strip() == "[]"


def test_the_program_restarts_with_large_pages_where_the_kernel_provides_them_on_request():
    setting = huge_pages._SETTING.read_text() if huge_pages._SETTING.exists() else ""
    code = "import os, sys; sys.orig_argv[1:] = ['-c', 'import os; print(os.environ.get(\"GLIBC_TUNABLES\"))']\n"
    code += "from cnnlab.runtime import huge_pages; huge_pages.restart(); print('not restarted')"
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment["JAX_PLATFORMS"] = "cpu"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    helps = "[madvise]" in setting and len(os.sched_getaffinity(0)) <= 4
    assert done.stdout.strip() == (huge_pages.TUNABLES if helps else "not restarted")
    code = "from cnnlab.runtime import huge_pages; huge_pages.restart(); print('not restarted')"
    assert run_python(code, GLIBC_TUNABLES="glibc.malloc.check=3").strip() == "not restarted"
