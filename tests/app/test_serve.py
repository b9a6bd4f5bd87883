import http.client
import io
import json
import re
import resource
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from serving import serving

import cnnlab
from cnnlab.app.answers import Kind, answers
from cnnlab.app.images import Upload
from cnnlab.app.refusals import Refusal
from cnnlab.app.serve import application
from cnnlab.calibration.store import PostHoc
from cnnlab.calibration.temperature import Temperature
from cnnlab.cli import main
from cnnlab.data.appearance import Appearance, Spread

PASSES = 3


def photo(seed=0, size=(20, 24), kind="PNG"):
    """Returns the bytes of an image of random pixels."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def app(run):
    return application(cnnlab.load(run), name="small", passes=(0, PASSES))


@pytest.fixture(scope="module")
def port(app):
    with serving(app, max_bytes=200_000, seconds=2) as port:
        yield port


def ask(port, body=b"", path="/predict", method="POST", **headers):
    """Returns status and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if answer.headers["content-type"] == "application/json" else text.decode()


def untrained(network, task, spec):
    variables = cnnlab.nn.init(network, np.zeros((1, *spec.shape), np.float32), jax.random.key(0))
    return cnnlab.Trained(variables, network, task, spec)


def one_of_each_task():
    names = ("ant", "bee")
    maps = cnnlab.create_model("encoder_decoder", num_classes=2, features=2, spatial_dropout=0.5)
    boxes = cnnlab.create_model("grid_detector", num_classes=12, features=(4, 4))
    detection = cnnlab.tasks.Detection(image_size=(16, 16), score_threshold=0.0, max_boxes=3)
    vector = cnnlab.create_model("lenet5", num_classes=2, dropout=0.5)
    return {
        "classification": untrained(
            vector, cnnlab.tasks.Classification(), cnnlab.InputSpec((16, 16), 1, classes=names)
        ),
        "regression": untrained(vector, cnnlab.tasks.Regression(), cnnlab.InputSpec((16, 16), 3, classes=names)),
        "segmentation": untrained(maps, cnnlab.tasks.Segmentation(), cnnlab.InputSpec((16, 16), 1, classes=names)),
        "detection": untrained(boxes, detection, cnnlab.InputSpec((16, 16), 3, classes=names, fit="letterbox")),
    }


@pytest.mark.parametrize("name", one_of_each_task())
@pytest.mark.parametrize("passes", [0, PASSES])
def test_the_answer_is_the_record_of_predict_for_every_task(name, passes, tmp_path, monkeypatch):
    trained = one_of_each_task()[name]
    if name == "detection" and passes:
        pytest.skip("this detector has no dropout")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(photo())
    ((path, prediction),) = cnnlab.predictions.predict.predict_files(trained, ["photo.png"], mc_samples=passes or None)
    expected = trained.task.document(trained.task.record(prediction, trained.spec, cnnlab.files.photo.Photo(path)))
    (tmp_path / "photo.png").unlink()  # the name of an upload is never opened
    own = answers(trained, passes=(passes,))
    question = own.read(Upload("photo.png", photo()))
    (text,) = own.compute(Kind(question.pixels.shape, passes), [question])
    assert json.loads(text) == json.loads(json.dumps(expected))


