"""What an equation does to the pixels its arrays see: one rule a primitive, the same for rows and columns."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from cnnlab.anatomy import reach
from cnnlab.anatomy.reach import Reach

_MIXING = ("sort", "fft", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "scatter", "scatter-add")
"""Primitives whose results have their operand's shape, but see more of it than what stands in their place."""


class View(NamedTuple):
    """How an array's units see one axis of the image.

    Attributes:
      axes: the array's axes that run along it, outer first; none where every unit sees the same.
      reach: of the units along them.
    """

    axes: tuple[int, ...]
    reach: Reach


def whole(size: int) -> View:
    """Every unit sees all of so many pixels."""
    return View((), reach.fixed(0, size - 1))


def follow(equation: core.JaxprEqn, views: Sequence[View | None], size: int) -> list[View]:
    """What the results see of one axis of the image.

    Args:
      equation: whose operands and results these are.
      views: one an operand; None for those that do not see the image.
      size: pixels along the axis, all of which are seen where no rule is known.
    """
    name = equation.primitive.name
    rule = _RULES.get("reduce_window" if name.startswith("reduce_window") else name)
    if rule is None and name.startswith(("reduce_", "arg")) and "axes" in equation.params:
        rule = _reduce
    shapes = [var.aval.shape for var in equation.outvars]
    seeing = [(var.aval.shape, view) for var, view in zip(equation.invars, views, strict=True) if view is not None]
    if rule is None:
        alike = all(shape == shapes[0] for shape, _ in seeing) and len(set(shapes)) == 1
        pointwise = alike and name not in _MIXING
        return [together([view for _, view in seeing], size) if pointwise else whole(size)] * len(shapes)
    found = rule(equation, views, size)
    return found if isinstance(found, list) else [found] * len(shapes)


def together(views: Sequence[View], size: int) -> View:
    """What units see that depend on those in the same place of several arrays."""
    first, *others = views
    for view in others:
        both = reach.union(first.reach, view.reach)
        if first.axes != view.axes or both is None:
            return whole(size)
        first = View(first.axes, both)
    return first


def _only(views: Sequence[View | None]) -> View:
    return next(view for view in views if view is not None)


def _convolution(equation, views, size) -> View:
    params = equation.params
    images, kernels, outputs = params["dimension_numbers"]
    view, kernel = views[0], equation.invars[1].aval.shape
    if view is None or views[1] is not None:
        return whole(size)
    if not view.axes:
        return view
    if len(view.axes) > 1 or view.axes[0] not in images[2:]:
        return whole(size)
    k = images[2:].index(view.axes[0])
    seen = reach.window(
        kernel=kernel[kernels[2 + k]],
        stride=params["window_strides"][k],
        padding=params["padding"][k][0],
        dilation=params["rhs_dilation"][k],
        spacing=params["lhs_dilation"][k],
    )
    return View((outputs[2 + k],), reach.compose(view.reach, seen))


def _reduce_window(equation, views, size) -> View:
    params, view = equation.params, _only(views)
    if len(view.axes) != 1:
        return whole(size) if view.axes else view
    (axis,) = view.axes
    seen = reach.window(
        kernel=params["window_dimensions"][axis],
        stride=params["window_strides"][axis],
        padding=params["padding"][axis][0],
        dilation=params["window_dilation"][axis],
        spacing=params["base_dilation"][axis],
    )
    return View(view.axes, reach.compose(view.reach, seen))


def _dot(equation, views, size) -> View:
    """Free axes keep what they see; those summed over are seen together."""
    contracted, batch = equation.params["dimension_numbers"]
    ranks = [len(var.aval.shape) for var in equation.invars]
    out = []
    start = len(batch[0])
    for side, view in enumerate(views):
        free = [axis for axis in range(ranks[side]) if axis not in (*contracted[side], *batch[side])]
        if view is not None:
            places = dict(zip(batch[side], range(len(batch[side])), strict=True))
            places |= {axis: start + i for i, axis in enumerate(free)}
            view = _without(view, contracted[side], equation.invars[side].aval.shape)
            out.append(View(tuple(places[axis] for axis in view.axes), view.reach))
        start += len(free)
    return together(out, size)


def _reduce(equation, views, size) -> View:
    axes, shape = equation.params["axes"], equation.invars[0].aval.shape
    view = _without(_only(views), axes, shape)
    return View(tuple(axis - sum(gone < axis for gone in axes) for axis in view.axes), view.reach)


def _without(view: View, gone: Sequence[int], shape: Sequence[int]) -> View:
    """What is seen once the units along some axes are taken together; the axes keep their numbers."""
    while view.axes and set(view.axes) & set(gone):
        *outer, inner = view.axes
        if inner not in gone or not outer:
            return View((), reach.merge(view.reach, math.prod(shape[axis] for axis in view.axes)))
        view = View(tuple(outer), reach.compose(view.reach, reach.window(kernel=shape[inner], stride=shape[inner])))
    return view


def _reshape(equation, views, size) -> View:
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return reshaped(_only(views), before, after, size) if 0 not in before else whole(size)


def reshaped(view: View, before: Sequence[int], after: Sequence[int], size: int) -> View:
    """Axes that are split go on together, as rows and columns of windows do; those merged with others repeat.

    >>> reshaped(View((1,), Reach()), (1, 8, 3), (1, 4, 2, 3), 8).axes
    (1, 2)
    >>> reshaped(View((1,), Reach()), (1, 4, 2, 3), (1, 8, 3), 4)  # each row repeated
    View(axes=(1,), reach=Reach(first=(0, 0), last=(0, 0), shift=1))
    """
    axes = tuple(axis for axis in view.axes if before[axis] > 1)
    view = View(axes, view.reach if axes else reach.fixed(*view.reach.of(0)))
    blocks = _blocks(before, after)
    while True:
        touched = [block for block in blocks if set(block[0]) & set(view.axes)]
        old = tuple(axis for axes, _ in touched for axis in axes)
        new = tuple(axis for _, axes in touched for axis in axes)
        if old == view.axes:
            return View(new, view.reach)
        if len(touched) == 1 and old[: len(view.axes)] == view.axes:
            times = math.prod(before[axis] for axis in old[len(view.axes) :])
            return View(new, reach.compose(view.reach, reach.repeat(times)))
        if len(view.axes) == 1:
            return whole(size)
        view = _without(view, view.axes[-1:], before)  # rows of a window become channels


