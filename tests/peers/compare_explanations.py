"""Maps of explanations beside captum's and pytorch-grad-cam's, for three networks with the same weights.

`plain` has ReLUs as modules, `residual` batch norm and a shortcut, `functional` calls `F.relu`. All numbers are
relative to the largest value of the map.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from comparison import Outcome, against
from torchvision_stub import stubbed_torchvision

from cnnlab import Trained, explain
from cnnlab.data import InputSpec
from cnnlab.explain.compute import Pass
from cnnlab.explain.taps import find_layer
from cnnlab.explain.targets import class_logit
from cnnlab.nn import apply
from cnnlab.tasks import Classification

B, SIDE, K = 4, 16, 5
_rng = np.random.default_rng(0)
X = _rng.normal(size=(B, SIDE, SIDE, 3)).astype(np.float32)
CLASSES = np.array([0, 3, 1, 4])
SUMS = "sums of float32 in another order"


def torch_network(name: str):
    """A torch network; its layers are called as those of `Twin`."""
    import torch

    relu = torch.nn.functional.relu if name == "functional" else None

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1)
            if name == "residual":
                self.bn1, self.bn2 = torch.nn.BatchNorm2d(8), torch.nn.BatchNorm2d(8)
            self.relu1, self.relu2 = (torch.nn.ReLU(inplace=name == "in place") for _ in range(2))
            self.pool, self.dense = torch.nn.MaxPool2d(2), torch.nn.Linear(8 * 8 * 8, K)

        def forward(self, x):
            x = self.conv1(x)
            x = self.bn1(x) if name == "residual" else x
            x = self.pool((relu or self.relu1)(x))
            y = self.conv2(x)
            y = self.bn2(y) + x if name == "residual" else y
            return self.dense((relu or self.relu2)(y).flatten(1))

    torch.manual_seed(0)
    network = Network()
    for each in network.modules():
        if isinstance(each, torch.nn.BatchNorm2d):
            each.running_mean.normal_(0, 0.3)
            each.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(each.weight, 0.5, 1.5)
    return network.eval()


class Twin(nn.Module):
    """The same network in Flax, with functional ReLUs."""

    residual: bool = False

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True, epsilon=1e-5)
        x = nn.Conv(8, (3, 3), name="conv1")(x)
        x = norm(name="bn1")(x) if self.residual else x
        x = nn.max_pool(nn.relu(x), (2, 2), (2, 2))
        y = nn.Conv(8, (3, 3), name="conv2")(x)
        y = norm(name="bn2")(y) + x if self.residual else y
        return nn.Dense(K, name="dense")(jnp.moveaxis(nn.relu(y), -1, 1).reshape(len(x), -1))


@functools.cache
def networks(name: str):
    """The torch network and its twin."""
    network = torch_network(name)
    state = {key: value.detach().numpy() for key, value in network.state_dict().items()}
    params = {}
    for layer in ("conv1", "conv2"):
        params[layer] = {"kernel": state[f"{layer}.weight"].transpose(2, 3, 1, 0), "bias": state[f"{layer}.bias"]}
    params["dense"] = {"kernel": state["dense.weight"].T, "bias": state["dense.bias"]}
    variables = {"params": params}
    if name == "residual":
        for layer in ("bn1", "bn2"):
            params[layer] = {"scale": state[f"{layer}.weight"], "bias": state[f"{layer}.bias"]}
        each = {n: {"mean": state[f"{n}.running_mean"], "var": state[f"{n}.running_var"]} for n in ("bn1", "bn2")}
        variables["batch_stats"] = each
    spec = InputSpec((SIDE, SIDE), 3, classes=tuple("abcde"))
    return network, Trained(variables, Twin(name == "residual"), Classification(), spec)


def images():
    import torch

    return torch.as_tensor(X.transpose(0, 3, 1, 2)).requires_grad_(), torch.as_tensor(CLASSES)


def relative(ours, theirs) -> tuple[np.ndarray, np.ndarray]:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    return ours / np.abs(theirs).max(), theirs / np.abs(theirs).max()


def captum_map(name: str, method: str, reduce, *make, **options) -> np.ndarray:
    import captum.attr

    network, _ = networks(name)
    x, target = images()
    attribution = getattr(captum.attr, method)(network, *make).attribute(x, target=target, **options)
    return reduce(attribution.detach().numpy())


def largest(attribution: np.ndarray) -> np.ndarray:
    return np.abs(attribution).max(1)


def total(attribution: np.ndarray) -> np.ndarray:
    return attribution.sum(1)


def first(attribution: np.ndarray) -> np.ndarray:
    return attribution[:, 0]


_OCCLUSION = {"sliding_window_shapes": (3, 5, 5), "strides": (3, 3, 3), "baselines": 0}
_CAPTUM = {
    "saliency": (explain.saliency, "Saliency", largest, {}, {}),
    "input x gradient": (explain.input_x_gradient, "InputXGradient", total, {}, {}),
    "integrated gradients": (explain.integrated_gradients, "IntegratedGradients", total, {}, {"n_steps": 50}),
    "guided back-propagation": (explain.guided_backpropagation, "GuidedBackprop", total, {}, {}),
    "deconvolution": (explain.deconvolution, "Deconvolution", total, {}, {}),
    "occlusion": (explain.occlusion, "Occlusion", first, {"window": 5, "stride": 3}, _OCCLUSION),
}


def _enter_captum(name: str, quantity: str) -> None:
    method, peer, reduce, ours, theirs = _CAPTUM[quantity]
    silent = name == "functional" and quantity in ("guided back-propagation", "deconvolution")
    tolerance = 1e-3 if quantity == "integrated gradients" else 1e-5
    why = "captum misses F.relu (difference: its own error); in its definition: ours" if silent else SUMS

    @against("captum", f"{quantity}, {name}", why, tolerance=tolerance)
    def _() -> Outcome:
        mine = method(networks(name)[1], X, target=CLASSES, **ours).map
        theirs_here = captum_map(name, peer, reduce, **theirs)
        if not silent:
            return Outcome(*relative(mine, theirs_here))
        right = captum_map("plain", peer, reduce, **theirs)  # the same weights, with modules
        scale = np.abs(right).max()
        return Outcome(theirs_here / scale, right / scale, put=np.asarray(mine) / scale)


def scaled(maps) -> np.ndarray:
    """Maps from 0 to 1, as pytorch-grad-cam gives them."""
    maps = np.asarray(maps)
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    return (maps - low) / np.maximum(high - low, 1e-30)


def million(index):
    """A class's logit times a million, which changes no map but lets the 1e-7 that scales a map vanish."""
    return lambda logits: 1e6 * logits[index]


