"""Explanations by perturbation: how the target changes if parts of the image are hidden. They need no gradient.

The masks of a chunk run through the network as one batch. The memory does not depend on the number of masks.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnnlab import nn as cnn
from cnnlab.console import console, progress_bar
from cnnlab.data import normalise
from cnnlab.explain.compute import Networks, Pass, finish, prepare
from cnnlab.explain.explanation import Explanation
from cnnlab.explain.gradients import normalised_baseline
from cnnlab.runtime.compile import jit
from cnnlab.uncertainty.dropout import require_dropout, sampled_logits

_BATCH_PIXELS = 1 << 17  # pixels of the images that run through the network at a time; more do not fit a cache


def occlusion(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    baseline: Any = None,
    quiet: bool = True,
) -> Explanation:
    """Computes the occlusion map: how much the target falls if a window of the image is covered.

    A pixel's value is the mean over the windows that cover it. Windows begin at every `stride`-th pixel; those at the
    lower and right border are cut off there.

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, section 4.2.

    Args:
      trained: a network, or the members of an ensemble, whose maps are averaged.
      images: `[B, H, W, C]`, uint8 or floating point in [0, 1].
      target: what to explain, by default the network's own answer; see `cnnlab.explain.choice.choose_target`.
      layer: not used; only class activation maps read a layer.
      mc_samples: number of MC-Dropout passes over which the map is averaged; 0 for one pass without dropout.
      key: random key of the dropout masks.
      window: height and width of the window in pixels; by default a seventh of the image's sides.
      stride: distance between two windows in pixels; by default half a window.
      baseline: what covers the window: a number in [0, 1] or an image; by default the mean of the training images.
      quiet: whether to show no progress.

    Returns:
      Signed maps `[B, H, W]`; positive where the target falls.

    Raises:
      ValueError: the window is larger than the image, the stride larger than the window, or as for `saliency`.
    """
    sides = images.shape[1:3]
    window = _pair("window", window, [max(round(side / 7), 1) for side in sides])
    stride = _pair("stride", stride, [max(side // 2, 1) for side in window])
    for side, extent, step in zip(sides, window, stride, strict=True):
        if extent > side:
            raise ValueError(f"window must fit the image of {sides[0]}x{sides[1]} pixels, found {window}")
        if step > extent:
            raise ValueError(f"stride must be at most the window {window}, or pixels are never covered, found {stride}")
    starts = [range(0, math.ceil((side - w) / s) * s + 1, s) for side, w, s in zip(sides, window, stride, strict=True)]
    places = np.array([(row, column) for row in starts[0] for column in starts[1]], np.int32)
    cover = np.zeros(sides, np.float32)
    for row, column in places:
        cover[row : row + window[0], column : column + window[1]] += 1

    def finish_map(falls: jax.Array, through: jax.Array, visible: jax.Array) -> jax.Array:
        return (falls[:, None, None] - through) / cover

    options = {"layer": layer, "mc_samples": mc_samples, "key": key, "baseline": baseline, "quiet": quiet}
    return _explain_by_masks(trained, images, target, _Masks(_open_outside, places, window), finish_map, **options)


def _open_outside(place: jax.Array, shape: tuple[int, int], key: jax.Array, window: tuple[int, int]) -> jax.Array:
    """Returns the mask `[H, W]` that is 0 in the window at a place and 1 outside."""
    rows, columns = (
        (jnp.arange(side) >= start) & (jnp.arange(side) < start + extent)
        for side, start, extent in zip(shape, place, window, strict=True)
    )
    return 1 - (rows[:, None] & columns).astype(jnp.float32)


def rise(
    trained: Networks,
    images: jax.Array,
    target: Any = None,
    *,
    layer: None = None,
    mc_samples: int = 0,
    key: jax.Array | None = None,
    masks: int = 1000,
    cells: int = 7,
    visible: float = 0.5,
    baseline: Any = None,
    quiet: bool = True,
) -> Explanation:
    """Computes RISE: the mean of random masks, each weighted by the target's value for the image seen through it.

    A mask is a coarse grid of zeros and ones, resized bilinearly and shifted at random. The weights are the differences
    from the mean over the masks, so that a constant part of the target draws no pattern of its own.

    Source: Petsiuk, Das and Saenko, RISE, BMVC 2018, equation 6 and section 3.2.

    Args:
      trained: as in `occlusion`, like the other arguments that are not listed here.
      images: `[B, H, W, C]`.
      target: what to explain; the paper takes a probability, see `targets.class_probability`.
      layer: not used.
      mc_samples: number of MC-Dropout passes.
      key: random key of the masks and of the dropout masks.
      masks: number of masks.
      cells: cells of the coarse grid along each side.
      visible: probability that a cell is visible.
      baseline: what hides the invisible part.
      quiet: whether to show no progress.

    Returns:
      Signed maps `[B, H, W]`.

    Raises:
      ValueError: an argument is out of range, or as for `saliency`.
    """
    if masks < 2 or cells < 1 or not 0 < visible < 1:
        raise ValueError(
            "masks must be 2 or more, cells 1 or more and visible between 0 and 1, "
            f"found {masks}, {cells} and {visible}"
        )
    numbers = np.arange(masks, dtype=np.int32)

    def finish_map(falls: jax.Array, through: jax.Array, mask_sum: jax.Array) -> jax.Array:
        return (falls[:, None, None] / masks * mask_sum - through) / (masks * visible)

    options = {"layer": layer, "mc_samples": mc_samples, "key": key, "baseline": baseline, "quiet": quiet}
    return _explain_by_masks(
        trained, images, target, _Masks(_random_mask, numbers, (cells, visible)), finish_map, **options
    )


def _random_mask(place: jax.Array, shape: tuple[int, int], key: jax.Array, settings: tuple[int, float]) -> jax.Array:
    """Returns the mask `[H, W]` of a number: a random grid, enlarged by one cell and cut out at a random place."""
    cells, visible = settings
    key_grid, *key_shifts = jax.random.split(jax.random.fold_in(key, place), 3)
    size = [math.ceil(side / cells) for side in shape]
    grid = jax.random.bernoulli(key_grid, visible, (cells + 1, cells + 1)).astype(jnp.float32)
    large = jax.image.resize(grid, [(cells + 1) * side for side in size], "bilinear")
    shift = [jax.random.randint(k, (), 0, side) for k, side in zip(key_shifts, size, strict=True)]
    return jax.lax.dynamic_slice(large, shift, shape)


class _Masks(NamedTuple):
    """The masks of a method.

    Attributes:
      make: function of a place, the height and width of the image, a key and the settings that returns a mask `[H, W]`
        from 0 (hidden) to 1 (visible).
      places: places of all masks, `[n, ...]`.
      settings: static settings of `make`.
    """

    make: Callable[..., jax.Array]
    places: np.ndarray
    settings: tuple


def _explain_by_masks(
    trained: Networks,
    images: jax.Array,
    target: Any,
    masks: _Masks,
    finish_map: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
    *,
    layer: None,
    mc_samples: int,
    key: jax.Array | None,
    baseline: Any,
    quiet: bool,
) -> Explanation:
    """Runs the network on the image seen through each mask; `finish_map` turns the sums of `_Sums` into maps."""
    members, target, _ = prepare(trained, images, target, layer, reads_layer=False, mc_samples=mc_samples)
    key = jax.random.key(0) if key is None else key
    x, hidden = normalise(images, members[0].spec), normalised_baseline(trained, images, baseline)
    if mc_samples:
        require_dropout(members[0].network, members[0].variables, x)
    passes, number = mc_samples or len(members), len(masks.places)
    chunk = max(1, min(number, _BATCH_PIXELS // math.prod(x.shape[:3])))
    count = -(-number // chunk)
    places = np.concatenate([masks.places, np.repeat(masks.places[-1:], count * chunk - number, 0)])
    places = places.reshape(count, chunk, *places.shape[1:])
    used = (np.arange(count * chunk) < number).reshape(count, chunk)
    mean, squares, values = 0.0, 0.0, 0.0
    with progress_bar(console(quiet), texts={"label": "masks"}, total=passes * number) as update:
        for t in range(passes):
            member, pass_key = (members[0], jax.random.fold_in(key, t)) if mc_samples else (members[t], None)
            value = _value(member, x, target, pass_key)

            def add(sums, part, used, member=member, pass_key=pass_key, value=value) -> _Sums:
                options = (member, x, hidden, target, pass_key, key, part, used, value, masks.make, masks.settings)
                return _add(sums, *options)

            done = functools.partial(lambda t, i: update(completed=t * number + min((i + 1) * chunk, number)), t)
            shift = finish_map(*_add_up(add, _no_sums(x, value), places, used, done)) - mean
            mean = mean + shift / (t + 1)  # Welford's update of mean and squared deviations
            squares = squares + shift**2 * (t / (t + 1))
            values = values + value / passes
    spread = jnp.sqrt(squares / passes) if passes > 1 else None
    return finish(members[0].spec.classes, target, images, mean, spread, values)


def _add_up(add: Callable, sums: "_Sums", places: np.ndarray, used: np.ndarray, done: Callable[[int], None]) -> "_Sums":
    """Adds the sums of all chunks; `done` hears of each chunk, except in a trace, which is one loop of the device."""
    if isinstance(sums.falls, jax.core.Tracer):
        parts = (jnp.asarray(places), jnp.asarray(used))
        return jax.lax.scan(lambda sums, part: (add(sums, *part), None), sums, parts)[0]
    for i in range(len(places)):
        before, sums = sums, add(sums, places[i], used[i])
        jax.block_until_ready(before)  # or the progress would run ahead of the device
        done(i)
    return sums


class _Sums(NamedTuple):
    """Sums over masks: the target's falls `[B]`, the masks weighted by these `[B, H, W]`, and the masks `[H, W]`."""

    falls: jax.Array
    weighted: jax.Array
    masks: jax.Array