def test_a_server_s_answer_is_what_the_command_prints(run, port, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image").write_bytes(photo(1, kind="JPEG"))
    for query, options in (("", ()), (f"?mc={PASSES}", ("--mc", str(PASSES)))):
        assert main(["predict", str(run), "image", *options]) == 0
        status, answer = ask(port, photo(1, kind="JPEG"), f"/predict{query}")
        assert status == 200
        assert answer == json.loads(capsys.readouterr().out)


def test_an_image_unlike_the_training_images_has_a_remark():
    trained = one_of_each_task()["classification"]
    dark = Appearance(50, Spread(20.0, 5.0, 10.0, 40.0), Spread(60.0, 5.0, 40.0, 80.0))
    question = answers(trained, usual=dark).read(Upload("photo.png", photo()))
    assert re.match(r"the photo lies far outside .*: mean brightness 12\d, training 20 ± 5", question.remark)
    assert question.remark.encode("latin-1")  # as headers are sent


def test_a_form_of_two_files_is_refused(port):
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\n' + photo() + b"\r\n"
    status, answer = ask(port, part + part + b"--b--", content_type="multipart/form-data; boundary=b")
    assert (status, answer["error"]) == (400, "the form holds 2 files; send one request for each")


def test_a_form_with_a_file_is_answered_and_its_name_is_the_label(port):
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="../my cat.png"\r\n\r\n' + photo() + b"\r\n--b--"
    status, answer = ask(port, body, content_type="multipart/form-data; boundary=b")
    assert status == 200
    assert answer["predictions"][0]["file"] == "my cat.png"


def test_thirty_requests_at_once_get_their_own_answers(port):
    photos = [photo(seed) for seed in range(30)]
    alone = [ask(port, each)[1]["predictions"][0]["probs"] for each in photos]
    with ThreadPoolExecutor(30) as threads:
        together = [
            answer["predictions"][0]["probs"] for _, answer in threads.map(lambda each: ask(port, each), photos)
        ]
    for one, other in zip(alone, together, strict=True):
        assert other == pytest.approx(one, abs=1e-5)


def test_memory_does_not_grow_with_the_number_of_requests(port):
    def hundred():
        for seed in range(100):
            assert ask(port, photo(seed))[0] == 200
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    hundred()
    assert hundred() - hundred() > -5  # megabytes


def test_a_slow_client_does_not_block_the_others(port):
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(f"POST /predict HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        assert ask(port, photo())[0] == 200
        assert not select.select([slow], [], [], 0)[0]  # the slow one has not been answered yet
        slow.settimeout(10)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_a_full_queue_is_told_with_the_time_to_try_again(run, monkeypatch):
    started, go, original = threading.Event(), threading.Event(), cnnlab.app.serve.batching

    def small(compute, **options):
        def late(*batch):
            started.set()
            go.wait(20)
            return compute(*batch)

        return original(late, largest=1, waiting=1, **options)

    monkeypatch.setattr(cnnlab.app.serve, "batching", small)
    with serving(application(cnnlab.load(run))) as port, ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(ask, port, photo())]
        started.wait(20)
        asked += [threads.submit(ask, port, photo()) for _ in range(5)]
        while sum(each.done() for each in asked) < 4:
            time.sleep(0.01)
        go.set()
        answers = [each.result() for each in asked]
    assert sorted(status for status, _ in answers) == [200] * 2 + [503] * 4
    assert next(text for status, text in answers if status == 503)["error"].startswith("1 requests are waiting")


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"body": b""}, 400, "the body is empty"),
        ({"body": b"hello"}, 415, "image is none of PNG, JPEG"),
        ({"body": photo()[:-900]}, 422, "cannot read image as an image"),
        ({"body": bytes(200_001)}, 413, "more than 200,000 bytes"),
        ({"body": photo(), "content_type": "text/html"}, 415, "must be an image or multipart/form-data"),
        ({"body": photo(), "path": "/predict?mc=4"}, 422, "mc must be 0 or 3, found '4'"),
        ({"body": photo(), "path": "/predict?mc=many"}, 422, "mc must be 0 or 3, found 'many'"),
        ({"body": photo(), "path": "/predict?mcc=3"}, 422, "unknown parameter 'mcc'; did you mean 'mc'?"),
        ({"method": "GET"}, 405, "/predict does not take GET"),
        ({"path": "/predictions"}, 404, "there is no page '/predictions'"),
        ({"path": "/../../etc/passwd", "method": "GET"}, 404, "there is no page"),
        ({"body": photo(), "host": "evil.example"}, 403, "this server is not evil.example"),
        ({"body": photo(), "origin": "http://evil.example"}, 403, "pages of http://evil.example"),
    ],
)
def test_bad_requests_are_refused_in_words(port, request_, status, words):
    code, answer = ask(port, **request_)
    assert code == status
    assert words in answer["error"]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    body=st.binary(max_size=300)
    | st.tuples(
        st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.floats(0, 1), st.binary(max_size=9)
    ).map(lambda edit: (whole := photo(kind=edit[0]))[: int(edit[1] * len(whole))] + edit[2]),
    kind=st.sampled_from(["", "image/png", "multipart/form-data; boundary=b", "text/plain"])
    | st.text('a;="/ b', max_size=20),
    query=st.text("mc=&%3", max_size=8),
)
def test_random_and_truncated_bodies_never_fail_the_server(port, body, kind, query):
    status, _ = ask(port, body, f"/predict?{query}", content_type=kind)
    assert status in (200, 400, 413, 415, 422)


