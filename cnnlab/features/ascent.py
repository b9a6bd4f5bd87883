"""The ascent by which images come to excite units: Adam on the parameters of a chunk of images, one compiled step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cnnlab.data.spec import standardise
from cnnlab.explain.taps import Layer
from cnnlab.explain.targets import Target
from cnnlab.features.image_statistics import ImageStatistics
from cnnlab.features.objectives import OBJECTIVES, values_of
from cnnlab.features.parametrisation import PARAMETRISATIONS
from cnnlab.features.transformations import Transformations, transform
from cnnlab.runtime.compile import jit
from cnnlab.trained import Trained

_TRANSFORMATIONS = 2**31 - 1  # for their key; the noise's keys are those of units


class Settings(NamedTuple):
    """The static settings of a compiled step; `sign` is -1 to minimise the activation."""

    parametrisation: str
    shape: tuple[int, int, int]
    ranges: Transformations
    total_variation: float
    l2: float
    sign: int
    learning_rate: float


class _State(NamedTuple):
    """The state that a step changes: parameters, Adam's moments, and the sum of the gradient's sizes `[B, H, W]`."""

    parameters: jax.Array
    moments: Any
    reached: jax.Array


class Program(NamedTuple):
    """The arguments of a step that stay the same for all chunks; a layer takes the place of targets."""

    trained: Trained
    targets: tuple[Target, ...]
    layer: Layer | None
    objective: str
    statistics: ImageStatistics
    settings: Settings

    def targets_of(self, units: np.ndarray) -> tuple[Target, ...]:
        """Returns the targets of the images of a chunk."""
        return self.targets if self.layer is None else (OBJECTIVES[self.objective](self.layer, jnp.asarray(units)),)


def climb(
    program: Program, units: np.ndarray, key: jax.Array, steps: int, done: Callable[[int], None]
) -> tuple[np.ndarray, ...]:
    """Optimises the images of a chunk; returns images, their values, the history `[steps, B]`, and `_State.reached`."""
    targets, fixed = program.targets_of(units), (program.statistics, program.settings)
    state, history = _start(key, units, program.settings), []
    key = jax.random.fold_in(key, _TRANSFORMATIONS)
    for step in range(steps):
        state, value = _step(state, program.trained, targets, jax.random.fold_in(key, step), *fixed)
        history.append(value)
        if step:
            jax.block_until_ready(history[-2])  # or the progress would run ahead of the device
        done(step + 1)
    images, values = _finish(state.parameters, program.trained, targets, *fixed)
    return jax.device_get((images, values, jnp.stack(history), state.reached))


@jit(static_argnames="settings")
def _start(key: jax.Array, units: jax.Array, settings: Settings) -> _State:
    draw = PARAMETRISATIONS[settings.parametrisation].draw
    parameters = jax.vmap(lambda unit: draw(jax.random.fold_in(key, unit), settings.shape))(units)
    return _State(
        parameters, optax.adam(settings.learning_rate).init(parameters), jnp.zeros((len(units), *settings.shape[:2]))
    )


@jit(static_argnames="settings", donate_argnames="state")
def _step(
    state: _State,
    trained: Trained,
    targets: tuple[Target, ...],
    key: jax.Array,
    statistics: ImageStatistics,
    settings: Settings,
) -> tuple[_State, jax.Array]:
    """Takes a step of Adam for all images of a chunk, which do not influence each other."""

    def loss(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = standardise(images, trained.spec)
        value = values_of(trained, targets, transform(x, key, settings.ranges))
        penalty = settings.total_variation * total_variation_of(images) + settings.l2 * (x**2).mean((1, 2, 3))
        return (penalty - settings.sign * value).sum(), value

    images, pull = jax.vjp(lambda p: _images(p, statistics, settings), state.parameters)
    gradient, value = jax.grad(loss, has_aux=True)(images)
    updates, moments = optax.adam(settings.learning_rate).update(pull(gradient)[0], state.moments)
    reached = state.reached + jnp.abs(gradient).mean(-1)
    return _State(optax.apply_updates(state.parameters, updates), moments, reached), value


@jit(static_argnames="settings")
def _finish(
    parameters: jax.Array,
    trained: Trained,
    targets: tuple[Target, ...],
    statistics: ImageStatistics,
    settings: Settings,
) -> tuple[jax.Array, jax.Array]:
    images = _images(parameters, statistics, settings)
    return images, values_of(trained, targets, standardise(images, trained.spec))


def _images(parameters: jax.Array, statistics: ImageStatistics, settings: Settings) -> jax.Array:
    return PARAMETRISATIONS[settings.parametrisation].images(parameters, statistics, settings.shape)


def total_variation_of(images: jax.Array) -> jax.Array:
    """Computes the mean absolute difference of neighbouring pixels, along rows plus along columns, `[B]`.

    >>> total_variation_of(jnp.array([[[[0.0], [1.0]], [[0.0], [1.0]]]])).tolist()
    [1.0]
    """
    pairs = [jnp.abs(jnp.diff(images, axis=axis)) for axis in (1, 2) if images.shape[axis] > 1]
    return sum((pair.mean((1, 2, 3)) for pair in pairs), jnp.zeros(len(images)))
