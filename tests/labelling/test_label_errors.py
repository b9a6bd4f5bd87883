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
    training=cnnlab.Training(epochs=1, batch_size=20),
)


def some(train, validation=20):
    """The first digits of the training and validation splits."""
    data = cnnlab.data.digits()
    sizes = {"train": train, "validation": validation, "test": 100}
    splits = {split: Examples(data[split][np.arange(size)]) for split, size in sizes.items()}
    return Dataset("digits", data.spec, splits)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A run of one epoch: its data and its directory."""
    path, data = tmp_path_factory.mktemp("runs") / "digits", some(120)
    cnnlab.train(QUICK, path, data=data, quiet=True)
    return data, path


def test_examples_that_a_run_has_learnt_from_are_judged_by_networks_that_have_not(learnt, tmp_path):
    data, run = learnt
    said = []
    found = label_errors(run, data, folds=2, directory=tmp_path, quiet=True, tell=said.append)
    assert found.folds == 2
    assert "has learnt from these 120 examples, so 2 networks are trained for 1 epochs, each on 60" in said[-1]
    probs = np.zeros((120, 10))
    place = fold_of(data["train"].column("label"), 2, seed=0)
    for fold in range(2):
        own = cnnlab.load(tmp_path / f"fold{fold + 1}")
        probs[place == fold] = cnnlab.predict(own, data["train"].column("image")[place == fold]).probs
    expected = confident_errors(probs, data["train"].column("label"))
    assert found.index.tolist() == expected.index.tolist()
    names = np.array(data.spec.classes)
    assert found.table["suggested"].tolist() == names[expected.suggested].tolist()


def test_a_fold_is_judged_by_the_network_that_learnt_from_the_others(learnt, tmp_path):
    data, _ = learnt
    probs = cross_validated(QUICK, data, folds=2, quiet=True)
    place = fold_of(data["train"].column("label"), 2, seed=0)
    rest = {"train": Examples(data["train"][place == 1]), "validation": data["validation"]}
    trained = cnnlab.train(QUICK, tmp_path / "run", data=Dataset("digits", data.spec, rest), quiet=True)
    expected = cnnlab.predict(trained, data["train"].column("image")[place == 0]).probs
    np.testing.assert_allclose(probs[place == 0], expected, atol=1e-5)


def test_a_folder_with_images_of_the_training_is_cross_validated(learnt, tmp_path):
    data, run = learnt
    mixed = {
        name: np.concatenate([data["test"].column(name), data["train"].column(name)[:5]]) for name in ("image", "label")
    }
    said = []
    options = {"split": "test", "directory": tmp_path, "quiet": True, "tell": said.append, "folds": 2}
    splits = dict(data.splits) | {"test": Examples(mixed)}
    with_copies = dataclasses.replace(data, splits=splits)
    assert label_errors(run, with_copies, **options).folds == 2
    assert "5 of these examples, or more, are among the images that the network learnt from" in said[0]


def test_data_that_a_network_has_not_learnt_from_needs_no_training(learnt):
    data, run = learnt
    said = []
    found = label_errors(run, data, split="test", tell=said.append)
    trained = cnnlab.load(run)
    probs = cnnlab.predict(trained, data["test"].column("image")).probs
    assert found.index.tolist() == confident_errors(probs, data["test"].column("label")).index.tolist()
    assert found.folds == 0
    assert "judges them itself" in said[-1]
    assert label_errors(trained, data, split="test").index.tolist() == found.index.tolist()


def test_folds_deal_out_every_class_evenly():
    label = np.repeat([0, 1, 2], [8, 4, 4])
    place = fold_of(label, 4, seed=1)
    assert [np.bincount(place[label == k], minlength=4).tolist() for k in range(3)] == [[2] * 4, [1] * 4, [1] * 4]
    with pytest.raises(ValueError, match=r"folds must lie in 2\.\.16"):
        fold_of(label, 17, seed=0)


def test_tasks_and_data_without_labels_are_refused(learnt):
    data, run = learnt
    trained, images = cnnlab.load(run), Examples({"image": data["test"].column("image")})
    with pytest.raises(ValueError, match="has no labels to check"):
        label_errors(trained, dataclasses.replace(data, splits={"test": images}), split="test")
    with pytest.raises(ValueError, match="one label per image; the task here is regression"):
        label_errors(trained.replace(task=Regression()), data)
    with pytest.raises(ValueError, match="folds must be 2 or more"):
        label_errors(trained, data, folds=1)