def _no_sums(x: jax.Array, value: jax.Array) -> _Sums:
    zeros = jnp.zeros(x.shape[:3])
    return _Sums(jnp.zeros_like(value), zeros, zeros[0])


@jit(static_argnames=("make", "settings"))
def _add(sums, member, x, hidden, target, pass_key, key, places, used, value, make, settings) -> _Sums:
    """Adds the sums of a chunk of masks; `used` is false for the places that only fill the last chunk."""
    masks = jax.vmap(lambda place: make(place, x.shape[1:3], key, settings))(places)
    seen = hidden + masks[:, None, ..., None] * (x - hidden)  # [n, B, H, W, C]
    one = _one_pass(member, target, pass_key)
    if pass_key is None:
        output = one.output(seen.reshape(-1, *x.shape[1:]))
        each = jax.vmap(target)(output.reshape(*seen.shape[:2], *output.shape[1:]))  # [n, B]
    else:
        each = jax.vmap(one.value)(seen)  # all masks of a pass share its dropout masks
    falls = jnp.where(used[:, None], value - each, 0)
    masks = jnp.where(used[:, None, None], masks, 0)
    chunk = _Sums(falls.sum(0), jnp.einsum("nb,nhw->bhw", falls, masks), masks.sum(0))
    return jax.tree.map(jnp.add, sums, chunk)


@jit
def _value(member, x, target, pass_key) -> jax.Array:
    return _one_pass(member, target, pass_key).value(x)


def _one_pass(member: Any, target: Any, pass_key: jax.Array | None) -> Pass:
    forward = cnn.apply if pass_key is None else functools.partial(sampled_logits, key=pass_key)
    return Pass(member, target, None, forward, pass_key)


def _pair(name: str, value: int | tuple[int, int] | None, default: list[int]) -> tuple[int, int]:
    pair = default if value is None else (value, value) if np.ndim(value) == 0 else value
    if len(pair) != 2 or any(int(side) != side or side < 1 for side in pair):
        raise ValueError(f"{name} must be a whole number of pixels, or (height, width), found {value}")
    return tuple(map(int, pair))