def logit(index):
    return lambda logits: logits[index]


def with_its_epsilon(trained) -> np.ndarray:
    """Grad-CAM++ with 1e-6 in its denominator."""
    one = Pass(trained, class_logit(CLASSES), find_layer(trained, "conv2"), apply, None)
    _, a, g = map(np.asarray, one.activations(jnp.asarray(X)))
    weights = (np.maximum(g, 0) * g**2 / (2 * g**2 + g**3 * a.sum((1, 2), keepdims=True) + 1e-6)).sum((1, 2))
    maps = np.maximum(np.einsum("bhwc,bc->bhw", a, weights), 0)
    return np.asarray(jax.image.resize(maps, X.shape[:3], "bilinear", antialias=False))


def _enter_grad_cam(name: str, quantity: str, method, peer: str) -> None:
    plus = quantity == "Grad-CAM++"

    @against(
        "pytorch_grad_cam", f"{quantity}, {name}", "it adds 1e-6 to a denominator" if plus else SUMS, tolerance=1e-5
    )
    def _() -> Outcome:
        with stubbed_torchvision():
            import pytorch_grad_cam

            network, trained = networks(name)
            with getattr(pytorch_grad_cam, peer)(network, target_layers=[network.conv2]) as cam:
                theirs = cam(images()[0].detach(), targets=[(logit if plus else million)(int(k)) for k in CLASSES])
        put = scaled(with_its_epsilon(trained)) if plus else None
        return Outcome(scaled(method(trained, X, target=CLASSES, layer="conv2").map), scaled(theirs), put)


@against(
    "pytorch_grad_cam", "Grad-CAM, in place", "it reads the layer after ReLU(inplace=True) overwrote it: its own error"
)
def _() -> Outcome:
    with stubbed_torchvision():
        import pytorch_grad_cam

        maps = []
        for name in ("in place", "plain"):  # the same weights
            network, trained = networks(name)
            with pytorch_grad_cam.GradCAM(network, target_layers=[network.conv2]) as cam:
                maps.append(scaled(cam(images()[0].detach(), targets=[million(int(k)) for k in CLASSES])))
    wrong, right = maps
    return Outcome(wrong, right, put=scaled(explain.grad_cam(trained, X, target=CLASSES, layer="conv2").map))


def _enter_eigen_cam(name: str) -> None:
    @against("pytorch_grad_cam", f"Eigen-CAM, {name}", "its sign is arbitrary; it is chosen as ours", tolerance=1e-4)
    def _() -> Outcome:
        with stubbed_torchvision():
            from pytorch_grad_cam.utils.image import scale_cam_image
            from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

            network, trained = networks(name)
            activations = []
            hook = network.conv2.register_forward_hook(
                lambda layer, args, out: activations.append(out.detach().numpy())
            )
            network(images()[0])
            hook.remove()
            flat = get_2d_projection(activations[0])
            sign = [np.sign(each.ravel()[np.abs(each).argmax()]) for each in flat]
            theirs = scale_cam_image(np.maximum(flat * np.array(sign)[:, None, None], 0), (SIDE, SIDE))
        return Outcome(scaled(explain.eigen_cam(trained, X, target=CLASSES, layer="conv2").map), scaled(theirs))


for _name in ("plain", "residual", "functional"):
    for _quantity in _CAPTUM:
        _enter_captum(_name, _quantity)
    for _quantity, _method, _peer in (
        ("Grad-CAM", explain.grad_cam, "GradCAM"),
        ("HiResCAM", explain.hires_cam, "HiResCAM"),
        ("Grad-CAM++", explain.grad_cam_plus_plus, "GradCAMPlusPlus"),
        ("LayerCAM", explain.layer_cam, "LayerCAM"),
    ):
        _enter_grad_cam(_name, _quantity, _method, _peer)
    _enter_eigen_cam(_name)
