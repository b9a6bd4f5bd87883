"""Optimizers and schedules by name, as optax chains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import optax

from cnnlab.files.strict_json import check
from cnnlab.nn.frozen import trained_mask


def _sgd(config: Optimizer) -> optax.GradientTransformation:
    return optax.trace(config.momentum, config.nesterov) if config.momentum else optax.identity()


def _adam(config: Optimizer) -> optax.GradientTransformation:
    return optax.scale_by_adam(b1=config.momentum, nesterov=config.nesterov)


METHODS: dict[str, Callable[[Optimizer], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "rmsprop": lambda config: optax.scale_by_rms(decay=0.9),
    "adam": _adam,
    "adamw": _adam,
}
"""Optimization methods by name; the learning rate and decoupled weight decay are applied afterwards."""


def _steps(config: Optimizer, steps: int) -> optax.Schedule:
    milestones = {max(1, round(share * steps)): config.factor for share in config.milestones}
    return optax.piecewise_constant_schedule(config.learning_rate, milestones)


SCHEDULES: dict[str, Callable[[Optimizer, int], optax.Schedule]] = {
    "constant": lambda config, steps: optax.constant_schedule(config.learning_rate),
    "cosine": lambda config, steps: optax.cosine_decay_schedule(config.learning_rate, steps),
    "step": _steps,
    "inverse_time": lambda config, steps: lambda t: config.learning_rate / (1 + config.decay_rate * t),
}
"""Learning-rate schedules by name, as functions of the config and the number of steps after the warm-up."""


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of the optimizer: method, learning-rate schedule, weight decay, clipping and trainable layers.

    Attributes:
      name: `sgd` with momentum, `rmsprop` (Hinton 2012), `adam` (Kingma and Ba 2015), `adamw` (Loshchilov and Hutter
        2019: adam with decoupled weight decay).
      learning_rate: highest learning rate of the schedule, above 0.
      momentum: momentum of sgd; first decay rate of Adam.
      nesterov: whether to use Nesterov momentum (sgd, adam).
      schedule: `constant`; `cosine` falls to 0; `step` multiplies by `factor` at each milestone; `inverse_time` is
        `learning_rate / (1 + decay_rate t)` at step t.
      warmup_steps: number of first steps during which the rate rises linearly from 0.
      milestones: milestones of `step`, as shares of all steps.
      factor: factor of `step`.
      decay_rate: decay rate of `inverse_time` in a step.
      weight_decay: weight decay, which spares biases and norms; `auto` is 0.01 for adamw and 0 otherwise.
      weight_decay_kind: `decoupled` from the gradient's scaling, or `l2`, which is added to the gradient.
      clip: largest global norm of the gradient; by default gradients are not clipped.
      trainable: names or paths of the layers to train; by default all. The other layers are frozen and their batch
        norms use the running averages: ("head",) trains a new head on a pretrained trunk.
    """

    name: Literal[tuple(METHODS)] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    nesterov: bool = False
    schedule: Literal[tuple(SCHEDULES)] = "constant"
    warmup_steps: int = 0
    milestones: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1
    decay_rate: float = 1e-6
    weight_decay: float | Literal["auto"] = "auto"
    weight_decay_kind: Literal["decoupled", "l2"] = "decoupled"
    clip: float | None = None
    trainable: tuple[str, ...] = ()

    def __post_init__(self):
        check(self)
        if not self.learning_rate > 0:
            raise ValueError(
                f"learning rate must be above 0, found {self.learning_rate}; set --optimizer.learning-rate"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must lie in 0..1, found {self.momentum}; set --optimizer.momentum")
        for name in ("weight_decay", "warmup_steps", "decay_rate"):
            value = getattr(self, name)
            if value != "auto" and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, found {value}")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip must be above 0, found {self.clip}; leave it out for no clipping")
        if self.name == "adamw" and self.weight_decay_kind == "l2":
            raise ValueError("adamw decouples its weight decay; for l2 set --optimizer.name adam")


def learning_rate(config: Optimizer, steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the step: a linear warm-up, then the schedule.

    Args:
      config: settings of the optimizer.
      steps: number of steps of warm-up and schedule together.

    >>> rate = learning_rate(Optimizer(learning_rate=1.0, schedule="inverse_time", decay_rate=0.5), 10)
    >>> float(rate(2))
    0.5
    """
    after = SCHEDULES[config.schedule](config, max(1, steps - config.warmup_steps))
    if not config.warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def create_optimizer(config: Optimizer, steps: int, *, accumulate: int = 1) -> optax.GradientTransformation:
    """Creates the optax chain: clipping, L2 decay, method, decoupled decay, learning rate, frozen layers.

    Args:
      config: settings of the optimizer.
      steps: number of updates in the schedule.
      accumulate: number of training steps whose gradients are averaged for one update.
    """
    auto = 0.01 if config.name == "adamw" else 0.0
    weight = auto if config.weight_decay == "auto" else config.weight_decay
    decay = optax.add_decayed_weights(weight, mask=_decays) if weight else optax.identity()
    l2 = config.weight_decay_kind == "l2"
    chain = optax.chain(
        optax.clip_by_global_norm(config.clip) if config.clip else optax.identity(),
        decay if l2 else optax.identity(),
        METHODS[config.name](config),
        optax.identity() if l2 else decay,
        optax.scale_by_learning_rate(learning_rate(config, steps)),
        optax.masked(optax.set_to_zero(), _frozen(config.trainable)) if config.trainable else optax.identity(),
    )
    return _accumulated(chain, accumulate)


def complete_optimizer(
    optimizer: optax.GradientTransformation, trainable: tuple[str, ...], *, accumulate: int = 1
) -> optax.GradientTransformation:
    """Adds frozen layers and the mean over several steps to an optax transformation of the caller's own."""
    if trainable:
        optimizer = optax.chain(optimizer, optax.masked(optax.set_to_zero(), _frozen(trainable)))
    return _accumulated(optax.with_extra_args_support(optimizer), accumulate)


def _accumulated(optimizer: optax.GradientTransformation, steps: int) -> optax.GradientTransformation:
    return optax.MultiSteps(optimizer, steps).gradient_transformation() if steps > 1 else optimizer


def _frozen(trainable: tuple[str, ...]):
    """Returns a function that marks the frozen parameters."""
    return lambda params: jax.tree.map(lambda trained: not trained, trained_mask(params, trainable))


def _decays(params):
    """Marks the parameters that decay: kernels, but no biases, scales and other vectors."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
