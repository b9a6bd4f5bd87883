"""Rules for the receptive fields of an equation's results, one per primitive, for rows and columns alike."""

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
"""Primitives whose results have the shape of their operand, but do not depend on it element by element."""


class ReceptiveField(NamedTuple):
    """The receptive field of an array's units along one axis of the image.

    Attributes:
      axes: the array's axes that run along the image's axis, outer first; empty if every unit sees the same pixels.
      reach: reach of the units along these axes.
    """

    axes: tuple[int, ...]
    reach: Reach


def whole(size: int) -> ReceptiveField:
    """Returns the receptive field of units that see all pixels along an axis."""
    return ReceptiveField((), reach.fixed(0, size - 1))


def follow(equation: core.JaxprEqn, fields: Sequence[ReceptiveField | None], size: int) -> list[ReceptiveField]:
    """Returns the receptive fields of an equation's results along one axis of the image.

    Args:
      equation: equation of the traced network.
      fields: receptive field of each operand; None for an operand that does not depend on the image.
      size: number of pixels along the axis; without a rule for the primitive, the results see all of them.
    """
    name = equation.primitive.name
    rule = _RULES.get("reduce_window" if name.startswith("reduce_window") else name)
    if rule is None and name.startswith(("reduce_", "arg")) and "axes" in equation.params:
        rule = _reduce
    shapes = [var.aval.shape for var in equation.outvars]
    seeing = [(var.aval.shape, field) for var, field in zip(equation.invars, fields, strict=True) if field is not None]
    if rule is None:
        alike = all(shape == shapes[0] for shape, _ in seeing) and len(set(shapes)) == 1
        pointwise = alike and name not in _MIXING
        return [together([field for _, field in seeing], size) if pointwise else whole(size)] * len(shapes)
    results = rule(equation, fields, size)
    return results if isinstance(results, list) else [results] * len(shapes)


def together(fields: Sequence[ReceptiveField], size: int) -> ReceptiveField:
    """Returns the receptive field of units that depend on several arrays at the same index."""
    first, *others = fields
    for field in others:
        both = reach.union(first.reach, field.reach)
        if first.axes != field.axes or both is None:
            return whole(size)
        first = ReceptiveField(first.axes, both)
    return first


def _only(fields: Sequence[ReceptiveField | None]) -> ReceptiveField:
    return next(field for field in fields if field is not None)


def _convolution(equation, fields, size) -> ReceptiveField:
    params = equation.params
    images, kernels, outputs = params["dimension_numbers"]
    field, kernel = fields[0], equation.invars[1].aval.shape
    if field is None or fields[1] is not None:
        return whole(size)
    if not field.axes:
        return field
    if len(field.axes) > 1 or field.axes[0] not in images[2:]:
        return whole(size)
    k = images[2:].index(field.axes[0])
    window = reach.window(
        kernel=kernel[kernels[2 + k]],
        stride=params["window_strides"][k],
        padding=params["padding"][k][0],
        dilation=params["rhs_dilation"][k],
        spacing=params["lhs_dilation"][k],
    )
    return ReceptiveField((outputs[2 + k],), reach.compose(field.reach, window))


def _reduce_window(equation, fields, size) -> ReceptiveField:
    params, field = equation.params, _only(fields)
    if len(field.axes) != 1:
        return whole(size) if field.axes else field
    (axis,) = field.axes
    window = reach.window(
        kernel=params["window_dimensions"][axis],
        stride=params["window_strides"][axis],
        padding=params["padding"][axis][0],
        dilation=params["window_dilation"][axis],
        spacing=params["base_dilation"][axis],
    )
    return ReceptiveField(field.axes, reach.compose(field.reach, window))


def _dot(equation, fields, size) -> ReceptiveField:
    """Returns the receptive field of a product: free axes keep their reach, summed axes are merged."""
    contracted, batch = equation.params["dimension_numbers"]
    ranks = [len(var.aval.shape) for var in equation.invars]
    out = []
    start = len(batch[0])
    for side, field in enumerate(fields):
        free = [axis for axis in range(ranks[side]) if axis not in (*contracted[side], *batch[side])]
        if field is not None:
            places = dict(zip(batch[side], range(len(batch[side])), strict=True))
            places |= {axis: start + i for i, axis in enumerate(free)}
            field = _without(field, contracted[side], equation.invars[side].aval.shape)
            out.append(ReceptiveField(tuple(places[axis] for axis in field.axes), field.reach))
        start += len(free)
    return together(out, size)


