import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnnlab import models, tasks
from cnnlab.training import Optimizer, create_optimizer, create_state, train_step
from cnnlab.training.optimizer import METHODS, SCHEDULES, learning_rate


def parts(optimizer=None, name="linear", ema=None, **options):
    network = models.create_model(name, num_classes=3, **options)
    optimizer = optimizer or optax.sgd(0.1)
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((6, 16, 16, 1), np.float32), "label": rng.integers(0, 3, 6)}
    state = create_state(network, optimizer, batch["image"], jax.random.key(0), ema=ema)
    step = functools.partial(
        train_step, network=network, task=tasks.Classification(), optimizer=optimizer, key=jax.random.key(1), ema=ema
    )
    return state, batch, jax.jit(step)


def close(a, b, tolerance=1e-6):
    return all(np.allclose(x, y, atol=tolerance) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


@pytest.mark.device
def test_one_sgd_step_of_softmax_regression_equals_the_gradient_by_hand():
    state, batch, step = parts()
    kernel, x = np.asarray(state.params["dense"]["kernel"], np.float64), batch["image"].reshape(6, -1)
    logits = x @ kernel
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gradient = x.T @ (probs - np.eye(3)[batch["label"]]) / 6
    new, metrics = step(state, batch)
    np.testing.assert_allclose(new.params["dense"]["kernel"], kernel - 0.1 * gradient, atol=1e-6)
    assert float(metrics["loss"]) == pytest.approx(-np.log(probs[range(6), batch["label"]]).mean(), rel=1e-5)
    assert int(new.step) == 1


def test_rows_of_weight_0_do_not_count():
    state, batch, step = parts()
    short = {name: column[:4] for name, column in batch.items()} | {"weight": np.ones(4, np.float32)}
    padded = batch | {"weight": np.array([1, 1, 1, 1, 0, 0], np.float32)}
    assert close(step(state, short)[0].params, step(state, padded)[0].params)


def test_uint8_and_its_share_of_255_are_the_same_image():
    state, batch, step = parts()
    pixels = np.random.default_rng(1).integers(0, 256, (6, 16, 16, 1), np.uint8)
    one = step(state, batch | {"image": pixels})[0].params
    assert close(one, step(state, batch | {"image": pixels.astype(np.float32) / 255})[0].params)


def test_the_dropout_key_is_a_function_of_the_step():
    state, batch, step = parts(name="dense", dropout=0.5)
    again = step(state, batch)[1]["loss"]
    assert step(state, batch)[1]["loss"] == again
    assert step(state.replace(step=jnp.int32(7)), batch)[1]["loss"] != again


@pytest.mark.device
def test_batch_norm_statistics_move_while_training():
    state, batch, step = parts(name="convnet", stages=((4,),))
    before, after = (jax.tree.leaves(one.stats["batch_stats"]) for one in (state, step(state, batch)[0]))
    assert before
    assert all((old != new).all() for old, new in zip(before, after, strict=True))


@pytest.mark.device
def test_two_accumulated_halves_equal_the_whole_batch():
    half = [slice(0, 3), slice(3, 6)]
    whole_state, batch, whole = parts(create_optimizer(Optimizer(name="sgd", momentum=0.5), 10))
    state, _, step = parts(create_optimizer(Optimizer(name="sgd", momentum=0.5), 10, accumulate=2))
    for part in half:
        state, _ = step(state, {name: column[part] for name, column in batch.items()})
    assert close(state.params, whole(whole_state, batch)[0].params)


def test_the_moving_average_is_stored_beside_the_parameters():
    state, batch, step = parts(name="convnet", stages=((4,),), ema=0.9)
    first = step(state, batch)[0]
    # At the first update the decay is (1 + 0) / (10 + 0).
    old, new = ({"params": one.params, **one.stats} for one in (state, first))
    assert close(first.average, jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, old, new))
    assert not close(first.average["batch_stats"], new["batch_stats"])


def run_optimizer(config, gradients, start=1.0, **options):
    optimizer = create_optimizer(config, 100, **options)
    params = {"kernel": jnp.full((1, 1), start), "bias": jnp.full(1, start)}
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(
            jax.tree.map(lambda p, g=gradient: jnp.full_like(p, g), params), state, params
        )
        params = optax.apply_updates(params, updates)
    return float(params["kernel"][0, 0]), float(params["bias"][0])


