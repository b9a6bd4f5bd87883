"""Verdicts beside captum's, pytorch-grad-cam's and Quantus', on one network with the same weights and random numbers.

Two scores of Quantus are not compared, because the definitions differ: `ROAD` (accuracy of a whole batch) and
`Infidelity` (square patches, no factor beta).
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torchvision_stub import stubbed_torchvision

from cnnlab.explain.faithfulness import deletion, infidelity, road
from cnnlab.explain.imputation import impute
from cnnlab.explain.randomisation import rank_correlation
from cnnlab.explain.robustness import max_sensitivity

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

B, SIDE, C, K = 3, 12, 3, 4
CLASSES = np.array([0, 2, 1])
KEYS = jax.random.split(jax.random.key(0), B)
_rng = np.random.default_rng(0)
X = _rng.normal(size=(B, SIDE, SIDE, C)).astype(np.float32)
GREY = X[..., :1]
# shuffled multiples of a power of two: no ties, and pytorch-grad-cam's 1 - map is exact
MAPS = _rng.permuted(np.tile(np.arange(SIDE * SIDE, dtype=np.float32) / 256, (B, 1)), axis=1).reshape(B, SIDE, SIDE)


def network(channels: int):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(channels, 6, 3)
    net = torch.nn.Sequential(conv, torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(6 * (SIDE - 2) ** 2, K))
    return net.eval()


def logits(net, x):
    """Computes the logits of a torch network in JAX."""
    kernel, bias, dense, last = (jnp.asarray(p.detach().numpy()) for p in net.parameters())
    with jax.default_matmul_precision("highest"):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "OIHW", "NCHW"))
        return jax.nn.relu(x + bias[:, None, None]).reshape(len(x), -1) @ dense.T + last


def value_of(net):
    def one(x):
        return logits(net, x)[jnp.arange(B), CLASSES]

    return jax.vmap(one)


def gradient_of(net):
    def gradient(x):
        return jax.grad(lambda x: value_of(net)(x[None]).sum())(x).sum(-1)

    return gradient


def channels_first(x):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1)))


def same_noise(draw, samples):
    """Returns a torch function that adds our noise to inputs that captum has repeated for each sample."""
    noise = np.stack([np.stack([draw(jax.random.fold_in(key, s)) for s in samples]) for key in KEYS])
    return torch.from_numpy(noise.reshape(-1, 1, SIDE, SIDE))


def sensitivity_noise():
    return same_noise(
        lambda key: jax.random.uniform(key, (SIDE, SIDE, 1), minval=-0.02, maxval=0.02)[..., 0], range(10)
    )


def our_max_sensitivity(net):
    gradient = gradient_of(net)
    return max_sensitivity(gradient, jnp.asarray(GREY), gradient(jnp.asarray(GREY)), KEYS)


def torch_gradient(model, inputs, targets, **_):
    inputs = torch.from_numpy(np.asarray(inputs)).requires_grad_()
    model(inputs)[range(len(inputs)), targets].sum().backward()
    return inputs.grad.numpy()


def test_infidelity_is_captums_with_normalize():
    captum = pytest.importorskip("captum.metrics")
    net, maps = network(1), np.asarray(gradient_of(network(1))(GREY)) + MAPS
    noise = 0.1 * same_noise(lambda key: jax.random.normal(key, (SIDE, SIDE)), range(1, 17))
    theirs = captum.infidelity(
        net,
        lambda inputs: (noise, inputs - noise),
        channels_first(GREY),
        torch.from_numpy(maps)[:, None],
        target=CLASSES.tolist(),
        n_perturb_samples=16,
        normalize=True,
    )
    ours = infidelity(value_of(net), GREY, jnp.asarray(maps)[None], KEYS, samples=16)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_max_sensitivity_is_captums():
    captum, attr = pytest.importorskip("captum.metrics"), pytest.importorskip("captum.attr")
    net = network(1)
    noise = sensitivity_noise()
    theirs = captum.sensitivity_max(
        attr.Saliency(net).attribute,
        channels_first(GREY),
        perturb_func=lambda inputs: inputs + noise,
        target=torch.from_numpy(CLASSES),
        abs=False,
    )
    np.testing.assert_allclose(our_max_sensitivity(net), theirs, rtol=1e-5)


def test_max_sensitivity_is_quantus():
    quantus = pytest.importorskip("quantus")
    net = network(1)
    noise = sensitivity_noise().reshape(B, 10, -1).numpy()
    samples = iter(range(10))
    metric = quantus.MaxSensitivity(
        nr_samples=10,
        perturb_func=lambda arr, **_: arr + noise[:, next(samples)],
        return_nan_when_prediction_changes=False,
        disable_warnings=True,
    )
    inputs = np.asarray(channels_first(GREY))
    theirs = metric(net, inputs, CLASSES, explain_func=torch_gradient, softmax=False, device="cpu")
    np.testing.assert_allclose(our_max_sensitivity(net), theirs, rtol=1e-5)


@pytest.fixture
def grad_cam_road(monkeypatch):
    pytest.importorskip("cv2")
    with stubbed_torchvision():
        peer = pytest.importorskip("pytorch_grad_cam.metrics.road")

    class Noiseless(peer.NoisyLinearImputer):
        def __init__(self):
            super().__init__(noise=0)

    monkeypatch.setattr(peer, "NoisyLinearImputer", Noiseless)
    return peer


def test_imputation_is_that_of_pytorch_grad_cam(grad_cam_road):
    missing = np.random.default_rng(1).random((B, SIDE, SIDE)) < 0.7
    fill = grad_cam_road.NoisyLinearImputer()
    theirs = [
        fill(image, torch.from_numpy(~hole).float()) for image, hole in zip(channels_first(X), missing, strict=True)
    ]
    ours = impute(jnp.asarray(X), jnp.asarray(missing), tolerance=1e-7)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), np.stack(theirs), atol=1e-5)


def test_road_is_that_of_pytorch_grad_cam(grad_cam_road):
    net = network(C)
    score = grad_cam_road.ROADCombined(percentiles=[20, 40, 60, 80])
    theirs = score(channels_first(X), MAPS, [lambda out, k=k: out[k] for k in CLASSES], net)
    ours = road(value_of(net), jnp.asarray(X), jnp.asarray(MAPS)[None], KEYS, noise=0)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_deletion_is_the_area_under_quantus_pixel_flipping():
    quantus = pytest.importorskip("quantus")
    net, pixels = network(1), SIDE * SIDE
    metric = quantus.PixelFlipping(
        features_in_step=6, perturb_baseline=0.0, normalise=False, disable_warnings=True, return_aggregate=False
    )
    inputs = np.asarray(channels_first(GREY))
    curve = metric(net, inputs, CLASSES, a_batch=MAPS[:, None].copy(), softmax=False, device="cpu")
    first = net(channels_first(GREY))[range(B), CLASSES].detach().numpy()  # which their curve leaves out
    theirs = np.trapezoid(np.c_[first, curve], dx=6 / pixels)
    ours = deletion(value_of(net), jnp.asarray(GREY), jnp.asarray(MAPS)[None], steps=pixels // 6)[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_randomisation_test_is_quantus_on_its_random_network():
    quantus = pytest.importorskip("quantus")
    from quantus.helpers.model.pytorch_model import PyTorchModel

    net = network(1)
    *_, (_, drawn) = PyTorchModel(net, channel_first=True).get_random_layer_generator(order="top_down", seed=42)

    metric = quantus.MPRT(
        seed=42, skip_layers=True, return_last_correlation=True, normalise=False, disable_warnings=True
    )
    inputs = np.asarray(channels_first(GREY))
    theirs = metric(net, inputs, CLASSES, explain_func=torch_gradient, softmax=False, device="cpu")
    before, after = (jnp.abs(gradient_of(each)(jnp.asarray(GREY))) for each in (net, drawn))
    np.testing.assert_allclose(rank_correlation(before, after), theirs, atol=1e-5)