def test_images_larger_than_a_sheet_are_refused_with_the_command_that_takes_them():
    trained = one_of_each_task()["segmentation"]
    with pytest.raises(Refusal, match="cnnlab predict --tile 512") as caught:
        answers(trained).read(Upload("map.png", photo(size=(16, 33))))
    assert caught.value.status == 413


def test_calibrated_answers_are_those_of_the_fit(run):
    trained = cnnlab.load(run)
    fit = PostHoc(None, 20, Temperature(2.0), None)
    plain, fitted = answers(trained), answers(trained, fits={0: fit})
    question = plain.read(Upload("a", photo()))
    before, after = (json.loads(own.compute(Kind(trained.spec.shape, 0), [question])[0]) for own in (plain, fitted))
    first = np.array(list(before["predictions"][0]["probs"].values()))
    expected = first**0.5 / (first**0.5).sum()
    assert list(after["predictions"][0]["probs"].values()) == pytest.approx(expected, abs=1e-5)


def test_programs_for_other_sizes_are_bounded():
    from cnnlab.app import answers as module

    trained, cleared = one_of_each_task()["segmentation"], []
    own = answers(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PROGRAMS", 1)
        patch.setattr(jax, "clear_caches", lambda: cleared.append(1))
        for height in (20, 24, 20):
            question = own.read(Upload("a", photo(size=(height, 16))))
            own.compute(Kind(question.pixels.shape, 0), [question])
    assert len(cleared) == 2


def test_the_pages_tell_what_is_offered_without_another_server(port):
    assert ask(port, path="/health", method="GET") == (
        200,
        {"status": "ok", "run": "small", "task": "classification", "mc": [0, 3]},
    )
    description = ask(port, path="/openapi.json", method="GET")[1]
    assert description["openapi"] == "3.1.0"
    assert description["paths"]["/predict"]["post"]["parameters"][0]["schema"]["enum"] == [0, 3]
    for path in ("/", "/docs"):
        page = ask(port, path=path, method="GET")[1]
        assert "POST /predict" in page
        assert not re.findall(r"(?:src|href)=|@import|url\(|<script", page)
    assert ask(port, photo())[0] == 200
    metrics = ask(port, path="/metrics", method="GET")[1]
    assert metrics["images"] == metrics["answers"]["200"] > 0
    assert 0 < metrics["computing_ms"]["p50"] <= metrics["computing_ms"]["p95"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--port", "80"], 2, "port 80 belongs to the system; choose 1024 to 65535"),
        (["--max-bytes", "0"], 2, "max_bytes must be 1 or more"),
        (["--port", "0", "--max-pixels", "100000000"], 1, "max_pixels must lie in 1..89,000,000"),
        (["--port", "0", "--mc", "-1"], 1, "passes must lie in 0..10,000, found -1"),
        (["--port", "0", "--calibrated"], 1, "contains no calibration"),
    ],
)
def test_wrong_options_are_refused_in_words(run, options, code, words, capsys):
    assert main(["serve", str(run), *options]) == code
    assert words in capsys.readouterr().err


def test_passes_without_dropout_and_images_that_no_file_holds_are_refused():
    network = cnnlab.create_model("linear", num_classes=2)
    spec = cnnlab.InputSpec((4, 4), 1, classes=("a", "b"))
    with pytest.raises(ValueError, match="no dropout is active in Linear"):
        application(untrained(network, cnnlab.tasks.Classification(), spec), passes=(5,))
    with pytest.raises(ValueError, match="the network takes 2"):
        application(untrained(network, cnnlab.tasks.Classification(), cnnlab.InputSpec((4, 4), 2, classes=("a", "b"))))