def _reduce(equation, fields, size) -> ReceptiveField:
    axes, shape = equation.params["axes"], equation.invars[0].aval.shape
    field = _without(_only(fields), axes, shape)
    return ReceptiveField(tuple(axis - sum(gone < axis for gone in axes) for axis in field.axes), field.reach)


def _without(field: ReceptiveField, gone: Sequence[int], shape: Sequence[int]) -> ReceptiveField:
    """Returns the receptive field after units along some axes are reduced; the axes keep their numbers."""
    while field.axes and set(field.axes) & set(gone):
        *outer, inner = field.axes
        if inner not in gone or not outer:
            return ReceptiveField((), reach.merge(field.reach, math.prod(shape[axis] for axis in field.axes)))
        field = ReceptiveField(
            tuple(outer), reach.compose(field.reach, reach.window(kernel=shape[inner], stride=shape[inner]))
        )
    return field


def _reshape(equation, fields, size) -> ReceptiveField:
    before, after = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    return reshaped(_only(fields), before, after, size) if 0 not in before else whole(size)


def reshaped(field: ReceptiveField, before: Sequence[int], after: Sequence[int], size: int) -> ReceptiveField:
    """Returns the receptive field of an array after a reshape from shape `before` to shape `after`.

    Axes that result from a split stay together, such as the rows and the columns of windows. Units along an axis that
    is merged with an inner axis repeat.

    >>> reshaped(ReceptiveField((1,), Reach()), (1, 8, 3), (1, 4, 2, 3), 8).axes
    (1, 2)
    >>> reshaped(ReceptiveField((1,), Reach()), (1, 4, 2, 3), (1, 8, 3), 4)  # each row repeated
    ReceptiveField(axes=(1,), reach=Reach(first=(0, 0), last=(0, 0), shift=1))
    """
    axes = tuple(axis for axis in field.axes if before[axis] > 1)
    field = ReceptiveField(axes, field.reach if axes else reach.fixed(*field.reach.of(0)))
    blocks = _blocks(before, after)
    while True:
        touched = [block for block in blocks if set(block[0]) & set(field.axes)]
        old = tuple(axis for axes, _ in touched for axis in axes)
        new = tuple(axis for _, axes in touched for axis in axes)
        if old == field.axes:
            return ReceptiveField(new, field.reach)
        if len(touched) == 1 and old[: len(field.axes)] == field.axes:
            times = math.prod(before[axis] for axis in old[len(field.axes) :])
            return ReceptiveField(new, reach.compose(field.reach, reach.repeat(times)))
        if len(field.axes) == 1:
            return whole(size)
        field = _without(field, field.axes[-1:], before)  # rows of a window become channels


