import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import epochs
from flax import nnx

import cnnlab
from cnnlab.runtime.compile import jit
from cnnlab.training.hooks import name_of
from cnnlab.training.loop import fresh_state, prepare_batch, step_function
from cnnlab.training.plan import make_plan


def own_loss(logits, batch):
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch["label"])


def darken(batch, key):
    return dict(batch) | {"image": batch["image"] * jax.random.uniform(key, (len(batch["image"]), 1, 1, 1))}


def top2(rows):
    return (np.argsort(rows["probs"])[:, -2:] == rows["label"][:, None]).any(1).mean()


def first_step(plan):
    batch = plan.dataset["train"][np.arange(8)]
    state, metrics = jit(step_function(plan))(fresh_state(plan), batch, plan.key)
    return state.params, metrics


def compiled(plan):
    batch, state = plan.dataset["train"][np.arange(8)], jax.eval_shape(lambda: fresh_state(plan))
    return jit(step_function(plan)).lower(state, batch, plan.key).compile().cost_analysis()


def test_a_loss_of_ones_own_that_is_twice_the_tasks_doubles_loss_and_gradient(small):
    one, two = (first_step(make_plan(small, loss=f))[1] for f in (None, lambda z, b: 2 * own_loss(z, b)))
    assert float(two["loss"]) == pytest.approx(2 * float(one["loss"]), rel=1e-5)
    assert float(two["grad_norm"]) == pytest.approx(2 * float(one["grad_norm"]), rel=1e-5)


def test_the_step_with_the_same_loss_as_a_hook_computes_as_much_as_the_built_in_one(small):
    built_in, own = compiled(make_plan(small)), compiled(make_plan(small, loss=own_loss))
    assert own["flops"] == pytest.approx(built_in["flops"], rel=0.02)
    assert own["bytes accessed"] == pytest.approx(built_in["bytes accessed"], rel=0.02)


def test_examples_without_a_label_have_no_weight_in_a_loss_of_ones_own(small):
    plan = make_plan(small, loss=lambda logits, batch: jnp.full(len(logits), 3.0))
    batch = plan.dataset["train"][np.arange(4)] | {"label": np.array([0, -1, 1, 2], np.int32)}
    value, weight = plan.hooks.task(plan.task).loss(jnp.zeros((4, 3)), batch)
    assert value.tolist() == [3, 3, 3, 3]
    assert weight.tolist() == [1, 0, 1, 1]


def test_an_optimizer_of_ones_own_takes_the_step(small):
    plan = make_plan(small, optimizer=optax.lion(1e-2, weight_decay=0.0))
    before, (after, _) = fresh_state(plan).params, first_step(plan)
    moves = jnp.abs(after["dense1"]["bias"] - before["dense1"]["bias"])
    np.testing.assert_allclose(np.unique(moves.round(6)), [0, 0.01], rtol=1e-5)  # the sign of the gradient, or 0


def test_an_optimizer_of_ones_own_leaves_frozen_layers_alone(small):
    frozen = dataclasses.replace(small.optimizer, trainable=("dense3",))
    plan = make_plan(dataclasses.replace(small, optimizer=frozen), optimizer=optax.lion(1e-2, weight_decay=0.5))
    before, (after, _) = fresh_state(plan).params, first_step(plan)
    assert (before["conv1"]["kernel"] == after["conv1"]["kernel"]).all()
    assert (before["dense3"]["kernel"] != after["dense3"]["kernel"]).any()


def test_an_augmentation_of_ones_own_sees_floats_before_normalisation(small):
    plan, seen = make_plan(small), []

    def blacken(batch, key):
        seen.append((str(batch["image"].dtype), float(batch["image"].max()) <= 1))
        return dict(batch) | {"image": 0 * batch["image"]}

    options = {"spec": plan.dataset.spec, "augmentation": plan.training.augmentation, "own": blacken}
    prepared = prepare_batch(plan.dataset["train"][np.arange(2)], plan.key, **options)
    assert seen == [("float32", True)]
    black = (0 - plan.dataset.spec.mean[0]) / plan.dataset.spec.std[0]
    np.testing.assert_allclose(np.asarray(prepared["image"]), black, rtol=1e-5)


