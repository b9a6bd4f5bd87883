"""An experiment plan concrete: the data loaded, everything `auto` resolved, everything checked before training."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab import nn as cnn
from cnnlab.data import SOURCES, Dataset, load_data, steps_per_epoch
from cnnlab.data.augment import check_columns
from cnnlab.errors import unknown
from cnnlab.metrics import LARGER_IS_BETTER
from cnnlab.models import MODELS, create_model
from cnnlab.nn.frozen import check_trainable
from cnnlab.tasks import TASKS, Task, check_logits, create_task
from cnnlab.tasks.task import complete, require_columns, task_name
from cnnlab.training.experiment import TABLES, Choice, Experiment, Training, check_choice, with_defaults
from cnnlab.training.optimizer import create_optimizer


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that a run keeps from its first step to its last.

    Attributes:
      experiment: with the names of what the caller gave in place of its choices.
      dataset: with a `validation` split.
      network: with the outputs that the task needs.
      task: resolved.
      monitor: the validation metric that chooses the best step.
      maximise: whether more of it is better.
    """

    experiment: Experiment
    dataset: Dataset
    network: nn.Module
    task: Task
    monitor: str
    maximise: bool

    @property
    def training(self) -> Training:
        """How long and in what portions."""
        return self.experiment.training

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return steps_per_epoch(self.dataset["train"], self.training.batch_size)

    @property
    def key(self) -> jax.Array:
        """The run's key; everything random is derived from it."""
        return jax.random.key(self.experiment.seed)

    def optimizer(self) -> optax.GradientTransformation:
        """The optax chain, its schedule spanning all epochs."""
        settings = self.training
        updates = max(1, settings.epochs * self.steps // settings.accumulate)
        return create_optimizer(self.experiment.optimizer, updates, accumulate=settings.accumulate)


def make_plan(
    experiment: Experiment,
    *,
    data: Dataset | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
) -> Plan:
    """What the experiment says, with what the caller gives in its place.

    Raises:
      ValueError: a name is unknown, or data, network, task and batch size do not fit each other.
    """
    own = {
        "data": data and data.name,
        "model": network and type(network).__name__,
        "task": task and type(task).__name__,
    }
    parts = {p: Choice(own[p]) if own[p] else with_defaults(getattr(experiment, p), TABLES[p]) for p in TABLES}
    experiment = dataclasses.replace(experiment, **parts)
    dataset = data if data is not None else load_experiment_data(experiment)
    dataset["train"], dataset["validation"]  # both are needed; a missing one is named
    steps_per_epoch(dataset["train"], experiment.training.batch_size)
    task = build_task(experiment, dataset, task)
    if network is None:
        network = build_network(experiment, task.head(dataset.spec))
    network = in_precision(network, experiment.training.precision)
    check_trainable(check_fit(network, task, dataset)["params"], experiment.optimizer.trainable)
    check_columns(dataset["train"][np.arange(1)], experiment.training.augmentation)
    return Plan(experiment, dataset, network, task, *_monitor(experiment.training, task))


def _monitor(training: Training, task: Task) -> tuple[str, bool]:
    """The metric that chooses the best step, and whether more of it is better."""
    told = complete(task)
    name = told.monitor if training.monitor == "auto" else training.monitor
    if training.maximise is not None:
        return name, training.maximise
    if name == told.monitor:
        return name, bool(told.maximise)
    if name not in LARGER_IS_BETTER:
        raise ValueError(
            f"is more of the monitored metric {name!r} better, or less? Set --training.maximise True or False"
        )
    return name, LARGER_IS_BETTER[name]


def load_experiment_data(experiment: Experiment) -> Dataset:
    """The dataset that the experiment names."""
    if experiment.data.name not in SOURCES:
        raise unknown(
            "data", experiment.data.name, SOURCES, "Data of your own: pass data=..., to train as to evaluate."
        )
    choice = check_choice(experiment.data, SOURCES, "data")
    return load_data(choice.name, **choice.options)


def build_task(experiment: Experiment, dataset: Dataset, task: Task | None = None) -> Task:
    """The task, resolved against the data: everything `auto` filled in, misfits raised."""
    if task is None:
        if experiment.task.name not in TASKS:
            raise unknown(
                "task", experiment.task.name, TASKS, "A task of your own: pass task=..., to train as to load."
            )
        choice = check_choice(experiment.task, TASKS, "task")
        task = create_task(choice.name, **choice.options)
    require_columns(dataset, complete(task).columns, task_name(task))
    return complete(task).resolve(dataset)


def build_network(experiment: Experiment, outputs: int) -> nn.Module:
    """The network with that many outputs, in the experiment's precision."""
    if experiment.model.name not in MODELS:
        hint = "A network of your own: pass network=..., to train as to load."
        raise unknown("model", experiment.model.name, MODELS, hint)
    choice = check_choice(experiment.model, MODELS, "model")
    network = create_model(choice.name, num_classes=outputs, **choice.options)
    return in_precision(network, experiment.training.precision)


def in_precision(network: nn.Module, precision: Literal["float32", "bfloat16"]) -> nn.Module:
    """The network, computing in that precision; its parameters stay float32."""
    if precision == "float32":
        return network
    if not hasattr(network, "dtype"):
        raise ValueError(
            f"{type(network).__name__} has no field dtype, so --training.precision {precision} cannot apply"
        )
    return network.clone(dtype=jnp.bfloat16)


def check_fit(network: nn.Module, task: Task, dataset: Dataset) -> dict:
    """The shapes of the network's variables.

    Raises:
      ValueError: the network cannot take the data's images, or its outputs are not the task's.
    """
    images = jax.ShapeDtypeStruct((2, *dataset.spec.shape), jnp.float32)
    name = type(network).__name__
    try:
        variables = jax.eval_shape(lambda x: cnn.init(network, x, jax.random.key(0)), images)
        logits = jax.eval_shape(lambda v, x: cnn.apply(network, v, x), variables, images)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        height, width, channels = dataset.spec.shape
        raise ValueError(
            f"{name} cannot take the {height}x{width}x{channels} images of {dataset.name}: {error}"
        ) from error
    check_logits(task, logits.shape, dataset.spec, name)
    for told in complete(task).remarks(dataset, logits.shape):
        warnings.warn(told, stacklevel=2)
    return variables
