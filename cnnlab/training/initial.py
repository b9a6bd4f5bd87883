"""The network of a run as it was before the first step."""

from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnnlab import nn as cnn
from cnnlab.runtime.compile import jit
from cnnlab.tasks import Task
from cnnlab.trained import Trained
from cnnlab.training.experiment import Experiment
from cnnlab.training.loop import init_key
from cnnlab.training.restore import load, load_config


def load_initial(path: str | Path, *, network: nn.Module | None = None, task: Task | None = None) -> Trained:
    """Loads a run's network with its initial parameters, which are drawn again from the run's seed.

    Args:
      path: run directory.
      network: Linen module, if the run was trained with one of your own.
      task: task, if the run was trained with one of your own.

    Raises:
      ValueError: the path is no run directory, or the run began from other weights, which the seed does not give.
    """
    config = load_config(path)
    if config.get("init_from") is not None:
        raise ValueError(f"{path} began from {config['init_from']}, so its seed does not give its initial parameters")
    trained = load(path, network=network, task=task)
    images = jnp.zeros((1, *trained.spec.shape), jnp.float32)
    key = init_key(jax.random.key(Experiment.from_json(config["experiment"]).seed))
    return trained.replace(variables=jit(lambda images, key: cnn.init(trained.network, images, key))(images, key))