def _blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Returns the smallest groups of axes `(old, new)` that a reshape maps to each other, without axes of length 1."""
    old, new = ([axis for axis, n in enumerate(shape) if n > 1] for shape in (before, after))
    blocks = []
    while old:
        ins, outs = [old.pop(0)], [new.pop(0)]
        while (a := math.prod(before[i] for i in ins)) != (b := math.prod(after[i] for i in outs)):
            ins, outs = ([*ins, old.pop(0)], outs) if a < b else (ins, [*outs, new.pop(0)])
        blocks.append((tuple(ins), tuple(outs)))
    return blocks


def _transpose(equation, fields, size) -> ReceptiveField:
    field, order = _only(fields), equation.params["permutation"]
    return ReceptiveField(tuple(order.index(axis) for axis in field.axes), field.reach)


def _rev(equation, fields, size) -> ReceptiveField:
    field, shape = _only(fields), equation.invars[0].aval.shape
    turned = {axis for axis in equation.params["dimensions"] if shape[axis] > 1}
    return whole(size) if turned & set(field.axes) else field


def _broadcast(equation, fields, size) -> ReceptiveField:
    field, places = _only(fields), equation.params["broadcast_dimensions"]
    shape, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
    if any(shape[axis] != out[places[axis]] for axis in field.axes):
        return ReceptiveField((), reach.fixed(*field.reach.of(0))) if len(field.axes) == 1 else whole(size)
    return ReceptiveField(tuple(places[axis] for axis in field.axes), field.reach)


def _slice(equation, fields, size) -> ReceptiveField:
    params = equation.params
    shape = equation.invars[0].aval.shape
    steps = params["strides"] or (1,) * len(shape)
    return _picked(_only(fields), shape, equation.outvars[0].aval.shape, params["start_indices"], steps, size)


def _picked(field: ReceptiveField, before, after, starts, steps, size) -> ReceptiveField:
    changed = [axis for axis in field.axes if before[axis] != after[axis]]
    if not changed:
        return field
    if len(field.axes) > 1:
        return whole(size)
    (axis,) = changed
    return ReceptiveField(
        field.axes, reach.compose(field.reach, reach.window(kernel=1, stride=steps[axis], padding=-starts[axis]))
    )


def _split(equation, fields, size) -> list[ReceptiveField]:
    axis, field, shape = equation.params["axis"], _only(fields), equation.invars[0].aval.shape
    results, start = [], 0
    for out in equation.outvars:
        starts = [start if i == axis else 0 for i in range(len(shape))]
        results.append(_picked(field, shape, out.aval.shape, starts, (1,) * len(shape), size))
        start += out.aval.shape[axis]
    return results


def _pad(equation, fields, size) -> ReceptiveField:
    field = _only(fields)
    if len(field.axes) != 1:
        return whole(size) if field.axes else field
    low, _, inside = map(int, equation.params["padding_config"][field.axes[0]])  # jnp.pad gives NumPy's integers
    return ReceptiveField(
        field.axes, reach.compose(field.reach, reach.window(kernel=1, padding=low, spacing=inside + 1))
    )


def _concatenate(equation, fields, size) -> ReceptiveField:
    """Returns the receptive field of a concatenation.

    Along the image, as in mirrored padding, the longest part counts as if it continued on both sides.
    """
    axis = equation.params["dimension"]
    lengths = [var.aval.shape[axis] for var in equation.invars]
    if not any(field and axis in field.axes for field in fields):
        return together([field for field, length in zip(fields, lengths, strict=True) if field and length], size)
    longest = int(np.argmax(lengths))
    if fields[longest] is None or fields[longest].axes != (axis,):
        return whole(size)
    return ReceptiveField(
        (axis,), reach.compose(fields[longest].reach, reach.window(kernel=1, padding=sum(lengths[:longest])))
    )


def _resize(equation, fields, size) -> ReceptiveField:
    """Returns the receptive field of a resize.

    A resize is linear, so its transpose gives the gradient of one output: the output sees the inputs at which that
    gradient is not zero.
    """
    field = _only(fields)
    if len(field.axes) != 1:
        return whole(size) if field.axes else field
    (axis,) = field.axes
    before, after = equation.invars[0].aval, equation.outvars[0].aval
    ratio = Fraction(before.shape[axis], after.shape[axis])
    if ratio == 1:
        return field
    period, shift = ratio.denominator, ratio.numerator
    if period > 64:
        return whole(size)
    program = core.jaxpr_as_fun(equation.params["jaxpr"])
    others = [var.val for var in equation.invars[1:]]  # literals, because `is_resize` accepts a single array
    transposed = jax.jit(jax.linear_transpose(lambda x: program(x, *others)[0], before))
    middle = after.shape[axis] // 2 // period * period
    first, last = [], []
    for phase in range(period):
        units = tuple(middle + phase if i == axis else n // 2 for i, n in enumerate(after.shape))
        (gradient,) = transposed(jnp.zeros(after.shape, after.dtype).at[units].set(1))
        inputs = np.flatnonzero(np.asarray(gradient).any(tuple(i for i in range(gradient.ndim) if i != axis)))
        cycles = middle // period * shift
        first.append(int(inputs[0]) - cycles)
        last.append(int(inputs[-1]) - cycles)
    return ReceptiveField(field.axes, reach.compose(field.reach, Reach(tuple(first), tuple(last), shift)))


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
