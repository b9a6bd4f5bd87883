import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab.cli import main
from cnnlab.models import create_model
from cnnlab.probe import DISTORTIONS, probe
from cnnlab.probe.report import drawn
from cnnlab.probe.response import map_drift, mean_confidence
from cnnlab.probe.specialisation import responsible_box
from cnnlab.probe.variation import class_distances
from cnnlab.tasks import TASKS
from cnnlab.training.restore import load_data

FEW = {
    name: DISTORTIONS[name]._replace(strengths=DISTORTIONS[name].strengths[:2])
    for name in ("shift", "elastic", "noise")
}


def untrained(task, annotation, model, **options):
    """Returns an untrained network and a small dataset for it."""
    data = cnnlab.data.shapes(annotation, size=16, train=12, validation=4, test=10)
    task = TASKS[task](**options).resolve(data)
    small = {"encoder_decoder": {"features": 2}, "grid_detector": {"features": (4, 4)}}.get(model, {})
    network = create_model(model, num_classes=task.head(data.spec), **small)
    variables = cnnlab.nn.init(network, jnp.zeros((1, 16, 16, 1)), jax.random.key(0))
    return cnnlab.Trained(variables, network, task, data.spec), data


def values(report, distortion, name):
    return [record[name] for record in report["response"] if record["distortion"] == distortion]


def brightest(trained, images):
    """Stands in for an explanation: the image itself."""
    return images[..., 0]


def test_a_classifier_is_probed(run):
    trained, data = cnnlab.load(run), load_data(run)
    report = probe(trained, data, distortions=FEW, mc_samples=3, explain=brightest, batch_size=16)
    expected = cnnlab.evaluate(trained, data)
    assert report["images"] == 40
    assert values(report, "noise", "accuracy")[0] == pytest.approx(expected["accuracy"])
    assert values(report, "noise", "mutual_information")[0] > 0
    assert values(report, "shift", "drift") == pytest.approx([0, 0], abs=1e-5)  # the image moves with itself
    assert values(report, "noise", "drift")[1] > 0.001
    assert [layer["layer"] for layer in report["layers"]] == ["conv1", "conv2", "dense1", "dense2", "dense3"]
    assert sum(group["examples"] for group in report["variation"]) == 40
    assert report["left_out"] == []
    json.dumps(report, allow_nan=False)


def test_the_same_key_gives_the_same_report():
    trained, data = untrained("classification", "label", "linear")
    first, again = (probe(trained, data, distortions=FEW, key=jax.random.key(3)) for _ in range(2))
    assert first == again
    assert first["left_out"] == [
        {"what": "doubt", "why": "no dropout is active in the network, so all passes would be the same"}
    ]


def test_pixels_do_not_move_where_targets_cannot_follow():
    trained, data = untrained("regression", "target", "lenet5")
    report = probe(trained, data, distortions=FEW)
    assert {record["distortion"] for record in report["response"]} == {"noise"}
    assert report["score"] == "rmse"
    whys = {record["what"]: record["why"] for record in report["left_out"]}
    assert whys["shift"] == "the column target cannot move with the pixels"
    assert "intraclass variation" in whys


def test_a_segmentation_is_probed():
    trained, data = untrained("segmentation", "mask", "encoder_decoder")
    report = probe(trained, data, distortions=FEW, mc_samples=2)
    assert set(report["response"][0]) >= {"mean_iou", "confidence", "mutual_information"}
    assert "variation" not in report


@pytest.mark.parametrize("options", [{"kind": "cells"}, {"kind": "anchors", "num_anchors": 2}])
def test_a_detector_is_probed_with_its_specialisation(options):
    trained, data = untrained("detection", "boxes", "grid_detector", **options)
    report = probe(trained, data, distortions=FEW, mc_samples=None)
    assert {record["distortion"] for record in report["response"]} == {"shift", "noise"}
    predictors, classes = report["specialisation"], data["test"].column("classes")
    assert len(predictors) == 2
    lost = trained.task.summary(cnnlab.trained.evaluation_rows(trained, data["test"], batch_size=10))["crowded_out"]
    assert sum(record["objects"] for record in predictors) == (classes >= 0).sum() - lost
    for record in predictors:
        assert sum(record["classes"].values()) == record["objects"]
        assert (record["anchor"] is None) == (options["kind"] == "cells")