def _blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The fewest axes that become which others; axes of one unit are left out."""
    old, new = ([axis for axis, n in enumerate(shape) if n > 1] for shape in (before, after))
    blocks = []
    while old:
        ins, outs = [old.pop(0)], [new.pop(0)]
        while (a := math.prod(before[i] for i in ins)) != (b := math.prod(after[i] for i in outs)):
            ins, outs = ([*ins, old.pop(0)], outs) if a < b else (ins, [*outs, new.pop(0)])
        blocks.append((tuple(ins), tuple(outs)))
    return blocks


def _transpose(equation, views, size) -> View:
    view, order = _only(views), equation.params["permutation"]
    return View(tuple(order.index(axis) for axis in view.axes), view.reach)


def _rev(equation, views, size) -> View:
    view, shape = _only(views), equation.invars[0].aval.shape
    turned = {axis for axis in equation.params["dimensions"] if shape[axis] > 1}
    return whole(size) if turned & set(view.axes) else view


def _broadcast(equation, views, size) -> View:
    view, places = _only(views), equation.params["broadcast_dimensions"]
    shape, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if any(shape[axis] != out[places[axis]] for axis in view.axes):
        return View((), reach.fixed(*view.reach.of(0))) if len(view.axes) == 1 else whole(size)
    return View(tuple(places[axis] for axis in view.axes), view.reach)


def _slice(equation, views, size) -> View:
    params = equation.params
    shape = equation.invars[0].aval.shape
    steps = params["strides"] or (1,) * len(shape)
    return _picked(_only(views), shape, equation.outvars[0].aval.shape, params["start_indices"], steps, size)


def _picked(view: View, before, after, starts, steps, size) -> View:
    changed = [axis for axis in view.axes if before[axis] != after[axis]]
    if not changed:
        return view
    if len(view.axes) > 1:
        return whole(size)
    (axis,) = changed
    return View(view.axes, reach.compose(view.reach, reach.window(kernel=1, stride=steps[axis], padding=-starts[axis])))


def _split(equation, views, size) -> list[View]:
    axis, view, shape = equation.params["axis"], _only(views), equation.invars[0].aval.shape
    found, start = [], 0
    for out in equation.outvars:
        starts = [start if i == axis else 0 for i in range(len(shape))]
        found.append(_picked(view, shape, out.aval.shape, starts, (1,) * len(shape), size))
        start += out.aval.shape[axis]
    return found


def _pad(equation, views, size) -> View:
    view = _only(views)
    if len(view.axes) != 1:
        return whole(size) if view.axes else view
    low, _, inside = equation.params["padding_config"][view.axes[0]]
    return View(view.axes, reach.compose(view.reach, reach.window(kernel=1, padding=low, spacing=inside + 1)))


def _concatenate(equation, views, size) -> View:
    """Along the image, as in mirrored padding, the longest part goes on on both sides."""
    axis = equation.params["dimension"]
    lengths = [var.aval.shape[axis] for var in equation.invars]
    if not any(view and axis in view.axes for view in views):
        return together([view for view, length in zip(views, lengths, strict=True) if view and length], size)
    longest = int(np.argmax(lengths))
    if views[longest] is None or views[longest].axes != (axis,):
        return whole(size)
    return View((axis,), reach.compose(views[longest].reach, reach.window(kernel=1, padding=sum(lengths[:longest]))))


def _resize(equation, views, size) -> View:
    """Read off its transpose, which is linear: the pixels from which one output's gradient is not zero."""
    view = _only(views)
    if len(view.axes) != 1:
        return whole(size) if view.axes else view
    (axis,) = view.axes
    before, after = equation.invars[0].aval, equation.outvars[0].aval
    ratio = Fraction(before.shape[axis], after.shape[axis])
    if ratio == 1:
        return view
    period, shift = ratio.denominator, ratio.numerator
    if period > 64:
        return whole(size)
    program = core.jaxpr_as_fun(equation.params["jaxpr"])
    others = [var.val for var in equation.invars[1:]]  # literals, or it would not be read as a resize
    transposed = jax.jit(jax.linear_transpose(lambda x: program(x, *others)[0], before))
    middle = after.shape[axis] // 2 // period * period
    first, last = [], []
    for phase in range(period):
        units = tuple(middle + phase if i == axis else n // 2 for i, n in enumerate(after.shape))
        (gradient,) = transposed(jnp.zeros(after.shape, after.dtype).at[units].set(1))
        seen = np.flatnonzero(np.asarray(gradient).any(tuple(i for i in range(gradient.ndim) if i != axis)))
        cycles = middle // period * shift
        first.append(int(seen[0]) - cycles)
        last.append(int(seen[-1]) - cycles)
    return View(view.axes, reach.compose(view.reach, Reach(tuple(first), tuple(last), shift)))


_RULES = {
    "conv_general_dilated": _convolution,
    "reduce_window": _reduce_window,
    "dot_general": _dot,
    "reshape": _reshape,
    "squeeze": _reshape,
    "transpose": _transpose,
    "rev": _rev,
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "concatenate": _concatenate,
    "jit": _resize,
}
