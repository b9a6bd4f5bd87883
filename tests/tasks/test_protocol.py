"""The protocol of a task: one class defines all that training, passes, files and drawings need."""

import dataclasses
import io
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnnlab
from cnnlab.files.photo import Photo
from cnnlab.files.png import PngImage
from cnnlab.predictions.options import require_option, takes
from cnnlab.predictions.records import save_drawings, write_csv, write_json
from cnnlab.tasks.task import Task, complete


@dataclasses.dataclass(frozen=True)
class Reading(Task):
    """A task that reads strings: logits over time, trained by connectionist temporal classification."""

    logits = "time"
    columns = ("text",)
    monitor = "length_error"

    def head(self, spec):
        return len(spec.classes) + 1

    def loss(self, logits, batch):
        padding, text = jnp.zeros(logits.shape[:2]), batch["text"]
        return optax.ctc_loss(logits, padding, jnp.maximum(text + 1, 0), text < 0), jnp.ones(len(logits))

    def link(self, logits):
        return {"probs": jax.nn.softmax(logits)}

    def decode(self, outputs):
        best = outputs["probs"].argmax(-1)
        new = (best > 0) & (best != jnp.pad(best[:, :-1], ((0, 0), (1, 0))))
        return cnnlab.Prediction(outputs, symbol=jnp.where(new, best - 1, -1))

    def rows(self, outputs, batch):
        return {"symbol": self.decode(outputs).symbol, "text": batch["text"]}

    def summary(self, rows):
        lengths = [(np.asarray(rows[name]) >= 0).sum(1) for name in ("symbol", "text")]
        return {"length_error": float(np.abs(lengths[0] - lengths[1]).mean())}

    def figures(self, rows):
        return {}

    def record(self, prediction, spec, photo):
        text = "".join(spec.classes[k] for k in np.asarray(prediction.symbol) if k >= 0)
        return [{"file": str(photo.path), "text": text}]


class Strip(nn.Module):
    num_classes: int = 3

    @nn.compact
    def __call__(self, x, deterministic=True):
        x = nn.relu(nn.Conv(8, (3, 3), name="conv")(x)).max(1)
        x = nn.Dropout(0.5, deterministic=deterministic, name="dropout")(x)
        return nn.Dense(self.num_classes, name="head")(x)


@pytest.fixture(scope="module")
def strips():
    generator = np.random.default_rng(0)
    text = np.where(np.arange(3) < generator.integers(1, 4, (64, 1)), generator.integers(0, 2, (64, 3)), -1)
    columns = {"image": generator.integers(0, 256, (64, 8, 16, 1), np.uint8), "text": text.astype(np.int32)}
    return cnnlab.data.from_arrays({"train": columns, "test": columns}, classes="ab", name="strips")


@pytest.fixture(scope="module")
def reader(strips, tmp_path_factory):
    training = cnnlab.Training(epochs=1, batch_size=16)
    run = tmp_path_factory.mktemp("runs") / "reader"
    options = {"data": strips, "network": Strip(), "task": Reading(), "quiet": True}
    return cnnlab.train(cnnlab.Experiment(training=training), run, **options)


def test_a_task_over_time_is_trained_sampled_and_evaluated_by_its_class_alone(reader, strips):
    images = strips["test"].column("image")[:3]
    assert cnnlab.predict(reader, images).symbol.shape == (3, 16)
    mc = cnnlab.mc_predict(reader, images, key=jax.random.key(0), num_samples=4)
    assert mc.mutual_information.shape == (3, 16)
    assert cnnlab.evaluate(reader, strips, mc_samples=4)["length_error"] >= 0


def test_its_records_are_what_predictions_hold(tmp_path):
    task, spec = Reading(), cnnlab.InputSpec((8, 16), classes="ab")
    prediction = cnnlab.Prediction(symbol=np.array([0, -1, 1, 1]))
    records = task.record(prediction, spec, Photo(Path("1.png")))
    written = {write: io.StringIO() for write in (write_json, write_csv)}
    for write, file in written.items():
        write(records, file, task)
    assert json.loads(written[write_json].getvalue()) == {"predictions": [{"file": "1.png", "text": "abb"}]}
    assert written[write_csv].getvalue() == "file,text\n1.png,abb\n"
    assert save_drawings(task, prediction, spec, Photo(Path("1.png")), tmp_path / "1") == {}


def test_a_network_without_time_is_refused(strips, tmp_path):
    experiment = cnnlab.Experiment(model="linear", training=cnnlab.Training(batch_size=16))
    with pytest.raises(ValueError, match=r"reading needs logits \[B, T, 3\], but Linear gives \[B, 3\]"):
        cnnlab.train(experiment, tmp_path / "run", data=strips, task=Reading(), quiet=True)


def test_options_that_other_tasks_take_are_refused_by_name():
    assert takes(cnnlab.tasks.Segmentation(), "tile")
    with pytest.raises(ValueError, match="--group is for detection, this run is reading"):
        require_option(Reading(), "group", "--group")


def test_a_class_that_does_not_inherit_gets_the_protocols_defaults(tmp_path):
    class Bare:
        def head(self, spec):
            return 2

    task = complete(Bare())
    assert (task.head(None), task.logits, task.columns, task.decides) == (2, None, (), False)
    spec, photo = cnnlab.InputSpec((4, 4)), Photo(Path("a.png"))
    prediction = cnnlab.Prediction(value=np.array([1.5]), mean={"value": np.zeros(1)})
    assert task.record(prediction, spec, photo) == [{"file": "a.png", "value": [1.5]}]
    assert isinstance(task.resolve(None), Bare)


def test_a_drawing_is_written_at_the_photos_own_size(tmp_path):
    from PIL import Image

    class Drawing(Reading):
        def draw(self, prediction, spec, photo):
            return {"alignment": PngImage(np.full((2, 4), 7, np.uint8))}

    Image.new("L", (40, 20)).save(tmp_path / "a.png")
    files = save_drawings(Drawing(), cnnlab.Prediction(), None, Photo(tmp_path / "a.png"), tmp_path / "out" / "a")
    assert files == {"alignment": str(tmp_path / "out" / "a_alignment.png")}
    assert Image.open(files["alignment"]).size == (40, 20)