def test_the_box_of_the_highest_iou_is_responsible_or_else_the_nearest():
    predicted = jnp.array([[[[[0.0, 0, 8, 8], [2, 2, 6, 6]]]]])  # [1, 1, 1, 2, 4]
    for box, expected in (([1.0, 1, 7, 7], 0), ([2.0, 2, 5, 6], 1), ([10.0, 10, 14, 14], 1)):
        assert responsible_box(predicted, jnp.array([[[[box]]]]), size=(16, 16)).ravel().tolist() == [expected]


def test_drift_counts_known_pixels_only():
    a = jnp.array([[[0.0, 1.0], [2.0, 9.0]]])
    b, known = a.at[0, 1, 1].set(-9), jnp.array([[[1.0, 1.0], [1.0, 0.0]]])
    assert map_drift(a, 2 * b + 1, known).tolist() == pytest.approx([0], abs=1e-6)
    assert np.isnan(map_drift(a, jnp.ones_like(a), known)).all()


def test_confidence_is_that_of_the_prediction_of_each_task():
    assert mean_confidence({"probs": np.array([[0.75, 0.25], [0.5, 0.5]])}) == {"confidence": 0.625}
    assert mean_confidence({"score": np.array([[0.5, 0.25], [1.0, 0.0]])}) == {"confidence": 0.75}
    pixels = {"confidence": np.array([[[0.5, 1.0]]]), "mask": np.array([[[0, -1]]])}
    assert mean_confidence(pixels) == {"confidence": 0.5}
    assert mean_confidence({"value": np.ones((2, 1))}) == {}


def test_distances_are_relative_to_the_class_and_leave_the_example_out():
    features = np.array([[0.0, 0], [2, 0], [0, 0], [0, 20], [5, 5]])
    out = class_distances(features, np.array([0, 0, 1, 1, 2]))
    assert out[:4].tolist() == [1, 1, 1, 1]
    assert np.isnan(out[4])


def test_a_sample_keeps_the_order_of_the_split():
    examples = cnnlab.data.Examples({"image": np.zeros((50, 8, 8, 1), np.uint8), "label": np.arange(50)})
    labels = drawn(examples, 10, (8, 8)).column("label")
    assert len(labels) == 10
    assert (np.diff(labels) > 0).all()
    assert len(drawn(examples, None, (8, 8))) == 50


def test_wrong_numbers_and_other_data_are_named():
    trained, data = untrained("classification", "label", "linear")
    with pytest.raises(ValueError, match="limit must be 1 or more, found 0"):
        probe(trained, data, limit=0)
    with pytest.raises(ValueError, match="reads the column 'label'"):
        probe(trained, cnnlab.data.shapes("mask", size=16, train=4, validation=2, test=2))


def test_the_command_writes_a_page_of_curves_and_a_report(run, tmp_path, capsys):
    assert (
        main(["probe", str(run), "--limit", "12", "--mc", "2", "--no-explain", "--output", str(tmp_path / "out")]) == 0
    )
    printed = capsys.readouterr()
    assert "rotation" in printed.out
    assert "report" in printed.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"probe.png", "probe.json", "report.md"}
    report = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert {record["distortion"] for record in report["response"]} == set(DISTORTIONS)
    assert "![probe](probe.png)" in (tmp_path / "out" / "report.md").read_text()


def test_the_command_names_wrong_arguments(run, capsys):
    assert main(["probe", str(run), "--mc", "-1"]) == 2
    assert main(["probe", str(run), "--split", "tset"]) == 1
    assert "has no split 'tset'" in capsys.readouterr().err
