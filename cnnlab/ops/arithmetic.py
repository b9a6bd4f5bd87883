"""Arithmetic of layers with plain integers: output sizes, numbers of parameters, and receptive fields.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from numbers import Integral
from typing import Literal, NamedTuple

Pads = tuple[int, int]
Padding = Literal["valid", "same", "full"] | int | Pads


def same_padding(kernel: int, *, dilation: int = 1) -> Pads:
    """Returns the padding (before, after) that keeps the size at stride 1: ⌊(k - 1) / 2⌋ and ⌊k / 2⌋.

    Args:
      kernel: side of the kernel in pixels, k.
      dilation: distance in pixels between neighbouring weights; k is then the side of the dilated kernel.

    >>> [same_padding(kernel) for kernel in (1, 2, 3, 4, 5)]
    [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)]
    """
    span = _span(kernel, dilation)
    return (span - 1) // 2, span // 2


def axis_padding(kernel: int, padding: Padding, *, dilation: int = 1) -> Pads:
    """Returns the numbers of pixels (before, after) that a padding adds to an axis.

    Args:
      kernel: side of the kernel in pixels.
      padding: "valid" (no padding), "same" (see `same_padding`), "full" (an output for every overlap of kernel and
        input), a number for both ends, or (before, after).
      dilation: distance in pixels between neighbouring weights of the kernel.

    >>> axis_padding(3, "full", dilation=2)
    (4, 4)
    """
    span = _span(kernel, dilation)
    names = {"valid": (0, 0), "same": same_padding(kernel, dilation=dilation), "full": (span - 1, span - 1)}
    if isinstance(padding, str):
        if padding not in names:
            raise ValueError(f"padding must be 'valid', 'same', 'full' or numbers, found {padding!r}")
        return names[padding]
    pads = tuple(padding) if isinstance(padding, Sequence) else (padding, padding)
    if len(pads) != 2:
        raise ValueError(f"padding of an axis must be one number or (before, after), found {padding!r}")
    return at_least("padding", pads[0], 0), at_least("padding", pads[1], 0)


def output_size(size: int, kernel: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1) -> int:
    """Returns the output size of a convolution or pooling along an axis: ⌊(n + p - k) / s⌋ + 1.

    Args:
      size: size of the input in pixels, n.
      kernel: side of the kernel in pixels; k is the side of the dilated kernel.
      stride: distance in pixels between neighbouring outputs, s.
      padding: as in `axis_padding`; p is the sum over both ends.
      dilation: distance in pixels between neighbouring weights of the kernel.

    Raises:
      ValueError: the kernel is larger than the padded input, or a number is too small.

    >>> output_size(224, 7, stride=2, padding=3)
    112
    """
    span, padded = _span(kernel, dilation), size + sum(axis_padding(kernel, padding, dilation=dilation))
    if span > padded:
        dilated = f" (side {kernel}, dilation {dilation})" if dilation > 1 else ""
        raise ValueError(f"a kernel of {span} pixels{dilated} is larger than its padded input of {padded}")
    return (padded - span) // at_least("stride", stride, 1) + 1


def transposed_output_size(
    size: int, kernel: int, *, stride: int = 1, padding: Padding = "valid", dilation: int = 1, extra: int = 0
) -> int:
    """Returns the output size of a transposed convolution along an axis: the input size of the convolution.

    Args:
      size: size of the transposed convolution's input in pixels.
      kernel: side of the kernel in pixels.
      stride: stride of the convolution.
      padding: padding of the convolution, as in `axis_padding`.
      dilation: distance in pixels between neighbouring weights of the kernel.
      extra: pixels at the end that the convolution's strides do not reach, fewer than the stride.

    >>> transposed_output_size(output_size(5, 3, stride=2), 3, stride=2)
    5
    """
    if not 0 <= extra < at_least("stride", stride, 1):
        raise ValueError(f"extra must lie in 0 <= extra < stride {stride}, found {extra}")
    pads = axis_padding(kernel, padding, dilation=dilation)
    out = (at_least("size", size, 1) - 1) * stride + _span(kernel, dilation) - sum(pads) + extra
    if out < 1:
        raise ValueError(f"padding {pads} removes all {out + sum(pads)} pixels of the transposed convolution's output")
    return out


def parameters(inputs: int, outputs: int, kernel: Sequence[int] = (), *, groups: int = 1, bias: bool = True) -> int:
    """Counts the parameters of a convolution, or of a dense layer, which is a convolution without a kernel.

    Args:
      inputs: number of input channels.
      outputs: number of output channels.
      kernel: sides of the kernel in pixels; empty for a dense layer.
      groups: number of groups of channels; a group's outputs depend only on its own inputs.
      bias: whether the layer adds a bias to each output channel.

    >>> parameters(3, 8, (5, 5)), parameters(784, 10)
    (608, 7850)
    """
    check_groups(inputs, outputs, groups)
    return math.prod(kernel) * (inputs // groups) * outputs + bias * outputs


def multiply_adds(
    inputs: int, outputs: int, kernel: Sequence[int] = (), size: Sequence[int] = (), *, groups: int = 1
) -> int:
    """Counts the multiply-adds of a convolution or dense layer for an image, including those with padding.

    Args:
      inputs: number of input channels.
      outputs: number of output channels.
      kernel: sides of the kernel in pixels; empty for a dense layer.
      size: size of the output in pixels; empty for a dense layer.
      groups: number of groups of channels; a group's outputs depend only on its own inputs.

    >>> multiply_adds(3, 64, (7, 7), (112, 112))
    118013952
    """
    return parameters(inputs, outputs, kernel, groups=groups, bias=False) * math.prod(size)


class Field(NamedTuple):
    """The receptive field of a layer's units along an axis, in pixels of the network's input.

    Attributes:
      size: number of input pixels that a unit depends on.
      stride: distance in input pixels between the fields of neighbouring units; a fraction after upsampling.
      centre: centre of the first unit's field; 0 is the centre of the first pixel.
    """

    size: int = 1
    stride: Fraction | int = 1
    centre: float = 0.0


def next_field(field: Field, *, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Field:
    """Returns the receptive field after one more layer.

    Args:
      field: receptive field of the layer's inputs.
      kernel: side of the layer's kernel or pooling window, in inputs of the layer.
      stride: distance between neighbouring outputs, in inputs of the layer.
      padding: number of inputs that the layer adds before the first one.
      dilation: distance between neighbouring weights, in inputs of the layer.

    Source: Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019.

    >>> next_field(next_field(Field(), kernel=3), kernel=3)
    Field(size=5, stride=1, centre=2.0)
    """
    at_least("stride", stride, 1)
    at_least("padding", padding, 0)
    reach = _span(kernel, dilation) - 1
    size = math.ceil(field.size + reach * field.stride)
    return Field(size, field.stride * stride, float(field.centre + (reach / 2 - padding) * field.stride))


def receptive_fields(layers: Iterable[Mapping[str, int]], start: Field | None = None) -> list[Field]:
    """Returns the receptive field after every layer of a chain.

    Args:
      layers: keyword arguments of `next_field` for each layer, beginning at the network's input.
      start: receptive field of the first layer's inputs; a single pixel by default.

    >>> [field.size for field in receptive_fields([{"kernel": 5}, {"kernel": 2, "stride": 2}, {"kernel": 5}])]
    [5, 6, 14]
    """
    fields = [start or Field()]
    for layer in layers:
        fields.append(next_field(fields[-1], **layer))
    return fields[1:]


def at_least(name: str, value: int, least: int) -> int:
    """Returns the value; raises a `ValueError` unless it is a whole number of at least `least`."""
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, found {value!r}")
    return value


def check_groups(inputs: int, outputs: int, groups: int) -> None:
    """Raises a `ValueError` if the number of groups does not divide the numbers of channels."""
    at_least("groups", groups, 1)
    for channels, name in ((inputs, "input"), (outputs, "output")):
        if channels % groups:
            raise ValueError(
                f"groups must divide the channels, but {groups} does not divide {channels} {name} channels"
            )


def _span(kernel: int, dilation: int) -> int:
    """Returns the side of a dilated kernel in pixels, from its first weight to its last, both included."""
    return at_least("dilation", dilation, 1) * (at_least("kernel", kernel, 1) - 1) + 1
