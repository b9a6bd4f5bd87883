import importlib
import json
import math

import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.calibration import PostHoc, Quality, store
from cnnlab.calibration.store import load_post_hoc
from cnnlab.cli import main
from cnnlab.evaluation.decisions import decision_scores, doubts, ood_scores
from cnnlab.evaluation.figures import save_example
from cnnlab.predictions.predict import predict_images


def predictions(n=400, right=0.75, seed=0):
    """Returns probabilities that are always .9 for class 0, and labels of which a share `right` is class 0."""
    label = (np.arange(n) >= right * n).astype(np.int32)
    return np.tile([0.9, 0.1], (n, 1)), np.random.default_rng(seed).permutation(label)


@pytest.fixture(scope="module")
def dataset():
    return cnnlab.data.shapes(size=16, train=96, validation=200, test=40)


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset):
    """Trains LeNet5 with dropout until it is far too sure of its answers, so that calibrations are kept."""
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("lenet5", dropout=0.1),
        data=cnnlab.Choice("shapes", size=16, train=96, validation=200, test=40),
        optimizer=cnnlab.Optimizer(learning_rate=1e-2),
        training=cnnlab.Training(epochs=30, batch_size=32, monitor="accuracy"),
    )
    path = tmp_path_factory.mktemp("runs") / "small"
    cnnlab.train(experiment, path, quiet=True)
    return path


def test_scores_of_equal_predictions_match_hand_arithmetic():
    probs, label = predictions()
    scores = decision_scores({"probs": probs, "label": label})
    assert [scores["mce"], scores["ece_mass"]] == pytest.approx([0.15, 0.15])
    assert scores["ece_low"] <= 0.15 <= scores["ece_high"]
    assert scores["risk_at_80"] == scores["aurc"] == pytest.approx(0.25)  # equal confidences count together
    assert scores["error_auroc_entropy"] == 0.5


def test_doubts_are_large_where_probabilities_are_even():
    scores = doubts({"probs": np.array([[1.0, 0.0], [0.5, 0.5]])})
    assert scores["max_probability"].tolist() == [0, 0.5]
    assert scores["entropy"] == pytest.approx([0, math.log(2)])


def test_images_that_always_have_more_doubt_are_detected_without_error():
    rows, ood_rows = {"probs": np.array([[0.9, 0.1]] * 20)}, {"probs": np.array([[0.6, 0.4]] * 10)}
    scores = ood_scores(rows, ood_rows)
    assert scores["ood_auroc_entropy"] == scores["ood_aupr_max_probability"] == 1
    assert scores["ood_fpr95_entropy"] == 0


def test_sets_are_fitted_on_examples_that_the_calibration_has_not_seen():
    fitted = PostHoc.fit(*predictions(), method="temperature", error=0.2)
    assert fitted.examples == 400
    assert fitted.conformal.examples == 200


def test_a_split_without_a_mistake_is_as_sure_as_the_rule_of_succession():
    probs, label = predictions(right=1)
    fitted = PostHoc.fit(probs, label, method="temperature")
    assert 0.9 < fitted.apply(probs)[0, 0] <= 401 / 402


def test_a_calibration_without_a_sure_gain_leaves_the_probabilities_as_they_are_and_says_why():
    probs, label = predictions(right=0.91)
    with pytest.warns(UserWarning, match=r"temperature is not kept: on 400 .* \(36 wrong\) .*; ask for more"):
        fitted = PostHoc.fit(probs, label, method="temperature", cure="ask for more")
    assert fitted.apply(probs) is probs


def test_unlabelled_examples_are_left_out_of_the_fit():
    probs, label = predictions()
    label[np.flatnonzero(label == 1)[:50]] = -1  # 300 of 350 right
    with pytest.warns(UserWarning, match=r"on 350 validation examples \(50 wrong\)"):
        PostHoc.fit(probs, label, method="temperature")


