"""Tests of imported weights: logits equal those of a network in torch, and wrong files are reported."""

import warnings

import numpy as np
import pytest

import cnnlab
from cnnlab import models, nn

torch = pytest.importorskip("torch", reason="the twins need torch, of the extra peers")
from safetensors.torch import save_file  # noqa: E402
from torch_twins import TWINS  # noqa: E402

SIDES = {"alexnet": 95, "googlenet": 75}


def filled(name, classes=10, seed=0):
    """Returns a torch network with random weights and running statistics that preserve the size of the activations."""
    torch.manual_seed(seed)
    twin = TWINS[name](classes=classes).eval()
    for module in twin.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return twin


def write_safetensors(path, state):
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


@pytest.mark.parametrize("name", list(TWINS))
def test_the_logits_are_those_of_torch(name, tmp_path):
    twin, side = filled(name), SIDES.get(name, 64)
    x = np.random.default_rng(0).normal(size=(2, side, side - 8, 3)).astype(np.float32)
    with torch.inference_mode():
        want = twin(torch.tensor(x).permute(0, 3, 1, 2)).numpy()
        inverted = twin(torch.tensor(-x).permute(0, 3, 1, 2)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, variables = models.import_torch(name, write_safetensors(tmp_path / "w.safetensors", twin.state_dict()))
    got = nn.apply(network, variables, x)
    scale = np.abs(want).max()
    assert np.abs(inverted - want).max() > 1e-2 * scale  # 100 times the tolerance, so the first layers matter
    np.testing.assert_allclose(got, want, atol=1e-4 * scale)


def test_a_pth_file_is_read_as_weights_only(tmp_path):
    twin = filled("resnet18")
    torch.save(twin.state_dict(), tmp_path / "w.pth")
    _, variables = models.import_torch("resnet18", tmp_path / "w.pth")
    np.testing.assert_array_equal(variables["params"]["dense"]["bias"], twin.fc.bias.detach())
    (tmp_path / "other.pth").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(ValueError, match="other.pth is not a state dict"):
        models.import_torch("resnet18", tmp_path / "other.pth")


def test_another_number_of_classes_gets_a_new_head_on_the_same_trunk(tmp_path):
    twin = filled("resnet18")
    path = write_safetensors(tmp_path / "w.safetensors", twin.state_dict())
    network, variables = models.import_torch("resnet18", path, num_classes=3)
    assert network.num_classes == 3
    assert variables["params"]["dense"]["kernel"].shape == (512, 3)
    stem = twin.conv1.weight.detach().permute(2, 3, 1, 0)
    np.testing.assert_array_equal(variables["params"]["stem"]["conv"]["kernel"], stem)


def test_no_class_at_all_is_refused_and_a_trunk_is_the_whole_without_its_last_layer(tmp_path):
    path = write_safetensors(tmp_path / "w.safetensors", filled("resnet18").state_dict())
    with pytest.raises(ValueError, match="num_classes must be 1 or more, found 0"):
        models.import_torch("resnet18", path, num_classes=0)
    trunk, variables = models.import_torch("resnet18", path, features_only=True)
    assert nn.apply(trunk, variables, np.zeros((1, 64, 64, 3), np.float32)).shape == (1, 2, 2, 512)


def test_layers_that_the_file_cannot_have_are_listed(tmp_path):
    state = filled("resnet18").state_dict()
    path = write_safetensors(tmp_path / "w.safetensors", state | {"fc.bias": torch.tensor(0.0)})
    with pytest.raises(ValueError, match=r"of another shape: fc.bias \(\), fc.weight \(10, 512\)"):
        models.import_torch("resnet18", path)
    with pytest.raises(ValueError, match="missing: stage1_block3/conv1/norm.running_mean"):
        models.import_torch("resnet18", path, stage_sizes=(3, 2, 2, 2))


def test_googlenets_auxiliary_heads_are_left_out_with_a_warning(tmp_path):
    path = write_safetensors(tmp_path / "w.safetensors", filled("googlenet").state_dict())
    with pytest.warns(UserWarning, match=r"auxiliary heads of .* are left out \(2 arrays\)"):
        models.import_torch("googlenet", path)


def test_keys_that_do_not_fit_are_all_listed(tmp_path):
    state = filled("resnet18").state_dict()
    state["extra.weight"] = state.pop("layer1.0.conv1.weight")
    state["bn1.bias"] = state["bn1.bias"][:3]
    path = write_safetensors(tmp_path / "w.safetensors", state)
    wrong = r"1 missing: layer1.0.conv1.weight; 1 unexpected: extra.weight; 1 of another shape: bn1.bias \(3,\)"
    with pytest.raises(ValueError, match=wrong):
        models.import_torch("resnet18", path)


def test_weights_of_another_network_are_refused(tmp_path):
    path = write_safetensors(tmp_path / "w.safetensors", filled("resnet18").state_dict())
    with pytest.raises(ValueError, match="does not contain the weights of resnet50: .* missing: .* and .* more"):
        models.import_torch("resnet50", path)
    with pytest.raises(ValueError, match="unknown network with published weights 'resnet19'; did you mean 'resnet18'"):
        models.import_torch("resnet19", path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        (10**15).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}'[:60],
        (62).to_bytes(8, "little") + b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}' + bytes(8),
        (62).to_bytes(8, "little") + b'{"a": {"dtype": "F99", "shape": [9], "data_offsets": [0, 36]}}' + bytes(36),
        (124).to_bytes(8, "little")
        + b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]},'
        + b' "b": {"dtype": "F32", "shape": [8], "data_offsets": [4, 36]}}'
        + bytes(36),
    ],
)
def test_a_damaged_safetensors_file_is_named(content, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="w.safetensors is damaged, or not a safetensors file"):
        models.import_torch("resnet18", tmp_path / "w.safetensors")


