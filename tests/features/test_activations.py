import flax.linen as nn
import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.features import patterns, top_patches

SPEC = cnnlab.InputSpec((4, 4), classes=("a", "b"))


class TwoConvolutions(nn.Module):
    """A convolution of a pixel and its right neighbour, a ReLU, and one of a pixel and its left neighbour."""

    activation: object = nn.relu

    @nn.compact
    def __call__(self, x):
        x = self.activation(nn.Conv(1, (1, 3), name="first")(x))
        return nn.Dense(2, name="dense")(nn.Conv(1, (1, 3), name="second")(x).mean((1, 2)))


def network(activation=nn.relu):
    kernels = {"first": [0, 1, -2], "second": [3, 1, 0]}
    params = {
        name: {"kernel": np.array(kernel, np.float32).reshape(1, 3, 1, 1), "bias": np.zeros(1, np.float32)}
        for name, kernel in kernels.items()
    }
    params["dense"] = {"kernel": np.ones((1, 2), np.float32), "bias": np.zeros(2, np.float32)}
    return cnnlab.Trained({"params": params}, TwoConvolutions(activation), cnnlab.tasks.Classification(), SPEC)


IMAGE = np.zeros((1, 4, 4, 1), np.float32)
IMAGE[0, 1, :, 0] = [0, 1, 0, 0.25]


def test_activations_are_those_by_hand():
    out = cnnlab.activations(network(), IMAGE)
    assert list(out) == ["first", "second", "dense"]
    assert out["first"][0, 1, :, 0].tolist() == [-2, 1, -0.5, 0.25]  # before the ReLU
    assert out["second"][0, 1, :, 0].tolist() == [0, 1, 3, 0.25]
    np.testing.assert_allclose(out["dense"][0], 4.25 / 16)


def test_layers_can_be_chosen():
    assert list(cnnlab.activations(network(), IMAGE, "second")) == ["second"]
    assert list(cnnlab.activations(network(), IMAGE, ["dense", "first"])) == ["dense", "first"]
    with pytest.raises(ValueError, match="unknown layer 'secnd'; did you mean 'second'"):
        cnnlab.activations(network(), IMAGE, ["secnd"])


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"images must be \[B, 4, 4, 1\]"):
        cnnlab.activations(network(), np.zeros((1, 4, 4, 3), np.float32))


def test_a_layer_inside_a_checkpoint_is_refused_by_name():
    class Checkpointed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.remat(nn.Conv)(1, (3, 3), name="conv")(x).mean((1, 2)))

    net = Checkpointed()
    trained = cnnlab.Trained(net.init(jax.random.key(0), IMAGE), net, cnnlab.tasks.Classification(), SPEC)
    with pytest.raises(ValueError, match=r"the layer conv is inside nn.scan, nn.remat or nn.vmap"):
        cnnlab.activations(trained, IMAGE, "conv")


def test_deconvolution_passes_what_is_positive_on_the_way_back():
    best = top_patches(network(), IMAGE, "second", count=1)
    assert best.place[0, 0].tolist() == [1, 2]
    assert best.box[0, 0].tolist() == [0, 1, 5, 2]  # 5 pixels, one more than the image, so the window is the image
    # The unit passes 3 to the place before it and 1 to its own, and both go on, although the ReLU there is closed.
    # Along the first convolution a place passes 1 to its pixel and -2 to the next: 3, 1 - 6 and -2.
    np.testing.assert_allclose(patterns(network(), best)[0, 0, 0, :, 0], [0, 3, -5, -2])


def test_a_nonlinearity_without_a_rule_is_refused_by_name():
    trained = network(nn.gelu)
    best = top_patches(trained, IMAGE, "second", count=1)
    with pytest.raises(ValueError, match="deconvolution needs ReLUs: it has no rule for .* in gelu"):
        patterns(trained, best)
    first = top_patches(trained, IMAGE, "first", count=1)
    np.testing.assert_allclose(patterns(trained, first)[0, 0, 0, :, 0], [0, 1, -2])  # before any nonlinearity