def test_evaluate_keeps_what_it_fits_and_predict_applies_it(run, tmp_path, capsys, unexplained):
    (tmp_path / "elsewhere").mkdir()
    save_example(cnnlab.data.shapes(size=16, train=4, validation=4, test=4), tmp_path / "elsewhere/a.png")
    options = ["--mc", "4", "--calibrate", "temperature", "--conformal", "0.2", "--ood", str(tmp_path / "elsewhere")]
    assert main(["evaluate", str(run), *options, "--figures", str(tmp_path / "report"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = "nll uncalibrated_nll temperature_low set_coverage set_size ood_aupr_in_mutual_information ece_low"
    assert (report["calibrated"], report["ood_examples"]) == (1, 1)
    for name in names.split():
        assert math.isfinite(report[name])
    assert not unexplained("Classification", report)
    text = (tmp_path / "report" / "report.md").read_text()
    for figure in ("risk_coverage", "reliability", "outside_entropy"):
        assert f"({figure}.png)" in text
    assert main(["predict", str(run), str(tmp_path / "elsewhere"), "--mc", "4", "--calibrated"]) == 0
    out, err = capsys.readouterr()
    (record,) = json.loads(out)["predictions"]
    assert set(record["set"]) <= {"disc", "square", "triangle"}
    assert "temperature is fitted on 100 validation examples" in err
    assert record["entropy"] == pytest.approx(-sum(p * math.log(p) for p in record["probs"].values()))
    assert record["uncalibrated"] == ["variance", "expected_entropy", "mutual_information", "standard_error"]
    trained = cnnlab.load(run)
    again = cnnlab.evaluate(run, mc_samples=4, calibrate="saved")
    assert again["nll"] == pytest.approx(report["nll"], abs=1e-6)
    assert load_post_hoc(run, trained, passes=4).passes == 4


@pytest.mark.parametrize("option", [("--calibrate", "temperature"), ("--conformal", "0.2")])
def test_each_decision_alone_has_its_report(run, option, tmp_path, capsys):
    assert main(["evaluate", str(run), *option, "--figures", str(tmp_path)]) == 0
    assert (tmp_path / "risk_coverage.png").is_file()
    assert not list(tmp_path.glob("outside*"))


def test_the_map_is_fitted_on_the_validation_split_alone(run, dataset):
    trained = cnnlab.load(run)
    probs = np.asarray(cnnlab.predict(trained, dataset["validation"].column("image")).probs, np.float64)
    fitted = PostHoc.fit(probs, dataset["validation"].column("label"), method="temperature")
    probs = np.asarray(cnnlab.predict(trained, dataset["test"].column("image")).probs, np.float64)
    expected = -np.log(np.take_along_axis(fitted.apply(probs), dataset["test"].column("label")[:, None], 1)).mean()
    assert cnnlab.evaluate(trained, dataset, calibrate="temperature")["nll"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrate": "saved", "mc_samples": 3}, "the predictions are computed with --mc 3; use"),
        ({"calibrate": "platinum"}, "unknown calibration 'platinum'"),
        ({"calibrate": "temperature", "conformal": 0.0}, "error must lie in 0 < error < 1, found 0.0"),
        (
            {"conformal": 0.005, "calibrate": "temperature"},
            "needs 100 validation examples and sets with an error of 0.005 need 199 others, found 200 in all",
        ),
        ({"calibrate": "temperature", "split": "validation"}, "fitted on the validation split"),
        ({"ood": "nowhere"}, "'nowhere' is no folder and no data"),
        ({"ood": "digits"}, "shape (16, 16, 1), digits has (28, 28, 1)"),
    ],
)
def test_options_that_do_not_fit_raise_a_clear_error(run, options, message):
    cnnlab.evaluate(run, calibrate="temperature")
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", "\\(").replace(")", "\\)")):
        cnnlab.evaluate(run, **options)


@pytest.mark.parametrize(("method", "sets"), [("vector", "aps"), ("platt", "raps")])
def test_predict_makes_the_sets_that_evaluate_made(run, dataset, method, sets):
    options = {"calibrate": method, "conformal": 0.2, "sets": sets}
    report = cnnlab.evaluate(run, **options)
    trained, test = cnnlab.load(run), dataset["test"]
    fitted = load_post_hoc(run, trained)
    results = predict_images(trained, iter(test.column("image")), batch_size=7, fitted=fitted)
    members = np.stack([prediction["set"] for prediction in results])
    coverage = np.take_along_axis(members, test.column("label")[:, None], 1).mean()
    assert coverage == pytest.approx(report["set_coverage"])


def test_a_run_keeps_a_fit_for_each_number_of_passes(run):
    once = cnnlab.evaluate(run, calibrate="temperature")
    many = cnnlab.evaluate(run, mc_samples=4, calibrate="vector", conformal=0.2)
    assert cnnlab.evaluate(run, calibrate="saved")["nll"] == pytest.approx(once["nll"])
    assert cnnlab.evaluate(run, mc_samples=4, calibrate="saved")["set_size"] == pytest.approx(many["set_size"])


def test_a_fit_to_other_data_is_not_stored(run, tmp_path):
    stored = cnnlab.evaluate(run, calibrate="temperature")
    other = cnnlab.data.shapes(size=16, train=4, validation=200, test=40, seed=7)
    with pytest.warns(UserWarning, match="other data than the run's is evaluated, but not stored"):
        assert cnnlab.evaluate(run, other, calibrate="temperature")["temperature"] != stored["temperature"]
    assert cnnlab.evaluate(run, calibrate="saved")["temperature"] == stored["temperature"]


def test_a_second_fit_warns_of_what_it_removes(run):
    cnnlab.evaluate(run, calibrate="temperature", conformal=0.2)
    with pytest.warns(
        UserWarning, match="contained a calibration and sets for predictions with no --mc and now contains sets"
    ):
        cnnlab.evaluate(run, conformal=0.2)


def test_a_refused_calibration_replaces_an_earlier_one_and_predict_says_why(run, monkeypatch, capsys, tmp_path):
    cnnlab.evaluate(run, calibrate="temperature")
    monkeypatch.setattr(store, "choose_calibration", lambda *_, **__: (None, Quality("temperature", 200, 1, 0, -1, 1)))
    with pytest.warns(UserWarning, match="temperature is not kept"):
        assert cnnlab.evaluate(run, calibrate="temperature")["calibrated"] == 0
    save_example(cnnlab.data.shapes(size=16, train=4, validation=4, test=4), tmp_path / "a.png")
    assert main(["predict", str(run), str(tmp_path / "a.png"), "--calibrated"]) == 0
    assert "temperature is not kept: on 200 validation examples (1 wrong)" in capsys.readouterr().err


def test_fits_of_earlier_versions_load_and_say_that_their_gain_is_unknown(run):
    cnnlab.evaluate(run, calibrate="temperature")
    value = json.loads((run / "post_hoc.json").read_text())
    del value["digest"]
    for fit in value["fits"]:
        del fit["quality"]
    (run / "post_hoc.json").write_text(json.dumps(value))
    fitted = load_post_hoc(run, cnnlab.load(run))
    assert "by an earlier version, which did not measure its gain" in fitted.sentence()
    probs = np.array([[1.0, 0, 0]])
    np.testing.assert_array_equal(fitted.apply(probs), fitted.calibration.apply(probs))  # no floor


def test_what_few_examples_support_is_told_with_the_cure():
    probs, label = predictions(63)
    with pytest.raises(ValueError, match=r"63 in all, which support sets with an error of 0.016 or more; --data"):
        PostHoc.fit(probs, label, method="temperature", cure="--data.validation 0.25")
    with pytest.warns(UserWarning, match=r"rest on 63 validation examples: 95 of 100 such fits hold 0.8\d\d to 0.9"):
        PostHoc.fit(probs, label, error=0.1)


def test_the_cure_for_a_small_split_is_a_share_that_suffices(monkeypatch, tmp_path):
    stored = cnnlab.Experiment(data=cnnlab.Choice("folder", path=str(tmp_path), validation=0.1)).to_json()
    sizes = {"train": 209, "validation": 31, "test": 60}
    config = {"data": {"sizes": sizes}, "experiment": stored, "spec": {"classes": ["a", "b", "c"]}}
    evaluation = importlib.import_module("cnnlab.evaluation.evaluate")
    monkeypatch.setattr(evaluation, "load_config", lambda run: config)
    assert evaluation._cure("run", 9).endswith("--data.validation 0.25")
    assert evaluation._cure("run", 100).endswith("--data.validation 0.45")  # 0.45 of 240 are 108
    assert evaluation._cure("run", 1000).startswith("half of the 240 examples for training and validation are too few")


def test_an_ensemble_is_of_networks_trained_apart(run, capsys):
    with pytest.raises(ValueError, match="run names no network"):
        cnnlab.evaluate([])
    with pytest.raises(ValueError, match="small is given twice"):
        cnnlab.evaluate([run, str(run)])
    assert main(["predict", str(run), str(run), "a.png"]) == 2
    assert "name a run twice" in capsys.readouterr().err


def test_sets_without_an_error_are_misuse(run, capsys):
    assert main(["evaluate", str(run), "--sets", "aps"]) == 2
    assert "--sets aps needs --conformal ERROR" in capsys.readouterr().err


def test_other_weights_refuse_the_map_that_a_run_keeps(run):
    cnnlab.evaluate(run, calibrate="temperature")
    trained = cnnlab.load(run)
    other = trained.replace(variables=jax.tree.map(lambda leaf: leaf * 2, trained.variables))
    with pytest.raises(ValueError, match="fitted for other weights"):
        load_post_hoc(run, other)


def test_regression_has_nothing_to_calibrate(tmp_path):
    data = cnnlab.data.shapes("target", size=16, train=64, validation=16, test=16)
    experiment = cnnlab.Experiment(task=cnnlab.Choice("regression"), training=cnnlab.Training(epochs=1, batch_size=32))
    trained = cnnlab.train(experiment, tmp_path / "run", data=data, quiet=True)
    with pytest.raises(ValueError, match="classification with one label"):
        cnnlab.evaluate(trained, data, calibrate="temperature")