def test_a_missing_file_and_one_of_another_kind_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"w.safetensors is not a file"):
        models.import_torch("resnet18", tmp_path / "w.safetensors")
    (tmp_path / "w.ckpt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"w.ckpt must be a .safetensors, .pth or .pt file, found .ckpt"):
        models.import_torch("resnet18", tmp_path / "w.ckpt")


@pytest.fixture
def fine_tuning():
    """Returns an experiment with a new head of a frozen ResNet-18, and a function that makes photos for it."""
    experiment = cnnlab.Experiment(
        model=cnnlab.Choice("resnet18"),
        optimizer=cnnlab.Optimizer(trainable=("dense",)),
        training=cnnlab.Training(epochs=1, batch_size=8),
    )

    def photos(channels):
        images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, channels), np.uint8)
        columns = {"image": images, "label": np.arange(12) % 3}
        return cnnlab.data.from_arrays({"train": columns, "validation": columns, "test": columns})

    return experiment, photos


def test_a_published_trunk_is_fine_tuned_frozen_with_a_new_head(tmp_path, capsys, fine_tuning):
    twin, (experiment, photos) = filled("resnet18"), fine_tuning
    path = write_safetensors(tmp_path / "w.safetensors", twin.state_dict())
    trained = cnnlab.train(experiment, tmp_path / "run", init_from=path, data=photos(3))
    output = " ".join(capsys.readouterr().err.split())
    assert "new: ['params']['dense']['bias'], ['params']['dense']['kernel']" in output
    assert "set --data.normalisation imagenet" in output
    stem = twin.conv1.weight.detach().permute(2, 3, 1, 0)
    np.testing.assert_array_equal(trained.variables["params"]["stem"]["conv"]["kernel"], stem)
    np.testing.assert_array_equal(trained.variables["batch_stats"]["stem"]["norm"]["mean"], twin.bn1.running_mean)


def test_a_published_trunk_is_refused_for_images_of_other_channels(tmp_path, fine_tuning):
    experiment, photos = fine_tuning
    path = write_safetensors(tmp_path / "w.safetensors", filled("resnet18").state_dict())
    with pytest.raises(
        ValueError, match=r"\(7, 7, 3, 64\), this network has \(7, 7, 1, 64\); its images have 1 channels"
    ):
        cnnlab.train(experiment, tmp_path / "run", init_from=path, data=photos(1))
