import json

import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab.cli import main
from cnnlab.data.appearance import Appearance, Spread, appearance, far_outside, measure
from cnnlab.files.strict_json import decode, encode

USUAL = Appearance(200, Spread(33.0, 12.0, 8.0, 90.0), Spread(77.0, 9.0, 50.0, 95.0))


def test_the_numbers_of_an_image_by_hand():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = (100, 60, 20)  # one row of two; the mean of all channels is 30
    numbers = measure(image, (64, 16))
    assert numbers["brightness"] == pytest.approx(30)
    assert numbers["contrast"] == pytest.approx(np.sqrt((100**2 + 60**2 + 20**2) / 6 - 30**2))
    assert (numbers["colour"], numbers["shape"], numbers["size"]) == (40, -2, 5)


def test_a_split_is_measured_and_stored_as_json():
    images = np.stack([np.full((4, 8), value, np.uint8) for value in (10, 20, 30, 40)])
    data = cnnlab.data.from_arrays({name: {"image": images, "label": [0, 1, 0, 1]} for name in ("train", "validation")})
    measured = appearance(data)
    assert measured.brightness == Spread(25, pytest.approx(np.std([10, 20, 30, 40])), 10, 40)
    assert (measured.shape.mean, measured.size) == (1, None)
    assert decode(Appearance, json.loads(json.dumps(encode(measured))), "appearance") == measured


@pytest.mark.parametrize(
    ("brightness", "outside"),
    [
        (33 + 4 * 12, False),
        (100, False),  # 5.6 standard deviations, but within one of the range
        (103, True),
        (221, True),
    ],
)
def test_far_is_four_deviations_from_the_mean_and_one_from_the_range(brightness, outside):
    assert (far_outside(USUAL, [{"brightness": brightness, "contrast": 77.0}]) is not None) == outside


def test_one_photo_in_twenty_is_enough_and_fewer_are_not():
    usual, strange = {"brightness": 33.0, "contrast": 77.0}, {"brightness": 221.0, "contrast": 77.0}
    names = [f"{i}.png" for i in range(20)]
    sentence = far_outside(USUAL, [usual] * 19 + [strange], names)
    assert sentence.startswith("1 of 20 photos (the first is 19.png) lies far outside")
    assert sentence.endswith("mean brightness 221, training 33 ± 12; inverted?")
    assert far_outside(USUAL, [usual] * 20 + [strange]) is None


def test_predict_warns_once_of_inverted_photos_and_invert_cures_it(tmp_path, capsys):
    training = cnnlab.Training(epochs=1, batch_size=64)
    run = tmp_path / "run"
    cnnlab.train(cnnlab.Experiment(model=cnnlab.Choice("linear"), training=training), run, quiet=True)
    (tmp_path / "photos").mkdir()
    images = cnnlab.data.digits()["test"].column("image")[..., 0]
    for i in range(3):
        Image.fromarray(255 - images[i]).save(tmp_path / "photos" / f"{i}.png")
    assert main(["predict", str(run), str(tmp_path / "photos")]) == 0
    assert capsys.readouterr().err.count("inverted? add --invert") == 1
    assert main(["predict", str(run), str(tmp_path / "photos"), "--invert"]) == 0
    out, err = capsys.readouterr()
    assert "far outside" not in err
    labels = [record["label"] for record in json.loads(out)["predictions"]]
    predicted = cnnlab.predict(cnnlab.load(run), images[:3, ..., None]).label
    assert labels == [cnnlab.load(run).spec.classes[k] for k in predicted]


def test_evaluate_warns_of_a_split_that_looks_different(tmp_path):
    rng = np.random.default_rng(0)
    dark = {"image": rng.integers(0, 60, (40, 8, 8), np.uint8), "label": np.arange(40) % 2}
    data = cnnlab.data.from_arrays({"train": dark, "validation": dark, "test": dark | {"image": 255 - dark["image"]}})
    experiment = cnnlab.Experiment(model=cnnlab.Choice("linear"), training=cnnlab.Training(epochs=1, batch_size=20))
    cnnlab.train(experiment, tmp_path / "run", data=data, quiet=True)
    with pytest.warns(UserWarning, match=r"40 of 40 photos lie far outside.*mean brightness 22\d, training \d+"):
        cnnlab.evaluate(tmp_path / "run", data)
