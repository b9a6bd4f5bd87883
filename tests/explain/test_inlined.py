"""Layers inside nn.remat and nn.scan of a network of one's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnlab import Trained, explain
from cnnlab.data import InputSpec
from cnnlab.explain import targets
from cnnlab.tasks import Classification

IMAGES = jax.random.uniform(jax.random.key(1), (3, 8, 6, 1))


class Block(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return x + nn.relu(nn.Conv(4, (3, 3), name="conv")(x))


class Net(nn.Module):
    wrap: type = Block

    @nn.compact
    def __call__(self, x):
        x = self.wrap(name="block")(nn.Conv(4, (3, 3), name="stem")(x))
        return nn.Dense(2, name="head")(x.mean((1, 2)))


class ScanBlock(Block):
    @nn.compact
    def __call__(self, x, _):
        return x + nn.relu(nn.Conv(4, (3, 3), name="conv")(x)), None


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x):
        wrap = nn.scan(ScanBlock, variable_axes={"params": 0}, split_rngs={"params": True}, length=2)
        x, _ = wrap(name="blocks")(nn.Conv(4, (3, 3), name="stem")(x), None)
        return nn.Dense(2, name="head")(x.mean((1, 2)))


def trained(net):
    variables = net.init(jax.random.key(0), IMAGES)
    return Trained(variables, net, Classification(), InputSpec((8, 6), classes="ab"))


@pytest.mark.parametrize("method", ["grad_cam", "score_cam", "eigen_cam"])
@pytest.mark.parametrize("layer", [None, "block/conv"])
def test_a_layer_inside_remat_has_the_map_of_the_same_network_without_it(method, layer):
    plain, remat = trained(Net()), trained(Net(nn.remat(Block)))
    remat = remat.replace(variables=plain.variables)
    expected = explain.METHODS[method].explain(plain, IMAGES, 1, layer=layer).map
    np.testing.assert_allclose(explain.METHODS[method].explain(remat, IMAGES, 1, layer=layer).map, expected, atol=1e-6)


def test_a_unit_inside_remat_is_a_target():
    plain, remat = trained(Net()), trained(Net(nn.remat(Block)))
    remat = remat.replace(variables=plain.variables)
    maps = [explain.saliency(net, IMAGES, targets.unit(net, "block/conv", 1)).map for net in (plain, remat)]
    np.testing.assert_allclose(*maps, atol=1e-6)
    assert maps[0].any()


def test_a_layer_inside_a_scan_is_refused_with_the_layers_that_can_be_reached():
    net = trained(Scanned())
    with pytest.raises(ValueError, match=r"blocks/conv is inside a scan of JAX.* another layer \(stem\)"):
        explain.grad_cam(net, IMAGES)
    assert explain.grad_cam(net, IMAGES, layer="stem").map.shape == (3, 8, 6)
    assert explain.guided_backpropagation(net, IMAGES).map.any()


def test_the_classes_of_an_ensemble_are_explained_together():
    members = [trained(Net()), trained(Net()).replace(variables=Net().init(jax.random.key(5), IMAGES))]
    both = explain.dominant_classes(members, IMAGES, number=2)
    np.testing.assert_allclose(both.prob.sum(-1), 1, rtol=1e-6)
    expected = explain.grad_cam(members, IMAGES, jnp.asarray(both.label[:, 0])).map
    np.testing.assert_allclose(both.map[:, 0], expected, atol=1e-6)
