"""How processes are connected: what the environment must say, and errors in one line."""

import argparse
import os
import socket
import subprocess
import sys

import jax
import pytest

from cnnlab.runtime import distributed
from cnnlab.training.agreement import first_difference

ADDRESS, COUNT, NUMBER = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
SECONDS = "CNNLAB_START_SECONDS"


@pytest.fixture
def without_cluster(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("JAX_COORD", "JAX_NUM", "JAX_PROCESS", "SLURM", "OMPI")):
            monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({ADDRESS: "10.0.0.1"}, "JAX_COORDINATOR_ADDRESS must be host:port"),
        ({ADDRESS: "10.0.0.1:1234", COUNT: "two"}, "JAX_NUM_PROCESSES must be a whole number, found 'two'"),
        ({ADDRESS: "10.0.0.1:1234", COUNT: "2", NUMBER: "2"}, r"JAX_PROCESS_ID must lie in 0\.\.1"),
        ({ADDRESS: "10.0.0.1:1234", SECONDS: "0"}, "CNNLAB_START_SECONDS must be 1 or more, found 0"),
        ({ADDRESS: "10.0.0.1:1234", SECONDS: "1.5"}, "CNNLAB_START_SECONDS must be a whole number, found '1.5'"),
    ],
)
def test_wrong_variables_are_named(without_cluster, environment, message):
    for name, value in environment.items():
        without_cluster.setenv(name, value)
    with pytest.raises(ValueError, match=message), distributed.together(True):
        pass


def test_a_port_of_another_program_is_refused(without_cluster):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        without_cluster.setenv(ADDRESS, f"127.0.0.1:{other.getsockname()[1]}")
        without_cluster.setenv(COUNT, "2")
        without_cluster.setenv(NUMBER, "0")
        message = r"port \d+ is taken .* in JAX_COORDINATOR_ADDRESS"
        with pytest.raises(ValueError, match=message), distributed.together(True):
            pass


def run(code, **environment):
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "OMPI"))}
    options = {"env": variables | environment, "capture_output": True, "text": True, "timeout": 60}
    return subprocess.run([sys.executable, "-c", code], **options)


def test_a_coordinator_that_does_not_answer_ends_the_process_with_one_line():
    code = "from cnnlab.runtime.distributed import together\nwith together(True): pass"
    with socket.socket() as silent:  # bound, but nobody listens
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run(code, **{ADDRESS: address, COUNT: "2", NUMBER: "1", SECONDS: "1"})
    assert done.returncode == 1
    assert done.stderr.startswith(f"cnnlab: no coordinator (the first process) answered at {address} within 1 seconds")
    assert len(done.stderr.splitlines()) == 1


def test_without_a_cluster_the_option_says_which_variables_it_needs():
    done = run("import sys; from cnnlab.cli import main; sys.exit(main(['train', '--distributed']))")
    assert done.returncode == 1
    assert "set JAX_COORDINATOR_ADDRESS (host:port of the first process), JAX_NUM_PROCESSES and" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_error_of_another_process_is_raised_in_this_one_too(monkeypatch):
    monkeypatch.setattr(distributed, "gathered", lambda text: [text, "no such folder: photos "])
    with pytest.raises(ValueError, match=r"process 1 of .*: no such folder: photos$"), distributed.failing_together():
        pass
    for own in (OSError("mine"), SystemExit(2)):
        with pytest.raises(type(own)), distributed.failing_together():
            raise own


def test_a_silent_process_that_exits_says_why(monkeypatch, capsys):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with pytest.raises(SystemExit), distributed._only_first_speaks():
        argparse.ArgumentParser().parse_args(["--wrong"])
    assert "unrecognized arguments: --wrong" in capsys.readouterr().err


def test_the_first_difference_is_the_cause_and_not_what_follows_from_it():
    one = {"spec.mean": "0.1", "data.fingerprint.train": '"a"', "experiment.seed": "1", "versions.jax": "10"}
    two = one | {"spec.mean": "0.2", "data.fingerprint.train": '"b"'}
    assert first_difference([one, one, one]) == ""
    assert first_difference([one, one, two]) == (
        'data.fingerprint.train: "a" in process 0, "b" in process 2 (also spec.mean)'
    )
    assert first_difference([one, one | {"versions.jax": "12"}]).startswith("versions.jax: 10 in process 0, 12 in")