@pytest.mark.parametrize(
    ("config", "gradients", "kernel"),
    [
        (Optimizer(name="sgd", learning_rate=0.1, momentum=0), [1, 2], 1 - 0.1 - 0.2),
        (Optimizer(name="sgd", learning_rate=0.1, momentum=0.5), [1, 1], 1 - 0.1 - 0.15),
        (Optimizer(name="sgd", learning_rate=0.1, momentum=0.5, nesterov=True), [1, 1], 1 - 0.15 - 0.175),
        (Optimizer(name="adam", learning_rate=0.1), [3.0], 1 - 0.1),
        (Optimizer(name="rmsprop", learning_rate=0.1), [2.0], 1 - 0.1 / np.sqrt(0.1)),
        (Optimizer(name="sgd", learning_rate=0.1, momentum=0, clip=1.0), [30.0], 1 - 0.1 / np.sqrt(2)),
    ],
)
def test_updates_by_hand(config, gradients, kernel):
    assert run_optimizer(config, gradients)[0] == pytest.approx(kernel, rel=1e-4)


def test_weight_decay_spares_biases_and_differs_between_l2_and_decoupled():
    decoupled = Optimizer(name="adam", learning_rate=0.1, weight_decay=0.5)
    kernel, bias = run_optimizer(decoupled, [1.0])
    assert kernel == pytest.approx(1 - 0.1 * (1 + 0.5), rel=1e-4)
    assert bias == pytest.approx(1 - 0.1, rel=1e-4)
    kernel, _ = run_optimizer(
        Optimizer(name="adam", learning_rate=0.1, weight_decay=0.5, weight_decay_kind="l2"), [1.0]
    )
    assert kernel == pytest.approx(1 - 0.1, rel=1e-4)  # Adam divides the larger gradient by itself
    kernel, bias = run_optimizer(
        Optimizer(name="sgd", learning_rate=0.1, momentum=0, weight_decay=0.5, weight_decay_kind="l2"), [1.0]
    )
    assert (kernel, bias) == (pytest.approx(1 - 0.1 * 1.5), pytest.approx(1 - 0.1))


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (Optimizer(learning_rate=1.0), {0: 1, 99: 1}),
        (Optimizer(learning_rate=1.0, schedule="cosine"), {0: 1, 50: 0.5, 100: 0}),
        (Optimizer(learning_rate=1.0, schedule="step"), {49: 1, 51: 0.1, 76: 0.01}),
        (Optimizer(learning_rate=1.0, schedule="inverse_time", decay_rate=0.01), {0: 1, 100: 0.5}),
        (Optimizer(learning_rate=1.0, warmup_steps=10), {0: 0, 5: 0.5, 10: 1}),
    ],
)
def test_schedules_by_hand(config, values):
    rate = learning_rate(config, 100)
    for step, value in values.items():
        assert float(rate(step)) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0}, "learning rate must be above 0, found 0"),
        ({"learning_rate": -1.0}, "found -1.0; set --optimizer.learning-rate"),
        ({"learning_rate": float("nan")}, "must be above 0, found nan"),
        ({"momentum": 1.0}, "momentum must lie in 0..1"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
        ({"clip": 0.0}, "clip must be above 0"),
        ({"name": "adamw", "weight_decay_kind": "l2"}, "set --optimizer.name adam"),
    ],
)
def test_numbers_out_of_range_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        Optimizer(**wrong)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_down_a_parabola_by_every_schedule(name, schedule):
    optimizer = create_optimizer(Optimizer(name=name, schedule=schedule, learning_rate=0.01), 10)
    update = optimizer.update({"x": jnp.array(2.0)}, optimizer.init({"x": jnp.array(1.0)}), {"x": jnp.array(1.0)})
    assert -0.1 < update[0]["x"] < 0


def test_a_method_and_a_schedule_of_ones_own_are_a_line_in_their_tables(monkeypatch):
    monkeypatch.setitem(METHODS, "sign", lambda config: optax.scale_by_sign())
    monkeypatch.setitem(SCHEDULES, "root", lambda config, steps: lambda t: config.learning_rate / jnp.sqrt(t + 1))
    optimizer = create_optimizer(Optimizer(name="sign", schedule="root", learning_rate=0.5), 10)
    state = optimizer.init(jnp.array(1.0))
    for expected in (-0.5, -0.5 / np.sqrt(2)):
        update, state = optimizer.update(jnp.array(3.0), state, jnp.array(1.0))
        assert update.item() == pytest.approx(expected)
