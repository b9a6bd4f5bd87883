import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import cnnlab
from cnnlab import models, tasks
from cnnlab.losses import orthogonality
from cnnlab.training.orthogonal import orthogonal_penalty
from cnnlab.training.plan import make_plan
from cnnlab.training.step import create_state, train_step


def penalty_of(name, shape=(28, 28, 1), weight=1.0, layers=(), **options):
    network = models.create_model(name, num_classes=3, **options)
    variables = network.init(jax.random.key(0), jnp.zeros((1, *shape)))
    return orthogonal_penalty(network, variables, shape, weight=weight, layers=layers), variables["params"]


def with_orthogonality(experiment, weight, layers=()):
    settings = {"orthogonality": weight, "orthogonal_layers": layers}
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, **settings))


def test_the_penalty_is_the_weighted_sum_over_all_convolutions():
    penalty, params = penalty_of("lenet5", weight=0.5)
    expected = orthogonality(params["conv1"]["kernel"]) + orthogonality(params["conv2"]["kernel"])
    assert float(penalty(params)) == pytest.approx(0.5 * float(expected), rel=1e-6)


def test_named_layers_count_alone_and_may_be_dense():
    penalty, params = penalty_of("lenet5", layers=("conv2", "dense1"))
    expected = orthogonality(params["conv2"]["kernel"]) + orthogonality(params["dense1"]["kernel"])
    assert float(penalty(params)) == pytest.approx(float(expected), rel=1e-6)


def test_the_stride_of_a_layer_counts():
    penalty, params = penalty_of("resnet18", (32, 32, 3), layers=("stem",), width=4)
    expected = orthogonality(params["stem"]["conv"]["kernel"], stride=(2, 2))
    assert float(penalty(params)) == pytest.approx(float(expected), rel=1e-6)


def test_a_transposed_convolution_has_the_loss_of_the_one_it_transposes():
    penalty, params = penalty_of("unet", (16, 16, 1), layers=("up1",), width=2, depth=1, up="transposed")
    rows = np.asarray(params["up1"]["kernel"]).transpose(2, 0, 1, 3).reshape(4, -1)  # windows that do not overlap
    assert float(penalty(params)) == pytest.approx(((rows @ rows.T - np.eye(4)) ** 2).sum(), rel=1e-5)


def test_the_penalty_is_added_to_the_loss_and_its_gradient_to_the_step():
    penalty, _ = penalty_of("lenet5", weight=0.1)
    network, optimizer = models.create_model("lenet5", num_classes=3), optax.sgd(1.0)
    batch = {"image": np.ones((2, 28, 28, 1), np.float32), "label": np.array([0, 1])}
    state = create_state(network, optimizer, batch["image"], jax.random.key(0))
    options = {"network": network, "task": tasks.Classification(), "optimizer": optimizer, "key": jax.random.key(1)}
    without, plain = jax.jit(functools.partial(train_step, **options))(state, batch)
    penalised, metrics = jax.jit(functools.partial(train_step, penalty=penalty, **options))(state, batch)
    assert float(metrics["loss"] - plain["loss"]) == pytest.approx(float(penalty(state.params)), rel=1e-4)
    gradient = jax.grad(penalty)(state.params)["conv1"]["kernel"]
    difference = without.params["conv1"]["kernel"] - penalised.params["conv1"]["kernel"]
    np.testing.assert_allclose(difference, gradient, atol=1e-5)


def test_a_weight_of_0_adds_nothing(small):
    assert make_plan(small).penalty is None
    assert make_plan(with_orthogonality(small, 0.1)).penalty is not None


def test_unknown_layers_and_networks_without_convolutions_are_refused():
    with pytest.raises(ValueError, match="unknown orthogonal layer 'conv3'; did you mean 'conv"):
        penalty_of("lenet5", layers=("conv3",))
    with pytest.raises(ValueError, match="Dense has no convolution to make orthogonal; .*such as dense1"):
        penalty_of("dense")


def test_a_weight_below_0_and_names_without_a_weight_are_refused(small):
    with pytest.raises(ValueError, match="orthogonality must be 0 or more and finite, found -1.0"):
        with_orthogonality(small, -1.0)
    with pytest.raises(ValueError, match="orthogonal_layers conv1 count only with a weight above 0"):
        with_orthogonality(small, 0.0, ("conv1",))


def test_settings_of_earlier_versions_have_no_penalty_and_new_ones_are_kept(small):
    changed = with_orthogonality(small, 0.1, ("conv1",))
    assert cnnlab.Experiment.from_json(changed.to_json()) == changed
    earlier = small.to_json()
    del earlier["training"]["orthogonality"], earlier["training"]["orthogonal_layers"]
    assert cnnlab.Experiment.from_json(earlier) == small


def test_training_makes_kernels_orthogonal(small, tmp_path):
    sums = []
    for weight in (0.0, 0.1):
        trained = cnnlab.train(with_orthogonality(small, weight), tmp_path / str(weight), quiet=True)
        penalty = make_plan(with_orthogonality(small, 1.0)).penalty
        sums.append(float(penalty(trained.variables["params"])))
    assert sums[1] < 0.9 * sums[0]
