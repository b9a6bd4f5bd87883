import dataclasses
import json

import pytest

import cnnlab
from cnnlab.training.experiment import Option, from_stored, options_of
from cnnlab.training.plan import build_network, check_fit, make_plan
from cnnlab.training.presets import PRESETS


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_survive_json(name):
    text = json.dumps(PRESETS[name].to_json())
    assert cnnlab.Experiment.from_json(text) == PRESETS[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sed": 1}, "unknown key 'sed'; did you mean 'seed'"),
        ({"training": {"epoch": 1}}, "unknown key 'training.epoch'; did you mean 'training.epochs'"),
        ({"training": {"augmentation": {"shfit": 1}}}, "did you mean 'training.augmentation.shift'"),
        ({"training": {"epochs": "ten"}}, "training.epochs must be int, found 'ten'"),
        ({"training": {"epochs": 1.5}}, "training.epochs must be int, found 1.5"),
        ({"training": {"ema": "no"}}, "training.ema must be float or none, found 'no'"),
        ({"optimizer": {"name": "adamm"}}, "optimizer.name must be sgd or rmsprop or adam or adamw, found 'adamm'"),
        ({"optimizer": 3}, "optimizer must be an object with Optimizer's keys, found 3"),
        ({"model": {"name": "lenet5", "dropuot": 0.5}}, "unknown option of model 'lenet5': 'dropuot'; did you mean"),
        ({"model": {"name": "lenet5", "dropout": "much"}}, "model.dropout must be float, found 'much'"),
        ({"model": {"dropout": 0.5}}, "model needs a key 'name'"),
    ],
)
def test_json_is_strict_and_names_the_place(change, message):
    with pytest.raises(ValueError, match=message):
        cnnlab.Experiment.from_json(cnnlab.Experiment().to_json() | change)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"epochs": 0}, "epochs must be 1 or more, found 0"), ({"ema": 1.0}, "ema must lie in 0..1")],
)
def test_training_numbers_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        cnnlab.Training(**wrong)


def test_options_of_a_network_are_its_fields_without_those_the_data_decides():
    for target in (cnnlab.models.LeNet5, cnnlab.models.MODELS["lenet5"]):
        assert set(options_of(target)) == {"dropout", "spatial_dropout"}


def test_options_of_a_source_are_those_of_its_function():
    source = cnnlab.data.Source(lambda path, window=64: None, paths=("path",))
    assert {name: option.default for name, option in options_of(source).items()} == {
        "path": Option.required,
        "window": 64,
    }


@pytest.mark.parametrize(
    ("model", "data", "task", "message"),
    [
        ("encoder_decoder", {}, "classification", r"needs logits \[B, 3\], but EncoderDecoder gives \[B, 16, 16, 3\]"),
        ("lenet5", {"annotation": "mask"}, "segmentation", r"segmentation needs logits \[B, 16, 16, 4\]"),
        ("keras_vgg", {"size": 16}, "classification", None),
        ("encoder_decoder", {"annotation": "mask", "size": 18}, "segmentation", "multiples of 4, found 18x18"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(model, data, task, message):
    dataset = cnnlab.data.shapes(**({"size": 16, "train": 8, "validation": 4, "test": 4} | data))
    task = cnnlab.tasks.create_task(task).resolve(dataset)
    network = build_network(cnnlab.Experiment(model=cnnlab.Choice(model)), task.head(dataset.spec))
    if message is None:
        check_fit(network, task, dataset)
        return
    with pytest.raises(ValueError, match=message):
        check_fit(network, task, dataset)


def test_bfloat16_reaches_the_network():
    experiment = cnnlab.Experiment(model="lenet5", training=cnnlab.Training(precision="bfloat16"))
    assert build_network(experiment, 10).dtype.__name__ == "bfloat16"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: cnnlab.Optimizer(name="foo"), "name must be sgd or rmsprop or adam or adamw, found 'foo'"),
        (lambda: cnnlab.Optimizer(learning_rate="1e-3"), "learning_rate must be float, found '1e-3'"),
        (lambda: cnnlab.Training(epochs=1.5), "epochs must be int, found 1.5"),
        (lambda: cnnlab.Experiment(seed=-1), "seed must be a whole number of 0 or more, found -1"),
        (lambda: cnnlab.create_model("lenet5", num_classes=0), "num_classes must be 1 or more, found 0"),
        (
            lambda: cnnlab.create_model("lenet5", num_classes=3, dropuot=1),
            "unknown option of lenet5 'dropuot'; did you",
        ),
    ],
)
def test_values_of_the_wrong_kind_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


@pytest.mark.parametrize("rate", [-0.5, 1.0, 1.5])
def test_a_dropout_rate_out_of_range_is_refused_before_training(rate):
    dataset = cnnlab.data.shapes(size=16, train=8, validation=4, test=4)
    network = cnnlab.create_model("lenet5", num_classes=3, dropout=rate)
    with pytest.raises(ValueError, match=f"must lie in 0 <= rate < 1, found {rate}"):
        check_fit(network, cnnlab.tasks.Classification(), dataset)


def test_a_string_is_a_choice_without_options():
    assert cnnlab.Experiment(model="dense").model == cnnlab.Choice("dense")


def test_a_kernel_larger_than_the_image_says_so():
    dataset = cnnlab.data.shapes(size=16, train=8, validation=4, test=4)
    small = dataclasses.replace(dataset, spec=dataclasses.replace(dataset.spec, size=(8, 8)))
    network = cnnlab.create_model("lenet5", num_classes=3)
    with pytest.raises(ValueError, match="a kernel of 5 pixels is larger than its padded input of 4"):
        check_fit(network, cnnlab.tasks.Classification(), small)


def test_a_batch_larger_than_the_data_becomes_smaller_and_says_so():
    data = cnnlab.data.shapes(size=16, train=22, validation=4, test=4)
    with pytest.warns(UserWarning, match="batches of 64 are larger than the 22 training examples"):
        plan = make_plan(cnnlab.Experiment(training=cnnlab.Training(batch_size=64)), data=data)
    assert (plan.training.batch_size, plan.steps) == (22, 1)


def test_a_stored_run_whose_data_had_no_choice_of_decoding_decodes_whole_photos():
    assert from_stored({"data": {"name": "folder", "path": "x"}}).data.options["decoding"] == "exact"
    assert from_stored({"data": {"name": "folder", "decoding": "fast"}}).data.options["decoding"] == "fast"
