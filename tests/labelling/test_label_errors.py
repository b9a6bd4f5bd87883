import dataclasses

import numpy as np
import pytest

import cnnlab
from cnnlab.data import Dataset, Examples
from cnnlab.labelling import confident_errors, cross_validated, label_errors
from cnnlab.labelling.cross_validation import fold_of
from cnnlab.tasks import Regression

QUICK = cnnlab.Experiment(
    model=cnnlab.Choice("dense", features=(64,)),
    data=cnnlab.Choice("digits"),
    optimizer=cnnlab.Optimizer(learning_rate=3e-3),
    training=cnnlab.Training(epochs=12, batch_size=32),
)


@pytest.fixture(scope="module")
def flipped():
    """Digits of which every twentieth training label is wrong: the dataset, and which labels are."""
    data = cnnlab.data.digits()
    columns = dict(data["train"].columns)
    wrong = np.arange(len(columns["label"])) % 20 == 0
    columns["label"] = np.where(wrong, (columns["label"] + 3) % 10, columns["label"]).astype(np.int32)
    return dataclasses.replace(data, splits=dict(data.splits) | {"train": Examples(columns)}), wrong


@pytest.fixture(scope="module")
def learnt(flipped, tmp_path_factory):
    """The directory of a run that has learnt from the flipped labels."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    cnnlab.train(QUICK, path, data=flipped[0], quiet=True)
    return path


def test_labels_flipped_on_purpose_are_found(flipped, learnt, tmp_path):
    data, wrong = flipped
    said = []
    found = label_errors(learnt, data, folds=3, directory=tmp_path, quiet=True, tell=said.append)
    assert wrong[found.index].mean() > 0.6
    assert wrong[found.index].sum() / wrong.sum() > 0.85
    assert found.folds == 3
    assert found.table["given"][0] == str(data["train"].column("label")[found.index[0]])
    assert "has learnt from these" in said[-1]
    assert "3 networks are trained for 12 epochs" in said[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fold1", "fold2", "fold3"]


def test_data_that_a_network_has_not_learnt_from_needs_no_training(flipped, learnt):
    data, _ = flipped
    said = []
    found = label_errors(learnt, data, split="test", tell=said.append)
    trained = cnnlab.load(learnt)
    probs = cnnlab.predict(trained, data["test"].column("image")).probs
    assert found.index.tolist() == confident_errors(probs, data["test"].column("label")).index.tolist()
    assert found.folds == 0
    assert label_errors(trained, data, split="test").index.tolist() == found.index.tolist()


def test_each_example_is_judged_by_the_network_that_has_not_seen_it(flipped):
    data, _ = flipped
    few = {"train": Examples(data["train"][np.arange(60)]), "validation": Examples(data["validation"][np.arange(10)])}
    small = Dataset("few", data.spec, few)
    quick = dataclasses.replace(QUICK, training=cnnlab.Training(epochs=1, batch_size=10))
    probs = cross_validated(quick, small, folds=2, quiet=True)
    place = fold_of(small["train"].column("label"), 2, seed=0)
    rest = {"train": Examples(small["train"][place == 1]), "validation": small["validation"]}
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        trained = cnnlab.train(quick, folder, data=Dataset("few", data.spec, rest), quiet=True)
    expected = cnnlab.predict(trained, small["train"].column("image")[place == 0]).probs
    np.testing.assert_allclose(probs[place == 0], expected, atol=1e-5)


def test_folds_deal_out_every_class_evenly():
    label = np.repeat([0, 1, 2], [8, 4, 4])
    place = fold_of(label, 4, seed=1)
    assert [np.bincount(place[label == k], minlength=4).tolist() for k in range(3)] == [[2] * 4, [1] * 4, [1] * 4]
    with pytest.raises(ValueError, match=r"folds must lie in 2\.\.16"):
        fold_of(label, 17, seed=0)


def test_tasks_and_data_without_labels_are_refused(flipped, learnt):
    data, _ = flipped
    trained = cnnlab.load(learnt)
    images = Examples({"image": data["test"].column("image")})
    with pytest.raises(ValueError, match="has no labels to check"):
        label_errors(trained, dataclasses.replace(data, splits={"test": images}), split="test")
    with pytest.raises(ValueError, match="one label per image; the task here is regression"):
        label_errors(trained.replace(task=Regression()), data)
    with pytest.raises(ValueError, match="folds must be 2 or more"):
        label_errors(trained, data, folds=1)
