"""Gathers the equations of a network into layers."""

import dataclasses

from cnnlab.anatomy import reach, receptive
from cnnlab.anatomy.products import is_product
from cnnlab.anatomy.receptive import ReceptiveField
from cnnlab.anatomy.trace import Leaf, Traced, TracedEquation, is_resize

Pair = tuple[ReceptiveField | None, ReceptiveField | None]
"""Receptive fields of an array's units along height and width; None after a normalisation has summed over the axis."""

_JOINS = ("add", "add_any", "sub", "mul", "max", "concatenate")
_POOLS = {
    "reduce_window_max": "max_pool",
    "reduce_window_sum": "avg_pool",
    "reduce_max": "max_pool",
    "reduce_sum": "avg_pool",
}


@dataclasses.dataclass
class Layer:
    """A layer: the equations that belong together.

    Attributes:
      module: path of the module that owns the layer's variables; for a function without variables, of its caller.
      kind: class name of the module, or name of the function.
      inputs: indices of the layers that it reads; -1 is the image.
      leaves: variables that no earlier layer uses.
      steps: equations that depend on the image.
      owned: whether the layer has variables, so that `module` owns it; False for a function.
    """

    module: str
    kind: str
    inputs: tuple[int, ...]
    owned: bool
    leaves: list[Leaf] = dataclasses.field(default_factory=list)
    steps: list[TracedEquation] = dataclasses.field(default_factory=list)


def see(traced: Traced, size: tuple[int, int]) -> dict[int, Pair]:
    """Returns the receptive fields of all arrays by their number, for an image with height and width `size`."""
    fields: dict[int, Pair] = {traced.image: (ReceptiveField((1,), reach.Reach()), ReceptiveField((2,), reach.Reach()))}
    for step in traced.steps:
        inputs = [fields.get(number) for number in step.reads]
        if any(inputs):
            rows, columns = ([pair and pair[axis] for pair in inputs] for axis in (0, 1))
            pairs = zip(_follow(traced, step, rows, size[0]), _follow(traced, step, columns, size[1]), strict=True)
            fields |= zip(step.writes, pairs, strict=True)
    return fields


def _follow(
    traced: Traced, step: TracedEquation, inputs: list[ReceptiveField | None], size: int
) -> list[ReceptiveField | None]:
    if step.equation is None:
        return [receptive.whole(size)] * len(step.writes)
    # A statistic over the image does not count: with it every normalised unit would see the whole image.
    summed = step.equation.primitive.name.startswith("reduce_")
    if not any(inputs) or (summed and _is_normalisation(traced, step)):
        return [None] * len(step.writes)
    return receptive.follow(step.equation, inputs, size)


def _is_normalisation(traced: Traced, step: TracedEquation) -> bool:
    return traced.modules.get(step.module, "").endswith("Norm")


def gather(traced: Traced, fields: dict[int, Pair]) -> list[Layer]:
    """Returns the layers in the order of computation.

    An equation that combines a variable with the image belongs to the variable's module, and continues that module's
    layer if it reads from it. A function without variables is a layer if it pools, resizes, or joins different layers.
    Other functions, such as activations, belong to no layer. Variables without effect form layers of kind `unused`.
    """
    layers: list[Layer] = []
    origin: dict[int, frozenset[int]] = {traced.image: frozenset({-1})}  # the layers that produce an array
    weights = {number: frozenset({number}) for number in traced.leaves}
    free = dict(traced.leaves)
    for step in traced.steps:
        used = frozenset().union(*(weights.get(number, ()) for number in step.reads))
        sources = frozenset().union(*(origin.get(number, ()) for number in step.reads))
        if not sources:
            weights |= dict.fromkeys(step.writes, used)
            continue
        new = step.equation and _layer(traced, step, used, sources, fields, origin)
        if new is None:
            origin |= dict.fromkeys(step.writes, sources)
            continue
        index = _continued(layers, new, step)
        if index is None:
            index = len(layers)
            layers.append(new)
        layers[index].steps.append(step)
        layers[index].leaves += [free.pop(number) for number in sorted(used) if number in free]
        origin |= dict.fromkeys(step.writes, frozenset({index}))
    for module in dict.fromkeys(leaf.module for leaf in free.values()):
        layers.append(Layer(module, "unused", (), owned=True))
        layers[-1].leaves += [leaf for leaf in free.values() if leaf.module == module]
    return layers


def _layer(
    traced: Traced, step: TracedEquation, used: frozenset[int], sources: frozenset[int], fields, origin
) -> Layer | None:
    """Returns the layer that an equation would begin; None for a function that is no layer, such as an activation."""
    inputs = tuple(sorted(sources))
    if not used:
        kind = _function(traced, step, fields, origin)
        return kind and Layer(step.module, kind, inputs, owned=False)
    module = traced.leaves[min(used)].module
    if module:
        return Layer(module, traced.modules.get(module, "layer"), inputs, owned=True)
    return Layer(module, "product" if is_product(step) else "variable", inputs, owned=True)


def _continued(layers: list[Layer], new: Layer, step: TracedEquation) -> int | None:
    """Returns the index of the layer that `new` continues, or None.

    A bias continues the layer of its product; a second product begins a new layer.
    """
    for index in (index for index in new.inputs if index >= 0):
        old = layers[index]
        second = is_product(step) and any(map(is_product, old.steps))
        if new.owned and old.owned and old.module == new.module and not second:
            return index
        if new.kind == old.kind == "repeat" and new.inputs == (index,):
            return index
    return None


def _function(
    traced: Traced, step: TracedEquation, fields: dict[int, Pair], origin: dict[int, frozenset[int]]
) -> str | None:
    """Returns the kind of a function without variables; None if it is no layer."""
    name = step.equation.primitive.name
    if is_product(step):
        return "product"
    if is_resize(step.equation):
        return "resize"
    if name.startswith("reduce_window"):
        return _POOLS.get(name, "pool")
    if _is_normalisation(traced, step):
        return None
    before, after = (next(fields[n] for n in numbers if n in fields) for numbers in (step.reads, step.writes))
    if name in _POOLS and any(b and a and b.axes and b.reach != a.reach for b, a in zip(before, after, strict=True)):
        return _POOLS[name]
    if name == "reshape" and all(a and a.axes for a in after) and _strides(after) < _strides(before):
        return "repeat"
    different = {origin[number] for number in step.reads if number in origin}
    return name if name in _JOINS and len(different) > 1 else None


def _strides(pair: Pair) -> list:
    return [reach.field(view.reach).stride for view in pair if view]
