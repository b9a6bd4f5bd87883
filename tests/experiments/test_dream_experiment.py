"""The experiment of dreams, shrunk to seconds, with a run and with published weights."""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import cnnlab

FOLDER = Path(__file__).parents[2] / "experiments"
SHORT = {"octaves": 2, "steps": 1, "units": 2, "unit_steps": 1, "longest": 40}


@pytest.fixture(scope="module")
def experiment():
    sys.path.insert(0, str(FOLDER))
    spec = importlib.util.spec_from_file_location("dream", FOLDER / "dream.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 44, 3), np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_network_trained_on_street_scenes_dreams(experiment, photo, tmp_path, capsys):
    for split in ("train", "val", "test"):
        for name, shape in ((split, (16, 24, 3)), (f"{split}annot", (16, 24))):
            (tmp_path / name).mkdir()
            pixels = np.random.default_rng(1).integers(0, 12, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / "1.png")
    layers = {"layers": ("down1", "down2/conv1"), "units_of": "down2/conv1/norm", "side": 24}
    table = experiment.main(photo, camvid=tmp_path, epochs=1, width=2, output=tmp_path / "out", **layers, **SHORT)
    assert table["growth down1"] > 1
    assert Image.open(tmp_path / "out" / "down2_conv1.png").size == (29, 40)
    assert Image.open(tmp_path / "out" / "units.png").size == (24 + 3 + 24, 24)
    assert Image.open(tmp_path / "out" / "dreams.png").width > 900


def test_published_weights_dream(experiment, photo, tmp_path):
    from cnnlab.models import MODELS

    network, weights = cnnlab.create_model("resnet18", num_classes=3), MODELS["resnet18"].weights
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))
    rng, state = np.random.default_rng(0), {}
    names = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    for path, leaf in jax.tree.leaves_with_path(variables):
        _, *layer, name = (key.key for key in path)
        shape = [leaf.shape[axis] for axis in {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[leaf.ndim]]
        value = np.ones(shape) if name in ("scale", "var") else rng.normal(0, 0.05, shape)
        state[f"{weights.prefixes[tuple(layer)]}.{names[name]}"] = value.astype(np.float32)
    save_file(state, tmp_path / "resnet18.safetensors")
    layers = {"layers": ("stage1_block1",), "units_of": "stem/norm"}
    table = experiment.main(photo, weights=tmp_path / "resnet18.safetensors", output=tmp_path, **layers, **SHORT)
    assert table["growth stage1_block1"] > 1
    assert Image.open(tmp_path / "stage1_block1.png").size == (29, 40)


def test_the_source_of_the_network_must_be_given(experiment, photo, tmp_path):
    with pytest.raises(ValueError, match="give one of --run, --camvid and --weights"):
        experiment.main(photo, output=tmp_path)
