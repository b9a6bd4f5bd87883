"""The summary of a network: a row per layer, and totals."""

import html
import math
import warnings
from fractions import Fraction
from typing import Any, NamedTuple

import flax.linen as nn

from cnnlab.anatomy import reach
from cnnlab.anatomy.layers import Layer, Pair, gather, see
from cnnlab.anatomy.products import is_product, multiply_adds, xla_multiply_adds
from cnnlab.anatomy.text import as_text
from cnnlab.anatomy.trace import TracedEquation, trace
from cnnlab.models import create_model, known_network
from cnnlab.ops.arithmetic import Field
from cnnlab.trained import Trained


class Row(NamedTuple):
    """One row of a summary: a layer.

    Attributes:
      name: path of the layer's parameters; for a function without parameters, path of the module that calls it.
      kind: class name of the module, or name of the function.
      shape: shape of the output, without the batch axis.
      kernel: height and width of the kernel; empty for a layer without one.
      stride: stride along height and width, a fraction if the layer enlarges its input; empty for a layer without one.
      groups: number of groups of channels that are convolved separately.
      parameters: number of trained values; a shared layer counts them at its first use.
      statistics: number of other stored values, such as moving averages.
      multiply_adds: number of multiply-adds of convolutions and matrix products, including those on padding.
      fields: receptive fields along height and width; None for a layer that does not depend on pixels along the axis.
      sees_all: whether every unit sees the whole image.
      inputs: indices of the rows that the layer reads; -1 is the image.
      bytes: size of the output in bytes.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int | Fraction, ...] = ()
    groups: int = 1
    parameters: int = 0
    statistics: int = 0
    multiply_adds: int = 0
    fields: tuple[Field | None, Field | None] = (None, None)
    sees_all: bool = False
    inputs: tuple[int, ...] = ()
    bytes: int = 0


class Summary(NamedTuple):
    """All layers of a network and their totals, for one image.

    Attributes:
      name: name of the network.
      input: height, width and channels of the image.
      output: shape of the logits, without the batch axis.
      rows: layers in the order of computation.
      parameters: number of trained values.
      statistics: number of other stored values, such as moving averages.
      multiply_adds: number of multiply-adds of all convolutions and matrix products, including those on padding.
      xla_multiply_adds: the same number by XLA's analysis, which leaves out padding; None without XLA's CPU backend.
      bytes: size of the outputs of all rows together, in bytes.
    """

    name: str
    input: tuple[int, int, int]
    output: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    statistics: int
    multiply_adds: int
    xla_multiply_adds: int | None
    bytes: int

    def __str__(self) -> str:
        return as_text(self)

    def __repr__(self) -> str:
        size, output = ("×".join(map(str, shape)) for shape in (self.input, self.output))
        return (
            f"Summary of {self.name}: {size} to {output}, {len(self.rows)} layers; print it for the table\n"
            f"  {self.parameters:,} parameters, {self.multiply_adds:,} multiply-adds"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_json(self) -> dict[str, Any]:
        """Converts the summary to JSON's types; a row's receptive field is `{size, stride, centre}` along each axis."""
        return self._asdict() | {"rows": [_row_json(row) for row in self.rows]}


def summary(
    network: nn.Module | Trained | str,
    input: tuple[int, int, int] | None = None,
    *,
    num_classes: int | None = None,
) -> Summary:
    """Summarises a network layer by layer, without running it: shapes, parameters, multiply-adds, receptive fields.

    It accepts any Linen network: it traces the forward pass with dropout off, and analyses the traced equations.

    Args:
      network: a module, a trained network, or a name in `cnnlab.models.MODELS`.
      input: height, width and channels of the image. The default is the trained network's own input, or the usual
        input of the named network: 28, 28, 1 for LeNet5, 224, 224, 3 for most.
      num_classes: number of outputs of a named network; by default the usual number of that network, 10 or 1,000.

    Raises:
      ValueError: the name is unknown, or a kernel is larger than its padded input; the message names the layer and the
        sizes.

    Source: Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill 2019.

    >>> layers = summary("lenet5")
    >>> layers.parameters, layers.multiply_adds
    (61706, 416520)
    >>> [(row.name, row.fields[0].size) for row in layers.rows if row.name.startswith("conv")]
    [('conv1', 5), ('conv2', 14)]
    """
    name, module, size = type(network).__name__, network, (224, 224, 3)
    if isinstance(network, str):
        name, usual = network, known_network(network)
        module = create_model(name, num_classes=usual.classes if num_classes is None else num_classes)
        size = usual.input
    elif isinstance(network, Trained):
        name, module, size = type(network.network).__name__, network.network, network.spec.shape
    elif input is None:
        warnings.warn(
            f"{name} is summarised for images of 224×224×3; input=(height, width, channels) has others", stacklevel=2
        )
    input = size if input is None else input
    if len(input) != 3 or min(input) < 1:
        raise ValueError(f"input must be height, width and channels, 1 or more each, found {input}")
    height, width, channels = input
    try:
        traced = trace(module, (height, width, channels))
    except ValueError as error:
        raise ValueError(f"{name} cannot take images of {height}x{width}x{channels}: {error}") from error
    fields = see(traced, (height, width))
    layers = gather(traced, fields)
    rows = tuple(
        _row(layer, label, fields, (height, width)) for layer, label in zip(layers, _names(layers), strict=True)
    )
    products = [step.equation for layer in layers for step in layer.steps if is_product(step)]
    totals = {part: sum(getattr(row, part) for row in rows) for part in ("parameters", "statistics", "multiply_adds")}
    return Summary(
        name,
        (height, width, channels),
        traced.output[1:],
        rows,
        **totals,
        xla_multiply_adds=xla_multiply_adds(products),
        bytes=sum(row.bytes for row in rows),
    )


def _names(layers: list[Layer]) -> list[str]:
    """Returns the names of the layers: paths of modules.

    The name of an array is added for a module with several layers and for variables of the network itself.
    """
    owners = [layer.module for layer in layers if layer.leaves]
    return [
        f"{layer.module}/{layer.leaves[0].name}".lstrip("/")
        if layer.leaves and (not layer.module or owners.count(layer.module) > 1)
        else layer.module
        for layer in layers
    ]


def _row(layer: Layer, name: str, fields: dict[int, Pair], size: tuple[int, int]) -> Row:
    trained = sum(leaf.size for leaf in layer.leaves if leaf.collection == "params")
    row = Row(name, layer.kind, parameters=trained, statistics=sum(leaf.size for leaf in layer.leaves) - trained)
    if not layer.steps:
        return row
    out = layer.steps[-1].equation.outvars[0].aval
    pair = fields[layer.steps[-1].writes[0]]
    row = row._replace(
        shape=out.shape[1:],
        fields=tuple(view and _field(view, n) for view, n in zip(pair, size, strict=True)),
        sees_all=all(view and _sees_all(view, n) for view, n in zip(pair, size, strict=True)),
        inputs=layer.inputs,
        bytes=math.prod(out.shape) * out.dtype.itemsize,
    )
    row = row._replace(multiply_adds=sum(multiply_adds(step.equation) for step in layer.steps if is_product(step)))
    main = next(filter(is_product, layer.steps), layer.steps[0])
    return row._replace(**_window(main, layer, fields))


def _window(main: TracedEquation, layer: Layer, fields: dict[int, Pair]) -> dict[str, Any]:
    """Returns the fields `kernel`, `stride` and `groups` of a layer's row, as far as the layer has them."""
    equation, name = main.equation, main.equation.primitive.name
    params = equation.params
    if name == "conv_general_dilated":
        shape, spec = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec
        strides = zip(params["window_strides"], params["lhs_dilation"], strict=True)
        return {
            "kernel": tuple(shape[axis] for axis in spec[2:]),
            "stride": tuple(_whole(Fraction(stride, spacing)) for stride, spacing in strides),
            "groups": params["feature_group_count"],
        }
    if name.startswith("reduce_window"):
        return {"kernel": params["window_dimensions"][1:-1], "stride": params["window_strides"][1:-1]}
    if layer.kind == "resize":
        before, after = (array.aval.shape[1:-1] for array in (equation.invars[0], equation.outvars[0]))
        return {"stride": tuple(_whole(Fraction(old, new)) for old, new in zip(before, after, strict=True))}
    before = next(fields[number] for number in main.reads if number in fields)
    after = fields[layer.steps[-1].writes[0]]
    if layer.kind == "repeat":
        strides = [[reach.field(view.reach).stride for view in pair] for pair in (before, after)]
        return {"stride": tuple(_whole(Fraction(new) / old) for old, new in zip(*strides, strict=True))}
    if name.startswith("reduce_"):
        shape = equation.invars[0].aval.shape
        kernel = tuple(math.prod(shape[a] for a in view.axes if a in params["axes"]) for view in before if view)
        return {"kernel": kernel, "stride": kernel if any(view and view.axes for view in after) else ()}
    return {}


def _whole(number: Fraction) -> int | Fraction:
    return int(number) if number.denominator == 1 else number


def _sees_all(view, size: int) -> bool:
    return not view.axes and view.reach.first[0] <= 0 and view.reach.last[0] >= size - 1


def _field(view, size: int) -> Field:
    if _sees_all(view, size):
        return Field(size, 0, (size - 1) / 2)
    return reach.field(view.reach)


def _row_json(row: Row) -> dict[str, Any]:
    fields = [field and field._asdict() | {"stride": float(field.stride)} for field in row.fields]
    return row._asdict() | {"stride": [float(stride) for stride in row.stride], "fields": fields}
