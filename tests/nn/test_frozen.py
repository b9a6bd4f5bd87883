"""Tests that training changes the trainable layers alone and leaves a frozen trunk unchanged."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnlab
from cnnlab import models, tasks
from cnnlab.training import Optimizer, create_optimizer, create_state, train_step

ONLY = ("dense", "stage3_norm1")


@pytest.fixture
def stepped():
    network = models.create_model("convnet", num_classes=3, stages=((4,), (4,), (4,)))
    rng = np.random.default_rng(0)
    batch = {"image": rng.random((6, 16, 16, 1), np.float32), "label": rng.integers(0, 3, 6)}
    optimizer = create_optimizer(Optimizer("adamw", learning_rate=0.1, weight_decay=0.1, trainable=ONLY), 10)
    state = create_state(network, optimizer, batch["image"], jax.random.key(0))
    parts = {"network": network, "task": tasks.Classification(), "optimizer": optimizer, "key": jax.random.key(1)}
    new, _ = jax.jit(lambda s, b: train_step(s, b, **parts, trainable=ONLY))(state, batch)
    return state, new


def changed(old, new):
    moved = jax.tree_util.tree_map_with_path(lambda path, a, b: (path[0].key, bool(jnp.any(a != b))), old, new)
    return {name for name, differs in jax.tree.leaves(moved, is_leaf=lambda x: isinstance(x, tuple)) if differs}


def test_only_the_layers_named_change(stepped):
    old, new = stepped
    assert changed(old.params, new.params) == set(ONLY)


def test_only_their_batch_statistics_change(stepped):
    old, new = stepped
    assert changed(old.stats["batch_stats"], new.stats["batch_stats"]) == {"stage3_norm1"}


def test_a_layer_that_does_not_exist_is_named_with_the_nearest(tmp_path):
    experiment = cnnlab.Experiment(optimizer=Optimizer(trainable=("dens3",)))
    with pytest.raises(ValueError, match="unknown trainable layer 'dens3'; did you mean 'dense3'"):
        cnnlab.train(experiment, tmp_path)


def test_fine_tuning_a_head_leaves_the_trunk_of_the_run_it_came_from(tmp_path, small, run):
    optimizer = dataclasses.replace(small.optimizer, trainable=("dense3",))
    tuned = cnnlab.train(dataclasses.replace(small, optimizer=optimizer), tmp_path, init_from=run, quiet=True)
    assert changed(cnnlab.load(run).variables["params"], tuned.variables["params"]) == {"dense3"}