def test_a_run_with_hooks_keeps_its_history_stops_by_its_callback_and_goes_on(small, tmp_path):
    kept = []

    def stop_after_two(history, trained):
        kept.append(trained)
        return history["epoch"][-1] >= 2  # True of NumPy

    options = {"loss": own_loss, "augment": darken, "metrics": {"top2": top2}, "callbacks": [stop_after_two]}
    trained = cnnlab.train(epochs(small, 5), tmp_path, quiet=True, **options)
    assert trained.history["epoch"].tolist() == [1, 2]
    assert 0 <= trained.history["validation_top2"].min() <= trained.history["validation_top2"].max() <= 1
    assert np.isfinite(jax.tree.leaves(kept[0].variables)[0]).all()  # later steps did not take its memory
    again = cnnlab.train(epochs(small, 5), tmp_path, quiet=True, **options)
    assert again.history["epoch"].tolist() == [1, 2, 3]
    with pytest.warns(UserWarning, match="with the loss own_loss, here it is none of your own"):
        cnnlab.train(epochs(small, 5), tmp_path, quiet=True, **(options | {"loss": None}))


def test_a_resume_with_an_optimizer_of_other_states_is_refused(small, tmp_path):
    cnnlab.train(small, tmp_path, optimizer=optax.lion(1e-3), quiet=True)
    with pytest.raises(ValueError, match="optimizer ScaleByLionState, here it is ScaleByAdamState"):
        cnnlab.train(small, tmp_path, optimizer=optax.adam(1e-3), quiet=True)


def test_a_callback_that_raises_is_named_and_the_epoch_is_saved(small, tmp_path):
    def broken(history, trained):
        raise KeyError("disk")

    with pytest.raises(RuntimeError, match="callback broken raised KeyError after epoch 1"):
        cnnlab.train(small, tmp_path, callbacks=[broken], quiet=True)
    assert cnnlab.load(tmp_path).history["epoch"].tolist() == [1]


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"loss": lambda logits, batch: own_loss(logits, batch).mean()}, r"must return \[B\].*float32\[\]"),
        ({"loss": lambda logits, batch: logits[:, :1]}, r"must return \[B\].*float32\[7, 1\]"),
        ({"loss": lambda logits, batch: batch["nope"]}, "loss <lambda> fails"),
        ({"loss": "cross_entropy"}, "loss must be a function"),
        ({"augment": lambda batch, key: {**batch, "image": batch["image"][:, 1:]}}, "keep shape and dtype of 'image'"),
        ({"augment": lambda batch, key: {**batch, "image": batch["image"] > 0}}, "keep shape and dtype of 'image'"),
        ({"augment": lambda batch, key: batch["image"]}, "must return the batch"),
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"optimizer": 1e-3}, "optax transformation"),
        ({"callbacks": print}, r"callbacks=\[print\]"),
        ({"metrics": [top2]}, "metrics must be a dict"),
        ({"network": nnx.Linear}, "to_linen"),
        ({"network": cnnlab.models.LeNet5}, r"pass LeNet5\(\.\.\.\)"),
    ],
)
def test_a_bad_hook_is_refused_before_the_first_step(small, hooks, message):
    with pytest.raises(ValueError, match=message):
        make_plan(small, **hooks)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ({"each": lambda rows: rows["label"]}, r"must return one number.*\[32\]"),
        ({"accuracy": lambda rows: 1.0}, "choose another name"),
        ({"f1": lambda rows: rows["truth"]}, "'f1' fails on the rows label, probs"),
    ],
)
def test_a_bad_metric_is_refused_before_the_first_step(small, tmp_path, metric, message):
    with pytest.raises(ValueError, match=message):
        cnnlab.train(small, tmp_path, metrics=metric, quiet=True)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_partial_is_named_by_its_function():
    assert name_of(functools.partial(own_loss)) == "own_loss"


def test_a_bridged_nnx_network_trains_resumes_and_is_evaluated(small, tmp_path):
    class Flat(nnx.Module):
        def __init__(self, classes, *, rngs):
            self.layer = nnx.Linear(256, classes, rngs=rngs)

        def __call__(self, x):
            return self.layer(x.reshape(len(x), -1))

    network = nnx.bridge.to_linen(Flat, 3)
    cnnlab.train(small, tmp_path, network=network, quiet=True)
    with pytest.raises(ValueError, match=r"network of your own, ToLinen; pass network=ToLinen\(\.\.\.\)"):
        cnnlab.evaluate(tmp_path)
    assert 0 <= cnnlab.evaluate(tmp_path, network=network)["accuracy"] <= 1


def test_train_takes_the_name_of_a_preset_and_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'digits-lenet5'"):
        cnnlab.train("digits-lenet", "unused")
