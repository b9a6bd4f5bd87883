"""Agreement with captum's guided back-propagation and deconvolution, where it is right: on ReLUs that are modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnlab.explain.rules import with_rule

torch = pytest.importorskip("torch")
captum = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.filterwarnings("ignore")
PEERS = {"guided": captum.GuidedBackprop, "deconvolution": captum.Deconvolution}


class Plain(torch.nn.Module):
    """Two convolutions with max pooling and two dense layers."""

    def __init__(self):
        super().__init__()
        layer = torch.nn
        self.conv1, self.conv2 = layer.Conv2d(3, 8, 3, padding=1), layer.Conv2d(8, 12, 3, padding=1)
        self.dense1, self.dense2 = layer.Linear(12 * 8 * 8, 16), layer.Linear(16, 5)
        self.relu1, self.relu2, self.relu3 = layer.ReLU(), layer.ReLU(), layer.ReLU()
        self.pool = layer.MaxPool2d(2)

    def forward(self, x):
        x = self.relu2(self.conv2(self.pool(self.relu1(self.conv1(x)))))
        return self.dense2(self.relu3(self.dense1(x.flatten(1))))


def plain(w, x):
    x = pool(jnp.maximum(convolve(w, "conv1", x), 0))
    x = jnp.where((x := convolve(w, "conv2", x)) > 0, x, 0)
    x = dense(w, "dense1", x.transpose(0, 3, 1, 2).reshape(len(x), -1))
    return dense(w, "dense2", x * (x > 0))


class Residual(torch.nn.Module):
    """A convolution and two residual blocks with batch norm."""

    def __init__(self):
        super().__init__()
        layer = torch.nn
        self.conv0, self.norm0, self.relu0 = layer.Conv2d(3, 8, 3, padding=1), layer.BatchNorm2d(8), layer.ReLU()
        for name in ("1", "2"):
            for part in ("a", "b"):
                setattr(self, f"conv{name}{part}", layer.Conv2d(8, 8, 3, padding=1, bias=False))
                setattr(self, f"norm{name}{part}", layer.BatchNorm2d(8))
                setattr(self, f"relu{name}{part}", layer.ReLU())
        self.dense = layer.Linear(8, 5)

    def forward(self, x):
        x = self.relu0(self.norm0(self.conv0(x)))
        for name in ("1", "2"):
            layer = lambda kind, part: getattr(self, f"{kind}{name}{part}")  # noqa: B023, E731
            y = layer("relu", "a")(layer("norm", "a")(layer("conv", "a")(x)))
            x = layer("relu", "b")(x + layer("norm", "b")(layer("conv", "b")(y)))
        return self.dense(x.mean((2, 3)))


def residual(w, x):
    x = jax.nn.relu(normalise(w, "norm0", convolve(w, "conv0", x)))
    for name in ("1", "2"):
        y = jnp.clip(normalise(w, f"norm{name}a", convolve(w, f"conv{name}a", x)), 0)
        x = jnp.maximum(0, x + normalise(w, f"norm{name}b", convolve(w, f"conv{name}b", y)))
    return dense(w, "dense", x.mean((1, 2)))


def convolve(w, name, x):
    kernel = w[f"{name}.weight"].transpose(2, 3, 1, 0)
    out = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return out + w.get(f"{name}.bias", 0)


def dense(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def normalise(w, name, x):
    scale = w[f"{name}.weight"] * lax.rsqrt(w[f"{name}.running_var"] + 1e-5)
    return (x - w[f"{name}.running_mean"]) * scale + w[f"{name}.bias"]


def pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def prepared(module):
    """Returns the module with batch statistics that are not trivial."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for leaf in (layer.weight, layer.bias, layer.running_mean):
                torch.nn.init.normal_(leaf)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
    return module.eval()


@pytest.mark.parametrize("rule", PEERS)
@pytest.mark.parametrize(("network", "twin"), [(Plain, plain), (Residual, residual)], ids=["plain", "residual"])
def test_maps_agree_with_captum_on_module_relus_to_1e_5(network, twin, rule):
    torch.manual_seed(0)
    module = prepared(network())
    images = torch.randn(8, 3, 16, 16)
    targets = torch.arange(8) % 5
    theirs = PEERS[rule](module).attribute(images.clone().requires_grad_(), target=targets).detach().numpy()
    w = {name: jnp.asarray(leaf.detach().numpy()) for name, leaf in module.state_dict().items()}

    @jax.jit
    def ours(w, x, targets):
        function = with_rule(lambda x: twin(w, x), rule)
        return jax.grad(lambda x: jnp.take_along_axis(function(x), targets[:, None], 1).sum())(x)

    ours = ours(w, images.numpy().transpose(0, 2, 3, 1), targets.numpy()).transpose(0, 3, 1, 2)
    relative = np.abs(ours - theirs).max() / np.abs(theirs).max()
    print(f"{network.__name__} {rule} {relative:.1e}")
    assert relative <= 1e-5
