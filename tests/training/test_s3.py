"""A run and its data in a bucket of a local S3 server: train, kill, resume from an empty cache, evaluate, predict."""

import io
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cnnlab import cli
from cnnlab.files import copying, lease, publishing, store

PHOTOS, RUN = "s3://bucket/photos", "s3://bucket/runs/one"
DIES = """
import os, signal, cnnlab

def die(history, trained):
    if len(history["epoch"]) == 2:  # it is saved, and not yet published
        os.kill(os.getpid(), signal.SIGKILL)

experiment = cnnlab.Experiment(
    model=cnnlab.Choice("linear"),
    data=cnnlab.Choice("folder", path="{PHOTOS}", validation=0.2),
    training=cnnlab.Training(epochs=3, batch_size=16),
)
cnnlab.train(experiment, "{RUN}", callbacks=[die])
""".replace("{PHOTOS}", PHOTOS).replace("{RUN}", RUN)


@pytest.fixture(scope="module")
def server():
    """Starts an S3 server on the loopback with a bucket of forty photos; the environment names it and its keys."""
    moto = pytest.importorskip("moto.server", reason="needs moto")
    pytest.importorskip("s3fs", reason="needs s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield server
    server.stop()


@pytest.fixture
def bucket(server, monkeypatch, tmp_path):
    """Returns the file system of the server with a bucket of photos; the cache is a folder of the test."""
    import fsspec

    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "PAUSES", (0.1,))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("bucket")
    random = np.random.default_rng(0)
    for name, base in (("dark", 0), ("light", 150)):
        for i in range(20):
            file = io.BytesIO()
            Image.fromarray(random.integers(base, base + 100, (16, 16, 3), np.uint8)).save(file, format="png")
            system.pipe(f"bucket/photos/{name}/{i}.png", file.getvalue())
    yield system
    system.rm("bucket", recursive=True)


def test_a_killed_training_goes_on_from_the_bucket_alone(bucket, monkeypatch, tmp_path, capsys):
    child = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True)
    assert child.returncode == -9, child.stderr
    assert [row["epoch"] for row in history(bucket)] == [1]

    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "other machine"))
    monkeypatch.setattr(lease, "LEASE", 1.0)
    first = history(bucket)
    assert cli.main(["train", "--resume", RUN]) == 0
    assert [row["epoch"] for row in history(bucket)] == [1, 2, 3]
    assert history(bucket)[:1] == first
    assert bucket.exists("bucket/runs/one/figures/index.html")
    assert f"next     cnnlab evaluate {RUN}" in capsys.readouterr().out

    monkeypatch.setenv("CNNLAB_CACHE", str(tmp_path / "third machine"))
    assert cli.main(["evaluate", RUN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == 8
    assert cli.main(["predict", RUN, f"{PHOTOS}/dark/1.png", f"{PHOTOS}/light", "--output", "s3://bucket/out"]) == 0
    predictions = json.loads(bucket.cat("bucket/out/predictions.json"))["predictions"]
    assert [record["file"] for record in predictions[:2]] == [f"{PHOTOS}/dark/1.png", f"{PHOTOS}/light/0.png"]
    assert len(predictions) == 21

    secrets = [b"secret-of-the-test", b"key-of-the-test", str(tmp_path).encode()]
    stored = b"".join(bucket.cat(path) for path in bucket.find("bucket/runs") + bucket.find("bucket/out"))
    assert not [secret for secret in secrets if secret in stored]
    assert not [path for path in bucket.find("bucket") if ".lock" in path]


def history(bucket):
    return [json.loads(line) for line in bucket.cat("bucket/runs/one/metrics.jsonl").splitlines()]


def test_a_second_training_is_refused_while_the_first_one_lives(bucket, monkeypatch, capsys):
    monkeypatch.setattr(lease, "RENEWAL", 0.2)
    with lease.lease(RUN, owner="another machine"):
        assert cli.main(["train", "digits-linear", "--run-dir", RUN]) == 1
    assert f"another process trains in {RUN}" in capsys.readouterr().err
    assert not bucket.exists(RUN)


def test_only_changed_objects_come_again(bucket, monkeypatch):
    copying.fetch(PHOTOS)
    reads, download = [], copying.download
    monkeypatch.setattr(copying, "download", lambda s, name, *rest: reads.append(name) or download(s, name, *rest))
    bucket.pipe("bucket/photos/dark/3.png", bucket.cat("bucket/photos/dark/4.png"))
    copying.fetch(PHOTOS)
    assert reads == ["dark/3.png"]


def test_some_objects_come_alone_and_only_once(bucket, monkeypatch):
    reads, download = [], copying.download
    monkeypatch.setattr(copying, "download", lambda s, name, *rest: reads.append(name) or download(s, name, *rest))
    for _ in range(2):
        folder = copying.fetch_some(PHOTOS, {"dark/3.png": None, "light/4.png": None})
    assert sorted(reads) == ["dark/3.png", "light/4.png"]
    assert sum(path.is_file() for path in folder.rglob("*")) == 2
    copying.fetch(PHOTOS)
    copying.fetch_some(PHOTOS, {f"dark/{i}.png": None for i in range(20)})
    assert len(reads) == 40


def test_unusual_names_and_markers_of_folders_do_no_harm(bucket):
    for key in ("photos/", "photos/empty/"):  # as the consoles of stores make folders
        bucket.call_s3("put_object", Bucket="bucket", Key=key, Body=b"")
    bucket.pipe("bucket/photos/dark/ä [1] x*y?.png", b"x")
    folder = copying.fetch(PHOTOS)
    assert (folder / "dark" / "ä [1] x*y?.png").read_bytes() == b"x"
    assert sum(path.is_file() for path in folder.rglob("*")) == 41
    (folder / "new [2]*.txt").write_text("y")
    assert publishing.publish(PHOTOS) == ["new [2]*.txt"]
    assert bucket.cat_file("bucket/photos/new [2]*.txt") == b"y"


def test_a_bucket_that_does_not_exist_is_one_clear_error(bucket, capsys):
    assert cli.main(["predict", "s3://no-such-bucket/run", f"{PHOTOS}/dark/1.png"]) == 1
    assert "s3://no-such-bucket/run does not exist: there is no such bucket" in capsys.readouterr().err
    assert cli.main(["train", "digits-linear", "--run-dir", "s3://no-such-bucket/run"]) == 1
    assert "does not exist: there is no such bucket" in capsys.readouterr().err


def test_missing_credentials_are_one_clear_error(bucket, monkeypatch, capsys, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    type(bucket).clear_instance_cache()
    assert cli.main(["predict", RUN, "a.png"]) == 1
    assert f"{RUN}: no credentials in this environment" in capsys.readouterr().err
    type(bucket).clear_instance_cache()


def test_a_server_that_is_gone_names_the_object_and_what_to_do(bucket, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(bucket).clear_instance_cache()
    assert cli.main(["predict", RUN, "a.png"]) == 1
    assert f"{RUN}: listing it failed 2 times" in capsys.readouterr().err
    type(bucket).clear_instance_cache()
