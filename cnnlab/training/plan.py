"""The plan of a run: an experiment with its data loaded, every `auto` resolved, and all checks done before training."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab import nn as cnn
from cnnlab.data import SOURCES, Dataset, kind_of, load_data, print_kind, steps_per_epoch
from cnnlab.data.augment import check_augmentation, check_columns
from cnnlab.data.duplicates import warn_duplicates
from cnnlab.errors import check_known, unknown
from cnnlab.files.addresses import check_lasting
from cnnlab.metrics.names import larger_is_better
from cnnlab.models import MODELS, create_model
from cnnlab.nn.frozen import check_trainable
from cnnlab.tasks import TASKS, Task, check_logits, create_task
from cnnlab.tasks.task import complete, require_columns, task_name
from cnnlab.training.automatic import choose, suited_task
from cnnlab.training.experiment import AUTO, TABLES, Choice, Experiment, Training, check_choice, with_defaults
from cnnlab.training.hooks import Hooks, check_hooks, make_hooks
from cnnlab.training.optimizer import METHODS, complete_optimizer, create_optimizer
from cnnlab.training.orthogonal import orthogonal_penalty
from cnnlab.training.step import Penalty


@dataclasses.dataclass(frozen=True)
class Plan:
    """The objects that stay the same during a run: experiment, dataset, network, task and monitored metric.

    Attributes:
      experiment: experiment; the caller's own data, network and task replace its choices by their names.
      dataset: dataset with a `validation` split.
      network: network with the number of outputs that the task needs.
      task: task with every `auto` resolved.
      monitor: validation metric that chooses the best step.
      maximise: whether larger values of this metric are better.
      hooks: functions of the caller's own.
      penalty: function of the parameters that is added to the loss, or None.
    """

    experiment: Experiment
    dataset: Dataset
    network: nn.Module
    task: Task
    monitor: str
    maximise: bool
    hooks: Hooks = Hooks()
    penalty: Penalty | None = None

    @property
    def training(self) -> Training:
        """The settings of the training loop."""
        return self.experiment.training

    @property
    def steps(self) -> int:
        """The number of steps in an epoch."""
        return steps_per_epoch(self.dataset["train"], self.training.batch_size)

    @property
    def batches(self) -> dict[str, int]:
        """The options of `epoch_order` that decide how the batches of every epoch are formed."""
        return {
            "batch_size": self.training.batch_size,
            "images_per_class": complete(self.task).images_per_class,
            "group_by": complete(self.task).group_by,
        }

    @property
    def key(self) -> jax.Array:
        """The random key of the run, from which all other keys are derived."""
        return jax.random.key(self.experiment.seed)

    def optimizer(self) -> optax.GradientTransformation:
        """Creates the optax chain with a schedule over all epochs, or completes the caller's own."""
        settings = self.training
        if self.hooks.optimizer is not None:
            trainable = self.experiment.optimizer.trainable
            return complete_optimizer(self.hooks.optimizer, trainable, accumulate=settings.accumulate)
        updates = max(1, settings.epochs * self.steps // settings.accumulate)
        return create_optimizer(self.experiment.optimizer, updates, accumulate=settings.accumulate)


def make_plan(
    experiment: Experiment,
    *,
    data: Dataset | None = None,
    network: nn.Module | None = None,
    task: Task | None = None,
    optimizer: optax.GradientTransformation | str | None = None,
    **own: Any,
) -> Plan:
    """Makes the plan of an experiment: loads the data, builds network and task, and checks that they fit.

    Args:
      experiment: settings of the run.
      data: dataset in place of the experiment's.
      network: network in place of the experiment's.
      task: task in place of the experiment's.
      optimizer: optax transformation, or the name of an optimizer, in place of the experiment's.
      **own: `loss`, `augment`, `metrics` and `callbacks`, as in `train`.

    Raises:
      ValueError: a name is unknown, or data, network, task and batch size do not fit each other.
    """
    if isinstance(optimizer, str):
        check_known("optimizer", optimizer, METHODS)
        settings = dataclasses.replace(experiment.optimizer, name=optimizer)
        experiment, optimizer = dataclasses.replace(experiment, optimizer=settings), None
    hooks = make_hooks(optimizer=optimizer, **own)
    _check_linen(network)
    if data is None and experiment.data.name == AUTO:
        experiment = dataclasses.replace(experiment, data=_source(experiment))
    own = {
        "data": data and data.name,
        "model": network and type(network).__name__,
        "task": task and type(task).__name__,
    }
    parts = {p: Choice(own[p]) if own[p] else with_defaults(getattr(experiment, p), TABLES[p]) for p in TABLES}
    experiment = dataclasses.replace(experiment, **parts)
    dataset = data if data is not None else load_experiment_data(experiment)
    dataset["train"], dataset["validation"]  # raises an error that names a missing split
    if task is None and experiment.task.name == AUTO:
        experiment = dataclasses.replace(experiment, task=with_defaults(suited_task(dataset), TASKS))
    if network is None and experiment.model.name == AUTO:
        experiment, dataset = _with_network(experiment, dataset)
    experiment = _with_fitting_batches(experiment, len(dataset["train"]))
    warn_duplicates(dataset)
    steps_per_epoch(dataset["train"], experiment.training.batch_size)
    task = build_task(experiment, dataset, task)
    _check_groups(experiment.training.batch_size, complete(task).images_per_class, complete(task).group_by)
    if network is None:
        network = build_network(experiment, task.head(dataset.spec))
    network = in_precision(network, experiment.training.precision)
    variables, logits = check_fit(network, task, dataset)
    check_trainable(variables["params"], experiment.optimizer.trainable)
    settings = experiment.training
    orthogonal = {"weight": settings.orthogonality, "layers": settings.orthogonal_layers}
    penalty = orthogonal_penalty(network, variables, dataset.spec.shape, **orthogonal)
    example = dataset["train"][np.arange(1)]
    check_augmentation(dataset.spec, settings.augmentation)
    check_columns(example, settings.augmentation)
    check_hooks(hooks, task, example, logits)
    return Plan(experiment, dataset, network, task, *_monitor(settings, task), hooks, penalty)


def _check_linen(network: Any) -> None:
    """Raises `ValueError` if a network of the caller's own is no Linen module."""
    if network is None or isinstance(network, nn.Module):
        return
    if isinstance(network, type) and issubclass(network, nn.Module):
        raise ValueError(f"network must be a module, found the class {network.__name__}; pass {network.__name__}(...)")
    kind = network if isinstance(network, type) else type(network)
    if any(base.__module__.startswith("flax.nnx") for base in kind.__mro__):
        raise ValueError(
            f"network must be a Flax Linen module, found {kind.__name__} of Flax NNX; bridge it with "
            f"flax.nnx.bridge.to_linen({kind.__name__}, ...), with the arguments of its class, rngs left out"
        )
    raise ValueError(f"network must be a Flax Linen module, found {kind.__name__}")


def _with_network(experiment: Experiment, dataset: Dataset) -> tuple[Experiment, Dataset]:
    """Returns the experiment with the network and the augmentation that its images get, and the data with a remark."""
    training = experiment.training
    model, augmentation, remark = choose(experiment.model, training.augmentation, dataset, experiment.task.name)
    training = dataclasses.replace(training, augmentation=augmentation)
    experiment = dataclasses.replace(experiment, model=with_defaults(model, MODELS), training=training)
    return experiment, dataclasses.replace(dataset, remarks=(*dataset.remarks, *filter(None, [remark])))


def _with_fitting_batches(experiment: Experiment, examples: int) -> Experiment:
    """Returns the experiment with batches of at most all examples, and warns if they are smaller than requested."""
    size = experiment.training.batch_size
    if size <= examples:
        return experiment
    warnings.warn(
        f"batches of {size} are larger than the {examples} training examples, so each batch holds all {examples} "
        f"(--training.batch-size {examples})",
        stacklevel=3,
    )
    return dataclasses.replace(experiment, training=dataclasses.replace(experiment.training, batch_size=examples))


def _check_groups(batch_size: int, images_per_class: int, group_by: str) -> None:
    """Raises `ValueError` if a batch has no room for two groups of images of one class, or divides a pair."""
    if images_per_class == 1:
        return
    if group_by != "label":
        if batch_size % images_per_class:
            raise ValueError(
                f"batches of {batch_size} images would divide a {group_by} of {images_per_class}; set "
                f"--training.batch-size {max(1, batch_size // images_per_class) * images_per_class}"
            )
    elif batch_size < 2 * images_per_class:
        raise ValueError(
            f"a batch of {batch_size} images cannot hold {images_per_class} of each of two classes; set "
            f"--training.batch-size {2 * images_per_class} or more, or a smaller --task.images-per-class"
        )


def _monitor(training: Training, task: Task) -> tuple[str, bool]:
    """Returns the metric that chooses the best step, and whether larger values are better."""
    task = complete(task)
    name = task.monitor if training.monitor == "auto" else training.monitor
    if training.maximise is not None:
        return name, training.maximise
    if name == task.monitor:
        return name, bool(task.maximise)
    larger = larger_is_better(name)
    if larger is None:
        raise ValueError(
            f"is more of the monitored metric {name!r} better, or less? Set --training.maximise True or False"
        )
    return name, larger


def _source(experiment: Experiment) -> Choice:
    """Returns the choice of the source that reads the folder of `Choice("auto", path=...)`, and prints the reason."""
    options, task = experiment.data.options, experiment.task.name
    if not isinstance(options.get("path"), str):
        raise ValueError(f"Choice({AUTO!r}) needs the option path, the folder of the data, found {options}")
    kind = kind_of(options["path"], None if task == AUTO else task)
    print_kind(options["path"], kind)
    return Choice(kind.source, **options)


def load_experiment_data(experiment: Experiment) -> Dataset:
    """Loads the dataset of an experiment."""
    if experiment.data.name not in SOURCES:
        raise unknown(
            "data", experiment.data.name, SOURCES, "Data of your own: pass data=..., to train as to evaluate."
        )
    choice = check_choice(experiment.data, SOURCES, "data")
    for name, place in choice.options.items():
        check_lasting(place, f"data.{name}")
    return load_data(choice.name, **choice.options)


def build_task(experiment: Experiment, dataset: Dataset, task: Task | None = None) -> Task:
    """Builds the task and resolves every `auto` from the data.

    Raises:
      ValueError: the task is unknown or does not fit the data.
    """
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
    """Builds the network with this number of outputs, in the experiment's precision."""
    if experiment.model.name not in MODELS:
        hint = "A network of your own: pass network=..., to train as to load."
        raise unknown("model", experiment.model.name, MODELS, hint)
    choice = check_choice(experiment.model, MODELS, "model")
    network = create_model(choice.name, num_classes=outputs, **choice.options)
    return in_precision(network, experiment.training.precision)


def in_precision(network: nn.Module, precision: Literal["float32", "bfloat16"]) -> nn.Module:
    """Returns the network with computations in this precision; its parameters stay float32."""
    if precision == "float32":
        return network
    if not hasattr(network, "dtype"):
        raise ValueError(
            f"{type(network).__name__} has no field dtype, so --training.precision {precision} cannot apply"
        )
    return network.clone(dtype=jnp.bfloat16)


def check_fit(network: nn.Module, task: Task, dataset: Dataset) -> tuple[dict, tuple[int, ...]]:
    """Checks that network, images and task fit, and returns the shapes of the variables and of the logits `[2, ...]`.

    Raises:
      ValueError: the network does not accept the images, or its outputs do not fit the task.
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
    for remark in complete(task).remarks(dataset, logits.shape):
        warnings.warn(remark, stacklevel=2)
    return variables, logits.shape
