import flax.linen as nn
import jax
import numpy as np
import pytest

import cnnlab
from cnnlab.features import patterns, top_patches
from cnnlab.features.layers import distinct_layers

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


def test_a_layer_inside_a_checkpoint_is_reached():
    class Checkpointed(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.remat(nn.Conv)(1, (3, 3), name="conv")(x).mean((1, 2)))

    net = Checkpointed()
    trained = cnnlab.Trained(net.init(jax.random.key(0), IMAGE), net, cnnlab.tasks.Classification(), SPEC)
    expected = nn.Conv(1, (3, 3)).apply({"params": trained.variables["params"]["conv"]}, IMAGE)
    np.testing.assert_allclose(cnnlab.activations(trained, IMAGE, ["conv", "Dense_0"])["conv"], expected, rtol=1e-5)


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


class Blocks(nn.Module):
    """A block that ends with its last layer, a pooling module, a scanned layer, a number, and logits."""

    @nn.compact
    def __call__(self, x):
        x = Pool(name="pool")(Block(name="block")(x))
        step = nn.scan(Repeated, variable_broadcast="params", split_rngs={"params": False}, length=2)
        x, _ = step(name="scan")(x, None)
        return nn.Dense(2, name="head")(x.mean((1, 2))) * Temperature(name="temperature")()


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(True, name="norm")(nn.Conv(3, (3, 3), name="conv")(x))


class Pool(nn.Module):
    def __call__(self, x):
        return nn.max_pool(x, (2, 2), (2, 2))


class Repeated(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return nn.Dense(3, name="inside")(x), None


class Temperature(nn.Module):
    @nn.compact
    def __call__(self):
        return self.param("scale", nn.initializers.ones, ())


def blocks():
    return cnnlab.Trained(Blocks().init(jax.random.key(0), IMAGE), Blocks(), cnnlab.tasks.Classification(), SPEC)


def test_distinct_layers_leave_out_what_repeats_what_has_no_units_and_what_cannot_be_reached():
    assert [layer.name for layer in distinct_layers(blocks())] == ["block/norm", "pool", "head"]
    assert "scan/inside" not in cnnlab.activations(blocks(), IMAGE)


def test_a_layer_without_units_is_refused():
    with pytest.raises(ValueError, match=r"temperature has no units: its output has the shape \[\]"):
        top_patches(blocks(), IMAGE, "temperature")


def test_layers_inside_checkpoints_take_one_pass_together():
    class Checkpointed(nn.Module):
        @nn.compact
        def __call__(self, x):
            for name in ("conv1", "conv2", "conv3"):
                x = nn.remat(nn.Conv)(1, (3, 3), name=name)(x)
            return nn.Dense(2, name="dense")(x.mean((1, 2)))

    net = Checkpointed()
    trained = cnnlab.Trained(net.init(jax.random.key(0), IMAGE), net, cnnlab.tasks.Classification(), SPEC)
    calls = []
    with nn.intercept_methods(lambda call, args, kwargs, context: calls.append(context) or call(*args, **kwargs)):
        out = cnnlab.activations(trained, IMAGE)
    assert list(out) == ["conv1", "conv2", "conv3", "dense"]
    expected = nn.Conv(1, (3, 3)).apply({"params": trained.variables["params"]["conv3"]}, out["conv2"])
    np.testing.assert_allclose(out["conv3"], expected, rtol=1e-5)
    conv = [context for context in calls if context.method_name == "__call__" and "conv1" in context.module.path]
    assert len(conv) == 2  # one trace finds the layers, the other one is the program
