"""DeepDream, also from the command line."""

import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnnlab
from cnnlab import Trained
from cnnlab.cli import main
from cnnlab.data import InputSpec
from cnnlab.explain import targets
from cnnlab.features import dream
from cnnlab.features.dream import octave_sizes
from cnnlab.tasks import Classification, Segmentation


class Blur(nn.Module):
    """A layer that returns the image, so that its mean square grows where the image is far from 0."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(
            x.shape[-1], (1, 1), use_bias=False, kernel_init=lambda *_: jnp.eye(x.shape[-1])[None, None], name="same"
        )(x)
        return nn.Conv(2, (1, 1), name="classes")(x)


def network(module, size, channels, task):
    spec = InputSpec(size, channels, mean=(0.5,), classes="ab")
    return Trained(module.init(jax.random.key(0), jnp.zeros((1, *size, channels))), module, task, spec)


def photo(h, w, c):
    return np.random.default_rng(0).integers(0, 256, (h, w, c), np.uint8)


def lenet():
    return network(cnnlab.create_model("lenet5", num_classes=2), (28, 28), 1, Classification())


@pytest.mark.parametrize("size", [(40, 75), (20, 31), (28, 28), (5, 3)])
def test_a_photo_of_any_size_works_with_a_network_of_a_fixed_size(size):
    image = photo(*size, 1)
    result = dream(lenet(), image, layer="conv2", octaves=2, steps=2)
    assert result.shape == image.shape
    assert result.dtype == np.float32
    assert 0 < np.abs(result - image / 255).mean() < 0.1
    assert 0 <= result.min() <= result.max() <= 1


def test_the_layers_response_grows():
    trained, image = lenet(), photo(28, 28, 1)

    def energy(image):
        maps = cnnlab.activations(trained, np.asarray(image, np.float32)[None], ["conv2"])["conv2"]
        return float((maps**2).mean())

    assert energy(dream(trained, image, layer="conv2", octaves=1, steps=5)) > 1.3 * energy(image / 255)


def test_without_neighbours_bright_pixels_grow_brighter_and_dark_ones_darker():
    trained = network(Blur(), (8, 8), 1, Segmentation())
    image = np.where(np.arange(12)[:, None, None] < 6, 0.2, 0.8) * np.ones((12, 9, 1), np.float32)
    result = dream(trained, image, layer="same", octaves=1, steps=4, step_size=0.02, tile=8)
    assert (result[:5] < 0.19).all()
    assert (result[7:] > 0.81).all()


def test_tiles_leave_no_seam():
    trained = network(Blur(), (8, 8), 3, Segmentation())
    image = photo(30, 22, 3)
    whole, tiled = (dream(trained, image, layer="same", octaves=2, steps=2, tile=tile) for tile in (64, 8))
    np.testing.assert_allclose(whole, tiled, atol=1e-5)  # of a layer that sees one pixel at a time


def test_the_same_seed_gives_the_same_bytes():
    trained, image, options = lenet(), photo(40, 40, 1), {"octaves": 2, "steps": 2}
    first, again, other = (dream(trained, image, seed=seed, **options) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


def test_a_class_and_a_unit_are_targets():
    trained, image = lenet(), photo(28, 28, 1)
    raised = dream(trained, image, target="b", octaves=1, steps=5)
    logits = [
        np.asarray(cnnlab.trained.logits(trained, np.asarray(x, np.float32)[None]))[0, 1] for x in (image / 255, raised)
    ]
    assert logits[1] > logits[0]
    unit = dream(trained, image, target=targets.unit(trained, "conv1", 2), octaves=1, steps=2)
    assert not np.array_equal(unit, raised)


def test_octaves_end_with_the_photos_size():
    assert octave_sizes((100, 60), 3, 2.0) == [(25, 15), (50, 30), (100, 60)]
    assert octave_sizes((4, 1), 3, 2.0) == [(4, 1)]


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (photo(28, 28, 3), {}, r"image must be a photo \[H, W, 1\] for this network, found \[28, 28, 3\]"),
        (photo(28, 28, 1), {"layer": "conv7"}, "unknown layer 'conv7'; did you mean"),
        (photo(28, 28, 1), {"octaves": 0}, "octaves must be 1 or more, found 0"),
        (photo(28, 28, 1), {"octave_scale": 1.0}, "octave_scale must be 1.01 or more, found 1.0"),
        (photo(28, 28, 1), {"tile": 40}, "LeNet5 does not take images of 40x40 pixels"),
        (photo(28, 28, 1), {"target": 0, "layer": "conv1"}, "leave one of them out"),
        (photo(28, 28, 1), {"target": lambda logits: logits[:, 0] * 0}, "the target does not depend on this photo"),
    ],
)
def test_wrong_arguments_are_named(image, options, message):
    with pytest.raises(ValueError, match=message):
        dream(lenet(), image, **{"octaves": 1, "steps": 1} | options)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(24, 37, 3)).save("photo.png")
    return tmp_path


SHORT = ("--octaves", "2", "--steps", "1")


def test_the_command_writes_a_picture_of_the_photos_size(run, here, capsys):
    assert main(["dream", str(run), "photo.png", "--output", "out/dream.png", *SHORT]) == 0
    assert capsys.readouterr().out.split() == ["out/dream.png"]
    assert Image.open("out/dream.png").size == (37, 24)
    expected = dream(cnnlab.load(run), np.asarray(Image.open("photo.png").convert("L"))[..., None], octaves=2, steps=1)
    np.testing.assert_array_equal(Image.open("out/dream.png"), (255 * expected[..., 0]).round().astype(np.uint8))


def test_the_command_takes_units_classes_and_a_longest_side(run, here, capsys):
    assert main(["dream", str(run), "photo.png", "--layer", "conv1", "--unit", "2", "--longest", "20", *SHORT]) == 0
    assert Image.open("dream.png").size == (20, 13)
    assert main(["dream", str(run), "photo.png", "--target", "1", "--output", "class.png", "--json", *SHORT]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["size"] == [24, 37]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["photo.png", "--output", "photo.png"], 2, "photo.png exists; choose another --output"),
        (["photo.png", "--output", "dream.jpg"], 2, "--output must end with .png"),
        (["photo.png", "--target", "1", "--layer", "conv1"], 2, "--target is a class of the network"),
        (["photo.png", "--layer", "conv9"], 1, "unknown layer 'conv9'; did you mean"),
        (["photo.png", "--unit", "99"], 1, "unit must lie in 0..15 for the layer conv2, found 99"),
        (["nothing.png"], 1, "cannot read nothing.png as an image (there is no such file); check its path"),
        (["."], 1, "cannot read . as an image (it is a directory); give an image file"),
    ],
)
def test_wrong_options_are_named(run, here, capsys, options, code, message):
    assert main(["dream", str(run), *options]) == code
    assert message in capsys.readouterr().err
    assert not Path("dream.png").exists()
